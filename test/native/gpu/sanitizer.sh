#!/usr/bin/env bash
# One tool of compute-sanitizer over the GPU suite: no access outside, no race, no wrong barrier.
#   sanitizer.sh <compute-sanitizer> <tool> <test_gpu> <its options>...
set -u
sanitizer=$1
tool=$2
shift 2
if [ ! -x "$sanitizer" ]; then
  echo "skipped: there is no compute-sanitizer, so no kernel ran under its $tool"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
fi
# Without a GPU the suite itself says why.
if probe=$("$@" --small "has a twin") && [[ $probe == skipped:* ]]; then
  echo "$probe"
  exit 0
fi
exec "$sanitizer" --tool "$tool" --error-exitcode 9 "$@" --small
