#!/usr/bin/env bash
# Net 3: nvcc as a linter. Compiles each kernel file to PTX and refuses float arithmetic that other machines would
# round differently; then does the same to bad/*.cu, each of which must be refused for the reason that it names.
#   lint.sh <nvcc> <file.cu>... -- <nvcc's include flags>...
# Why two compilations show every contraction: nvcc fuses only a * b + c that is written with operators, and only with
# --fmad=true. A file whose machine code is the same bytes with and without has nothing to fuse, so every fma in it was
# written as exact::fma. (Its PTX does not show that: fusing is ptxas's work.)
set -u
here=$(cd "$(dirname "$0")" && pwd)
nvcc=$1
shift
files=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do files+=("$1") && shift; done
[ $# -gt 0 ] && shift
includes=("$@")
if [ ! -x "$nvcc" ]; then
  echo "skipped: there is no nvcc, so no kernel was compiled to PTX"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags=(-std=c++17 -arch=sm_90 --prec-div=true --prec-sqrt=true --ftz=false --expt-relaxed-constexpr -DGM_CUDA_BUILD='""')
passed=0
failed=0

# The rules, one PTX instruction a line: prints "rule: instruction".
rules() {
  awk '
    /^[ \t]*(\/\/|\.)/ { next }
    { gsub(/^[ \t]+|@!?%p[0-9]+[ \t]+/, ""); op = $1 }
    op ~ /\.ftz/ { print "flushes denormals (.ftz): " $0; next }
    op ~ /\.approx/ { print "approximate (.approx): " $0; next }
    op ~ /^div\.full/ { print "approximate (div.full): " $0; next }
    op ~ /^(atom|red)\..*f(16|16x2|32|64)(x[0-9]+)?;?$/ { print "float atomic, whose order is nobodys: " $0; next }
    op ~ /^(mma|wmma|wgmma|tcgen05)/ { print "tensor core, whose sums have no written order: " $0; next }
    op ~ /^(add|sub|mul|fma|mad|div|sqrt|rcp)\..*(f16|f16x2|bf16|bf16x2|f32|f64|f32x2);?$/ && op !~ /\.rn/ {
      print "not rounded to nearest (.rn): " $0
    }' "$1"
}

# Digests of a cubin's kernels, by name. The rest of a cubin names the options it was made with. A mangled name may hold
# nvcc's process number, where a file has no symbol of its own.
machine_code() {
  readelf -SW "$1" 2>/dev/null | sed 's/^ *\[ *[0-9]*\] *//' | awk '$1 ~ /^\.text/ { print $1, $4, $5 }' | sort |
    while read -r name offset size; do
      echo "$(tail -c +$((16#$offset + 1)) "$1" | head -c $((16#$size)) | sha1sum | cut -d ' ' -f 1) ${name#.text.}"
    done | c++filt | sort
}

# Prints what is wrong with one file; nothing if it is right. 1 if it cannot be compiled.
problems() {
  "$nvcc" "${flags[@]}" --fmad=false -ptx "${includes[@]}" "$1" -o "$work/exact.ptx" 2>"$work/errors" &&
    "$nvcc" -arch=sm_90 --fmad=false -cubin --resource-usage "$work/exact.ptx" -o "$work/exact" 2>"$work/usage" &&
    "$nvcc" "${flags[@]}" --fmad=true -cubin "${includes[@]}" "$1" -o "$work/fused" 2>"$work/errors" || return 1
  rules "$work/exact.ptx" | sort | uniq -c | sort -rn
  local changed
  changed=$(diff <(machine_code "$work/exact") <(machine_code "$work/fused") | awk '/^</ { $1 = $2 = ""; print }')
  [ -z "$changed" ] ||
    echo "contracted: nvcc may fuse operators here; write exact::mul, exact::add or exact::fma:" $changed
}

# Spills and arrays out of registers are slow, not wrong: they are told, and the figures of the GPU suite decide.
local_memory() {
  awk -v file="$1" '/Compiling entry/ { gsub("\x27", ""); name = $7 } / spill stores/ && $1 + $5 + $9 > 0 {
    print "local memory: " file ": " name ": " $1 " bytes on the stack, " $5 " spilled, " $9 " loaded again" }' "$2" | c++filt
}

report() { # name, problems
  if [ -z "$2" ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAILED %s\n%s\n' "$1" "$2"
  fi
}

for file in "${files[@]}"; do
  if found=$(problems "$file"); then report "$file" "$found"; else report "$file" "$(cat "$work/errors")"; fi
  [ -f "$work/usage" ] && local_memory "$file" "$work/usage"
  rm -f "$work/usage"
done

for file in "$here"/bad/*.cu; do
  expected=$(sed -n '1s/^\/\/ refused: //p' "$file")
  if ! found=$(problems "$file"); then
    report "$file" "cannot be compiled: $(cat "$work/errors")"
  elif [ -n "$expected" ] && grep -qF "$expected" <<<"$found"; then
    report "$file" ""
  else
    report "$file" "should be refused as \"$expected\", and is not: ${found:-nothing is found}"
  fi
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
