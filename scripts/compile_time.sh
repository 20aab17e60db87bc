#!/usr/bin/env bash
# Time and memory that the compiler needs for a program that uses tinynet, against the limits we set
# ourselves (best of three runs of `g++ -O2 -c`). Fails if a limit is exceeded.
# Usage: [CXX=clang++] scripts/compile_time.sh
set -euo pipefail
source "$(dirname "$0")/common.sh"

require g++ libxsimd-dev nlohmann-json3-dev libcli11-dev time
compiler=${CXX:-g++}
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT

# best SOURCE: seconds and MB of the fastest of three runs.
best() {
  for _ in 1 2 3; do
    command time -f '%e %M' -o "$scratch/usage" \
      "$compiler" -std=c++20 -O2 -fopenmp -Iinclude -c "$1" -o "$scratch/unit.o"
    awk '{ print $1, int($2 / 1024) }' "$scratch/usage"
  done | sort -n | head -n 1
}

"$compiler" --version | head -n 1
printf '%-32s %9s %9s %9s %9s\n' "" seconds limit MB limit
failed=0
while read -r source seconds_limit mb_limit; do
  measured=$(best "$source")
  read -r seconds mb <<< "$measured"
  printf '%-32s %9s %9s %9s %9s\n' "$source" "$seconds" "$seconds_limit" "$mb" "$mb_limit"
  awk "BEGIN { exit !($seconds <= $seconds_limit && $mb <= $mb_limit) }" || failed=1
done << 'LIMITS'
benchmarks/compile/lenet.cpp 8 700
examples/quickstart.cpp 20 1536
LIMITS
exit $failed
