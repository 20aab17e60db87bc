#!/usr/bin/env bash
# Installs what is missing (Debian, Ubuntu), builds everything for this machine and runs every test.
# Usage: scripts/test.sh [ctest argument...]      for example scripts/test.sh -R conv2d
set -euo pipefail
source "$(dirname "$0")/common.sh"

require "${test_packages[@]}"
require chromium  # looks at a report; by itself, as not every distribution has it
cmake --preset release
cmake --build build/release -j "$jobs"
ctest --test-dir build/release --output-on-failure -j 2 "$@"
