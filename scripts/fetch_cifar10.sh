#!/usr/bin/env bash
# Fetches CIFAR-10 (binary version, 170 MB) from its own site, checks it and unpacks it into
# FOLDER/cifar-10-batches-bin, where data::cifar10(FOLDER, ...) finds it.
# Usage: [CIFAR10_URL=mirror] scripts/fetch_cifar10.sh [FOLDER]      FOLDER: data
set -euo pipefail
folder=$(realpath --canonicalize-missing "${1:-$(dirname "$0")/../data}")
source "$(dirname "$0")/common.sh"

url=${CIFAR10_URL:-https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz}
sum=c32a1d4ab5d03f1284b67883e8d87530
archive=$folder/cifar-10-binary.tar.gz

intact() { echo "$sum  $archive" | md5sum --check --status 2> /dev/null; }

require curl ca-certificates
mkdir -p "$folder"
if ! intact; then
  say "fetching CIFAR-10 (170 MB) into $folder"
  if ! curl --fail --location --show-error --output "$archive" "$url" || ! intact; then
    say "the archive did not arrive intact from $url; try again, or put it into $folder by hand"
    exit 1
  fi
fi
tar -xzf "$archive" -C "$folder"
say "CIFAR-10 is in $folder/cifar-10-batches-bin; $archive is no longer needed"
