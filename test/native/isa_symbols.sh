#!/bin/sh
# Looks at the objects that are compiled once for each instruction set. Fails when one holds a weak symbol, which the
# linker might share, or calls anything outside of the kernels but memory functions and fmaf (correctly rounded by C's
# definition): no libm in a kernel.
nm=$1
shift
found=$(for object in "$@"; do
  name=$(basename "$(dirname "$(dirname "$object")")")/$(basename "$object")
  "$nm" -C "$object" | grep -E ' [WVu] ' | sed "s|^|$name: weak:|"
  "$nm" -u "$object" | grep -vE ' U (fmaf|memcpy|memmove|memset|memcmp|__mem[a-z]*_chk|__stack_chk_fail|_ZN8gradmesh.*|_GLOBAL_OFFSET_TABLE_)$' |
    sed "s|^|$name: calls outside:|"
done)
if [ $# -eq 0 ] || [ -n "$found" ]; then
  echo "$# ISA objects"
  echo "$found"
  echo "0 passed, 1 failed"
  exit 1
fi
echo "1 passed, 0 failed"
