#!/bin/sh
# Fails when an object compiled for one instruction set holds a weak symbol, which the linker might share.
nm=$1
shift
weak=$(for object in "$@"; do "$nm" -C "$object" | grep -E ' [WVu] ' | sed "s|^|$(basename "$object"): |"; done)
if [ -n "$weak" ]; then
  echo "weak symbols in ISA objects:"
  echo "$weak"
  echo "0 passed, 1 failed"
  exit 1
fi
echo "1 passed, 0 failed"
