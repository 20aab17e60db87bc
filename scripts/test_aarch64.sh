#!/usr/bin/env bash
# Builds the tests of scalars, tensors and kernels for AArch64 (NEON) with Debian's cross compiler,
# without OpenMP, and runs them under qemu-user: about twenty minutes on two cores.
# Usage: scripts/test_aarch64.sh [test...]
set -euo pipefail
source "$(dirname "$0")/common.sh"

require g++-aarch64-linux-gnu qemu-user libxsimd-dev doctest-dev
tests=("$@")
[ $# -gt 0 ] || tests=(core_numbers tensor kernels_small kernels kernels_conv2d)
folder=build/aarch64
mkdir -p "$folder/include"
for library in xsimd doctest; do  # headers alone: the rest of /usr/include is for this machine
  ln -sfn "/usr/include/$library" "$folder/include/$library"
done

one_test() {
  aarch64-linux-gnu-g++ -std=c++20 -O1 -Iinclude -I"$folder/include" "tests/$1.cpp" \
    tests/main.cpp -o "$folder/$1" &&
    qemu-aarch64 -L /usr/aarch64-linux-gnu "$folder/$1"
}

failed=0
for name in "${tests[@]}"; do
  say "$name"
  one_test "$name" || failed=$((failed + 1))
done
printf '%d%% tests passed, %d tests failed out of %d\n' \
  $((100 * (${#tests[@]} - failed) / ${#tests[@]})) "$failed" "${#tests[@]}"
exit $((failed > 0))
