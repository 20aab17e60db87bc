# Shared by the scripts of this folder (source it): the repository as working folder, packages, jobs.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Packages for the programs, and what tests, benchmarks and the Clang builds add to them.
build_packages=(g++ make cmake libxsimd-dev zlib1g-dev libstb-dev libcli11-dev nlohmann-json3-dev)
test_packages=("${build_packages[@]}" doctest-dev libeigen3-dev libbenchmark-dev)
clang_packages=(clang libomp-dev)

# Compilations side by side: one per core, and 2 GB of memory for each.
memory_gb=$(awk '/MemTotal/ { print int($2 / 1048576) }' /proc/meminfo)
jobs=$(($(nproc) < memory_gb / 2 ? $(nproc) : memory_gb / 2))
jobs=$((jobs > 0 ? jobs : 1))

say() { printf '\n== %s\n' "$*"; }

# install PACKAGE...: installs with apt-get those that are missing and fails if that cannot be done.
# A machine without apt, or one that has everything, is left alone.
install() {
  command -v apt-get > /dev/null || return 0
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  say "installing ${missing[*]}"
  local as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -q || true
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# require PACKAGE...: as install, but goes on without them; CMake then says what it lacks.
require() { install "$@" || say "could not install all of: $*; going on with what is there"; }

# stage NAME COMMAND...: runs the command and keeps one line about it, with ctest's own summary, for
# `stages_table`; the output goes to build/logs/NAME.log as well. The next stage runs in any case.
stages=()
stages_failed=0
stage() {
  local name=$1 log=build/logs/$1.log started=$SECONDS summary
  shift
  say "$name"
  mkdir -p build/logs
  "$@" 2>&1 | tee "$log" || stages_failed=1
  summary=$(grep '% tests passed' "$log" | tail -n 1) || summary="failed before its tests"
  stages+=("$(printf '%-16s %5d s   %s' "$name" $((SECONDS - started)) "$summary")")
}

# Prints what the stages came to; fails if one of them did.
stages_table() {
  say "summary"
  printf '%s\n' "${stages[@]}"
  return $stages_failed
}
