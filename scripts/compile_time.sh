#!/usr/bin/env bash
# Time and memory that the compiler needs for a program that uses tinynet, against the limits we set
# ourselves: `g++ -O2 -c` of each unit in turn, the best of five rounds. Fails if a limit is exceeded.
# The limits are meant for a machine on which torch/torch.h with one tensor takes 12 s: where
# libtorch-dev is installed, its time is measured in the same rounds, and the limits in seconds are
# scaled by it. Usage: [CXX=clang++] scripts/compile_time.sh
set -euo pipefail
source "$(dirname "$0")/common.sh"

require g++ libxsimd-dev nlohmann-json3-dev libcli11-dev time
compiler=${CXX:-g++}
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT

# compile SOURCE FLAG...: adds a line of seconds and MB to those of that source.
compile() {
  command time -f '%e %M' -o "$scratch/usage" "$compiler" -O2 -c "$@" -o "$scratch/unit.o"
  awk '{ print $1, int($2 / 1024) }' "$scratch/usage" >> "$scratch/$(basename "$1").txt"
}

# best SOURCE: the line with the fewest seconds.
best() { sort -n "$scratch/$(basename "$1").txt" | head -n 1; }

torch=/usr/include/torch/csrc/api/include
[ -f $torch/torch/torch.h ] || torch=
printf '#include <torch/torch.h>\nint main() { return torch::ones({2, 3}).numel(); }\n' \
  > "$scratch/torch.cpp"
for _ in 1 2 3 4 5; do
  [ -z "$torch" ] || compile "$scratch/torch.cpp" -std=c++17 -I$torch
  for unit in benchmarks/compile/lenet.cpp examples/quickstart.cpp; do
    compile $unit -std=c++20 -fopenmp -Iinclude
  done
done

"$compiler" --version | head -n 1
printf '%-32s %9s %9s %9s %9s\n' "" seconds limit MB limit
scale=1
if [ -n "$torch" ]; then
  read -r seconds mb < <(best torch.cpp)
  scale=$(awk "BEGIN { print $seconds / 12 }")
  printf '%-32s %9s %9s %9s\n' "torch/torch.h, one tensor" "$seconds" "" "$mb"
fi
failed=0
while read -r source seconds_limit mb_limit; do
  read -r seconds mb < <(best "$source")
  seconds_limit=$(awk "BEGIN { printf \"%.1f\", $seconds_limit * $scale }")
  printf '%-32s %9s %9s %9s %9s\n' "$source" "$seconds" "$seconds_limit" "$mb" "$mb_limit"
  awk "BEGIN { exit !($seconds <= $seconds_limit && $mb <= $mb_limit) }" || failed=1
done << 'LIMITS'
benchmarks/compile/lenet.cpp 8 700
examples/quickstart.cpp 20 1536
LIMITS
exit $failed
