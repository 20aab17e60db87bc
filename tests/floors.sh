#!/usr/bin/env bash
# Checks the floors of the house: a header includes its own folder and lower floors, nothing else, and
# core/parallel.hpp is the only one that names OpenMP.
# Usage: tests/floors.sh [include folder]      prints each offending line, fails if there is one
set -euo pipefail
cd "${1:-$(dirname "$0")/../include}"

find tinynet -name '*.hpp' | LC_ALL=C sort | xargs awk '
  BEGIN {
    floors = "core 1 tensor 2 kernels 3 autograd 4 io 4 ops 5 data 5 nn 6 optim 6 models 7 train 7 report 8"
    for (i = split(floors, f, " "); i > 0; i -= 2) floor[f[i - 1]] = f[i]
  }
  function offends(why) { printf "%s:%d: %s\n  %s\n", FILENAME, FNR, $0, why; bad = 1 }

  FNR == 1 { headers++; own = split(FILENAME, part, "/") > 2 ? part[2] : "" }

  FILENAME != "tinynet/core/parallel.hpp" && /^[ \t]*#.*(pragma omp|<omp.h>)/ {
    offends("threads come from core/parallel.hpp")
  }
  /^[ \t]*#[ \t]*include[ \t]*"/ { offends("write #include <tinynet/...>") }
  /^[ \t]*#[ \t]*include[ \t]*<tinynet\// {
    target = $0
    sub(/.*<tinynet\//, "", target)
    sub(/>.*/, "", target)
    other = split(target, part, "/") > 1 ? part[1] : ""
    if (own == "" && target ~ /^(io\/image|data\/image_folder|report|eigen)/)
      offends("the umbrella and its parts leave out what needs more than xsimd")
    else if (own == "") next  # a header above the floors: the umbrella, one per floor, eigen.hpp
    else if (other == "")
      offends("a floor does not include a header above the floors")
    else if (!(own in floor) || !(other in floor))
      offends("this folder is on no floor; the floors are listed in tests/floors.sh")
    else if (own == "nn" && other == "kernels")
      offends("nn composes ops and does not know kernels")
    else if (own != other && floor[other] >= floor[own])
      offends(own " is on floor " floor[own] ", " other " on floor " floor[other])
  }
  END { if (!bad) print headers " headers keep to their floors"; exit bad }
'
