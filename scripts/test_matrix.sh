#!/usr/bin/env bash
# Builds and tests every supported kind of build, GCC and Clang, each with the kernels limited to the
# reference, to simd and not at all (ctest has an entry for each). Run before a release; takes hours
# on two cores. Prints a table at its end.
# Last come two shorter lists under qemu: the portable build on a CPU without AVX, and AArch64.
# Usage: scripts/test_matrix.sh [regular expression]      for example gcc, clang-portable, v3, aarch64
set -euo pipefail
source "$(dirname "$0")/common.sh"

one_build() {
  local compiler=$1 preset=$2 folder=build/matrix/$1-$2
  cmake --preset "$preset" -B "$folder" -DCMAKE_CXX_COMPILER="${cxx[$compiler]}" &&
    cmake --build "$folder" -j "$jobs" &&
    ctest --test-dir "$folder" --output-on-failure
}

# The kernels of the portable build on a Nehalem, the first CPU of x86-64-v2.
portable_without_avx() {
  local folder=build/matrix/gcc-portable tests=(core tensor kernels_small kernels_conv2d) name failed=0
  require qemu-user
  cmake --preset portable -B "$folder" &&
    cmake --build "$folder" -j "$jobs" --target "${tests[@]/#/test_}" || return 1
  for name in "${tests[@]}"; do
    qemu-x86_64 -cpu Nehalem "$folder/tests/$name" || failed=$((failed + 1))
  done
  printf '%d%% tests passed, %d tests failed out of %d\n' \
    $((100 * (${#tests[@]} - failed) / ${#tests[@]})) "$failed" "${#tests[@]}"
  return $((failed > 0))
}

require "${test_packages[@]}" "${clang_packages[@]}"
declare -A cxx=([gcc]=g++ [clang]=clang++)
for compiler in gcc clang; do
  for preset in portable v3 v4 release sanitize; do
    [[ $compiler-$preset =~ ${1:-} ]] || continue
    if [ $preset = v4 ] && ! grep -q avx512vl /proc/cpuinfo; then
      stages+=("$compiler-v4: skipped, this CPU has no AVX-512")
      continue
    fi
    stage "$compiler-$preset" one_build "$compiler" "$preset"
  done
done
[[ portable-without-avx =~ ${1:-} ]] && stage portable-without-avx portable_without_avx
[[ aarch64 =~ ${1:-} ]] && stage aarch64 scripts/test_aarch64.sh
stages_table
