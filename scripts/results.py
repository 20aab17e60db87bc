#!/usr/bin/env python3
"""Writes docs/results.md from docs/results/*.json, the result.json files of finished runs.

Usage: scripts/results.py            after copying a run's result.json to docs/results/NAME-seed-N.json
Runs of one NAME are a row: mean and standard deviation over their seeds. Fails for a name that ROWS
below does not have, and for seeds of a row that were trained by different settings.
"""
import collections
import json
import pathlib
import re
import statistics
import sys

# Name of the row: what is trained, and the number that it is compared with, in percent, and its kind:
# measured (a finished run is reported), target (aimed at) or claim (said, with no run behind it).
ROWS = {
    "quickstart": ("quickstart", 91.0, "target"),
    "v5": ("V5", 90.70, "measured"),
    "v6": ("V6", 94.39, "measured, best epoch by the test images"),
    "v7": ("V7", 96.0, "target"),
    "toy": ("toy CNN", 92.11, "measured"),
    "structure2": ("structure 2", 91.93, "measured"),
    "structure4": ("structure 4", 93.61, "measured"),
    "resnet12": ("ResNet-12", 93.78, "measured"),
    "resnet14": ("ResNet-14", 94.1, "measured"),
    "resnet14_like": ("ResNet-14-like", 93.5, "measured"),
    "resnet18": ("ResNet-18", 94.08, "measured"),
    "small": ("CNN small", 84.23, "measured"),
    "small-augment": ("CNN small, four classes augmented", 82.40, "measured"),
    "mid": ("CNN mid", 86.07, "measured"),
    "mid-20": ("CNN mid, 20 epochs", 88.70, "measured"),
    "big": ("CNN big", 87.84, "measured"),
    "growing-plain": ("plain", 82.4, "measured"),
    "growing-n1-k4": ("n 1, k 4", 80.6, "measured"),
    "growing-n2-k4": ("n 2, k 4", 82.2, "measured"),
    "growing-n4-k4": ("n 4, k 4", 82.3, "measured"),
    "depthwise": ("depthwise net", 87.42, "measured"),
    "speedrun": ("airbench94 with Muon", 94.0, "measured with six views"),
}
# What has to be said of a row beside its figures.
REMARKS = {
    "toy": "stood still for minutes, was interrupted and went on: its seconds say nothing of speed",
    "speedrun": "stood still for 17 minutes and shared its cores with a compiler: its seconds say nothing of speed",
}
SAME = ("precision", "batch_size", "epochs", "parameters", "selection")


def mean(runs, key, scale=1.0):
    values = [run[key] * scale for run in runs if key in run]
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def row(name, runs):
    first = runs[0]
    for key in SAME:
        if any(run[key] != first[key] for run in runs):
            sys.exit(f"docs/results/{name}-seed-*.json: {key} differs between seeds")
    title, number, kind = ROWS[name]
    compared = f"{number:g} ({kind})"
    seconds = statistics.mean(run["train_seconds"] for run in runs)
    memory = max(run.get("peak_resident_bytes", run["peak_memory_bytes"]) for run in runs)
    interval = f"{100 * first['test_accuracy_low']:.2f} to {100 * first['test_accuracy_high']:.2f}"
    command = re.sub(r"^\S*/", "", first["command"])
    command = re.sub(r" --(data|out) \S+", "", command)
    return (f"| {title} | `{command}` | {first['parameters']:,} | {len(runs)} | "
            f"{mean(runs, 'test_accuracy', 100)} | {interval if len(runs) == 1 else ''} | "
            f"{mean(runs, 'test_accuracy_tta', 100)} | {compared} | {first['epochs']} | "
            f"{seconds:.0f} | {memory / 1e6:.0f} | {first['cpu'].strip()} | {first['git_revision']} |")


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    groups = collections.defaultdict(list)
    for path in sorted((root / "docs/results").glob("*.json")):
        match = re.fullmatch(r"(.+)-seed-\d+", path.stem)
        if not match or match[1] not in ROWS:
            sys.exit(f"{path}: expected NAME-seed-N.json with a NAME of scripts/results.py")
        groups[match[1]].append(json.loads(path.read_text()))
    lines = [
        "# Results",
        "",
        "Finished runs, made into this table by `scripts/results.py` from `docs/results/*.json`. Accuracy is that of the",
        "last epoch on the 10,000 test images, in percent: mean and standard deviation over seeds, or one run with its 95 %",
        "interval. Nothing was chosen by the test images. Seconds are those of training alone, on two cores that other",
        "programs may have shared; memory is the most that the process had resident, in 10^6 bytes.",
        "",
        "| network | command | parameters | seeds | accuracy | interval | with test-time views | compared with | epochs | seconds | memory | CPU | revision |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [row(name, groups[name]) for name in ROWS if name in groups]
    lines += [""] + [f"{ROWS[name][0]}: {text}." for name, text in REMARKS.items() if name in groups]
    (root / "docs/results.md").write_text("\n".join(lines) + "\n")


main()
