#!/usr/bin/env bash
# Trains a convolutional network on FashionMNIST, from a bare Debian 12 or Ubuntu 24.04 to a test
# accuracy: installs what is missing, builds one program, fetches the data, runs. The report to look at
# is runs/quickstart/report.html.
# Usage: [TINYNET_DATA=folder] [FASHION_MNIST_URL=mirror] scripts/quickstart.sh [option of the program...],
# say --epochs 5
set -euo pipefail
[ -z "${TINYNET_DATA:-}" ] || TINYNET_DATA=$(realpath --canonicalize-missing "$TINYNET_DATA")
source "$(dirname "$0")/common.sh"

site=${FASHION_MNIST_URL:-http://fashion-mnist.s3-website.eu-central-1.amazonaws.com}

# fashion_mnist: sets `data` to a folder with the four files: the one that TINYNET_DATA names, else that
# of Debian's package where apt has it, else one fetched from the data set's own site.
fashion_mnist() {
  data=${TINYNET_DATA:-}
  [ -z "$data" ] || return 0
  data=/usr/share/datasets/fashion-mnist
  [ -d $data ] && return
  if apt-cache show dataset-fashion-mnist > /dev/null 2>&1 && install dataset-fashion-mnist; then
    return
  fi
  data=data/fashion-mnist
  say "fetching FashionMNIST (30 MB) into $data"
  mkdir -p $data
  local sum file
  while read -r sum file; do
    echo "$sum  $data/$file" | md5sum --check --status 2> /dev/null && continue
    if ! curl --fail --location --silent --show-error --output "$data/$file" "$site/$file" ||
      ! echo "$sum  $data/$file" | md5sum --check; then
      say "$file did not arrive intact from $site; try again, or put it into $data by hand"
      exit 1
    fi
  done << 'SUMS'
8d4fb7e6c68d591d4c3dfef9ec88bf0d train-images-idx3-ubyte.gz
25c81989df183df01b3e8a0aad5dffbe train-labels-idx1-ubyte.gz
bef4ecab320f06d8554ea6380940ec79 t10k-images-idx3-ubyte.gz
bb300cfdad3c16e7a12a480ee83cd310 t10k-labels-idx1-ubyte.gz
SUMS
}

require "${build_packages[@]}" curl ca-certificates
fashion_mnist

say "building"
cmake --preset release -B build/quickstart \
      -DTINYNET_BUILD_TESTS=OFF -DTINYNET_BUILD_BENCHMARKS=OFF
cmake --build build/quickstart -j "$jobs" --target quickstart

build/quickstart/examples/quickstart --data "$data" --out runs/quickstart "$@"
