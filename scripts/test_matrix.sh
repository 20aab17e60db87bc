#!/usr/bin/env bash
# Builds and tests every supported kind of build, GCC and Clang, each with the kernels limited to the
# reference, to simd and not at all (ctest has an entry for each). Run before a release; takes hours
# on two cores. Prints a table at its end.
# AArch64 comes last, a shorter list under qemu.
# Usage: scripts/test_matrix.sh [regular expression]      for example gcc, clang-portable, v3, aarch64
set -euo pipefail
source "$(dirname "$0")/common.sh"

one_build() {
  local compiler=$1 preset=$2 folder=build/matrix/$1-$2
  cmake --preset "$preset" -B "$folder" -DCMAKE_CXX_COMPILER="${cxx[$compiler]}" &&
    cmake --build "$folder" -j "$jobs" &&
    ctest --test-dir "$folder" --output-on-failure
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
[[ aarch64 =~ ${1:-} ]] && stage aarch64 scripts/test_aarch64.sh
stages_table
