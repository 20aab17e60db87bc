#!/usr/bin/env bash
# What 16 bits cost: ResNet-14-like on FashionMNIST, three epochs of batches of 128 with the learning rate
# annealed to zero, five seeds in float, bfloat16 and float16 (with loss scaling), the same order of images.
# Prints means and whether they differ from float's by more than 0.2 points and two standard errors,
# and writes the rows into docs/results.md. Goes on where it was stopped. Usage: scripts/precisions.sh
set -euo pipefail
source "$(dirname "$0")/common.sh"
program=build/release/examples/fashion_mnist_budget
[ -x $program ] || { echo "$program is missing; build it: cmake --preset release && cmake --build build/release"; exit 1; }

for precision in float bfloat16 float16; do
  say "$precision"
  $program --out "runs/precision-$precision" --network resnet14_like --precision $precision --epochs 3 \
    --batch-size 128 --seeds 1,2,3,4,5 --resume
  scripts/results.py "precision-$precision" "runs/precision-$precision"
done
say "means of five seeds"
python3 - << 'PYTHON'
import json, pathlib, statistics, sys

accuracy = {p: [100 * json.loads(f.read_text())["test_accuracy"]
                for f in sorted(pathlib.Path("docs/results").glob(f"precision-{p}-seed-*.json"))]
            for p in ("float", "bfloat16", "float16")}
mean = {p: statistics.mean(values) for p, values in accuracy.items()}
square = {p: statistics.variance(values) / len(values) for p, values in accuracy.items()}
worse = False
for p, values in accuracy.items():
    print(f"{p:9} {mean[p]:.3f} %  standard error {square[p] ** 0.5:.3f}  of", *(f"{v:.2f}" for v in values))
for p in ("bfloat16", "float16"):
    difference, error = mean[p] - mean["float"], (square[p] + square["float"]) ** 0.5
    allowed = max(0.2, 2 * error)
    met = abs(difference) <= allowed
    worse |= not met
    print(f"{p:9} {difference:+.3f} points from float, at most {allowed:.3f}: {'met' if met else 'MISSED'}")
sys.exit(worse)
PYTHON
