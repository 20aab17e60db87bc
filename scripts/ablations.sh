#!/usr/bin/env bash
# What gates, RandAugment, averaged weights, test-time views and bfloat16 are worth: ResNet-14-like on
# FashionMNIST with all of them and without each, three seeds a row, into docs/results.md.
# Goes on where it was stopped. Usage: scripts/ablations.sh [epochs, 10 if absent]
set -euo pipefail
source "$(dirname "$0")/common.sh"
epochs=${1:-10}
program=build/release/examples/fashion_mnist_budget
[ -x $program ] || { echo "$program is missing; build it: cmake --preset release && cmake --build build/release"; exit 1; }

# row NAME NETWORK PRECISION [OPTION...]
row() {
  local name=$1 network=$2 precision=$3
  shift 3
  say "$name"
  $program --out "runs/$name-$epochs" --network "$network" --precision "$precision" --epochs "$epochs" \
    --seeds 1,2,3 --resume --rand-augment --ema 0.999 --tta "$@"
  scripts/results.py "$name" "runs/$name-$epochs"
}
row ablation resnet14_like_se bfloat16
row ablation-float resnet14_like_se float
row ablation-no-gates resnet14_like bfloat16
row ablation-no-rand-augment resnet14_like_se bfloat16 --no-rand-augment
row ablation-no-ema resnet14_like_se bfloat16 --ema 0
