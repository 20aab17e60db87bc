#!/usr/bin/env python3
"""Writes docs/results.md from docs/results/*.json, the result.json files of finished runs.

Usage: scripts/results.py                      writes the table
       scripts/results.py NAME FOLDER...       takes the results of runs first, as seeds of row NAME;
                                               a FOLDER with summary.json (--seeds) stands for all its runs
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
    "v7-muon": ("V7, convolutions by Muon, nine epochs of 20 x 20 pixels", 96.0, "target"),
    "seair_small": ("SEAir-S", 0, ""),
    "seair_compact": ("SEAir, less than 10 MB", 95.0, "target"),
    "seair_medium": ("SEAir-M", 0, ""),
    "seair_large": ("SEAir-L", 0, ""),
    "ensemble": ("V7, three together", 97.0, "claim"),
    "toy": ("toy CNN", 92.11, "measured"),
    "structure2": ("structure 2", 91.93, "measured"),
    "structure4": ("structure 4", 93.61, "measured"),
    "resnet12": ("ResNet-12", 93.78, "measured"),
    "resnet14": ("ResNet-14", 94.1, "measured"),
    "resnet14_like": ("ResNet-14-like", 93.5, "measured"),
    "resnet18": ("ResNet-18", 94.08, "measured"),
    "precision-float": ("ResNet-14-like, 3 epochs, float", 0, ""),
    "precision-bfloat16": ("the same in bfloat16", 0, ""),
    "precision-float16": ("the same in float16, with loss scaling", 0, ""),
    "ablation": ("ResNet-14-like with gates, RandAugment, averaged weights, bf16", 0, ""),
    "ablation-float": ("the same in fp32", 0, ""),
    "ablation-no-gates": ("without gates", 0, ""),
    "ablation-no-rand-augment": ("without RandAugment", 0, ""),
    "ablation-no-ema": ("without averaged weights", 0, ""),
    "small": ("CNN small", 84.23, "measured"),
    "small-augment": ("CNN small, four classes augmented", 82.40, "measured"),
    "mid": ("CNN mid", 86.07, "measured"),
    "mid-20": ("CNN mid, 20 epochs", 88.70, "measured"),
    "big": ("CNN big", 87.84, "measured"),
    "big-dropout": ("CNN big, dropout of values", 86.25, "measured"),
    "big-dropout2d": ("CNN big, dropout of channels, weight decay", 87.08, "measured"),
    "big-schedule-128": ("CNN big, schedule, batch 128", 84.76, "measured"),
    "big-schedule-64": ("CNN big, schedule, batch 64", 87.91, "measured"),
    "growing-plain": ("growing batch: one view, no augmentation", 82.4, "measured, loss 0.599"),
    "growing-n1-k4": ("one view, four augmentations", 80.6, "measured, loss 0.591"),
    "growing-n1-k4-40": ("the same, as many images as with four views", 0, ""),
    "growing-n2-k4": ("two views, four augmentations", 82.2, "measured, loss 0.566"),
    "growing-n4-k4": ("four views, four augmentations", 82.3, "measured, loss 0.586"),
    "growing-n6-k7": ("six views, seven augmentations, 20 epochs", 80.6, "measured, loss 0.701"),
    "growing-n8-k7": ("eight views, seven augmentations, 20 epochs", 79.9, "measured, loss 0.663"),
    "growing-n6-k7-128": ("six views, seven augmentations, 128 epochs", 81.1, "measured, loss 1.429"),
    "depthwise": ("depthwise net", 87.42, "measured"),
    "speedrun": ("airbench94 with Muon", 94.0, "measured with six views"),
}
# What has to be said of a row beside its figures.
REMARKS = {
    "precision-float": "begun on a shared CPU with AMX and ended on the one named, as those in 16 bits, so that seconds say nothing of speed",
    "seair_compact": "94.86 ± 0.17 after 15 epochs; stood still while other programs were timed, an undisturbed epoch takes 70 to 85 s of one core",
    "v7": "one seed, below the 95 % that are aimed at with SGD in 15 epochs; stood still while other programs were timed and shared its cores with compilers: its seconds say nothing of speed",
    "v7-muon": "42, 52 and 63 minutes on a CPU whose other cores were at work; an epoch of small images took 1.5 to 5 minutes, one of full images 3 to 8; the third stood still while compilers ran",
    "v6": "15 of 25 epochs of 20 x 20 pixels, without CutMix; shared its cores, as ResNet-14 and 18, which stood still while compilers ran",
    "resnet12": "shared its core with a compiler for two epochs, which took 23 of its 52 minutes",
    "big-schedule-64": "waited for a compiler for 30 of its 45 minutes",
    "toy": "without erasing, by 5,000 held-out images: 92.76 % against 92.46 % of them; its thread shared a core, as did those of the CNNs below",
    "growing-n2-k4": "drew the views after the first by other random numbers than today's program, as did four views; its thread waited for others",
    "growing-n4-k4": "sees 2.4 million images, four times those of one view in ten epochs",
    "speedrun": "stood still for 17 minutes and shared its cores with a compiler: its seconds say nothing of speed",
}
# What of a command differs between the runs of a row, or is a folder of one machine.
OWN = r" --(data|out|threads|seeds?)[ =]\S+| --resume| --limit-train 0"
SAME = ("command", "precision", "batch_size", "epochs", "parameters", "selection")


def results_of(folder):
    """The result of a run or an ensemble; those of all runs in a series."""
    own, series = folder / "result.json", folder / "summary.json"
    result = json.loads(own.read_text()) if own.exists() else None
    if result:
        return [result]
    if series.exists():
        return [one for run in json.loads(series.read_text()) for one in results_of(folder / run)]
    sys.exit(f"{folder}: expected the folder of a run, with its result.json, or of a series, with summary.json")


def own_command(run):
    """The command of one run: without what is of its series or machine."""
    command = re.sub(OWN, "", re.sub(r"^\S*/", "./", run["command"]))
    if re.search(r"--model[-_]path", command):
        sys.exit(f"{run['command']}: a row's training begins with no other's weights")
    return re.sub(r"--batch-sizes[ =]\S+", f"--batch-size {run['batch_size']}", command)


def take(root, name, folders):
    """Puts results among the committed ones; before one is written all are checked."""
    if name not in ROWS:
        sys.exit(f"{name}: expected a row of scripts/results.py: {', '.join(ROWS)}")
    new = {}
    for run in (run for folder in folders for run in results_of(pathlib.Path(folder))):
        if run["seed"] in new:
            sys.exit(f"{name}: seed {run['seed']} comes twice; a row has one run of each")
        run["command"] = own_command(run)
        run["cpu"] = run["cpu"].strip()
        new[run["seed"]] = run
    old = [json.loads(path.read_text()) for path in root.glob(f"docs/results/{name}-seed-*.json")]
    check(name, [*new.values(), *(run for run in old if run["seed"] not in new)])
    for seed, run in new.items():
        (root / f"docs/results/{name}-seed-{seed}.json").write_text(json.dumps(run, indent=2) + "\n")


def check(name, runs):
    for key in SAME:
        if any(run[key] != runs[0][key] for run in runs):
            sys.exit(f"docs/results/{name}-seed-*.json: {key} differs between seeds")


def mean(runs, key, scale=1.0):
    values = [run[key] * scale for run in runs if key in run]
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def with_views(runs):
    """Accuracy with test-time augmentation; of one run with its interval."""
    text = mean(runs, "test_accuracy_tta", 100)
    if len(runs) == 1 and "test_accuracy_tta_low" in runs[0]:
        text += f", {100 * runs[0]['test_accuracy_tta_low']:.2f} to {100 * runs[0]['test_accuracy_tta_high']:.2f}"
    return text


def worst_class(runs):
    """The class with the lowest accuracy, in the mean over runs."""
    classes = [run["class_accuracy"] for run in runs if "class_accuracy" in run]
    if not classes:
        return ""
    accuracy = {name: statistics.mean(run[name] for run in classes) for name in classes[0]}
    worst = min(accuracy, key=accuracy.get)
    return f"{worst} {100 * accuracy[worst]:.1f}"


def row(name, runs):
    first = runs[0]
    check(name, runs)
    title, number, kind = ROWS[name]
    compared = f"{number:g} ({kind})" if number else ""
    seconds = statistics.mean(run["train_seconds"] for run in runs)
    memory = max(run.get("peak_resident_bytes", run["peak_memory_bytes"]) for run in runs)
    interval = f"{100 * first['test_accuracy_low']:.2f} to {100 * first['test_accuracy_high']:.2f}"
    command = first["command"].removeprefix("./")
    latency = f"{statistics.mean(run['latency_ms']['p50'] for run in runs):.2f}" if "latency_ms" in first else ""
    loss = statistics.mean(run["test_loss"] for run in runs)
    macs = f"{first['macs'] / 1e6:.1f}" if "macs" in first else ""
    return (f"| {title} | `{command}` | {first['parameters']:,} | {macs} | {len(runs)} | "
            f"{mean(runs, 'test_accuracy', 100)} | {interval if len(runs) == 1 else ''} | "
            f"{mean(runs, 'train_accuracy', 100)} | {loss:.3f} | {worst_class(runs)} | "
            f"{with_views(runs)} | {compared} | {first['epochs']} | "
            f"{seconds:.0f} | {latency} | {memory / 1e6:.0f} | {first['cpu'].strip()} | {first['git_revision']} |")


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    if len(sys.argv) > 2:
        take(root, sys.argv[1], sys.argv[2:])
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
        "interval; beside it that of training images as they are, not augmented. Loss is the mean cross-entropy of the test",
        "images, over seeds as worst class, seconds and latency are. Nothing was chosen by the test images. Seconds are those of training alone, on cores that other programs may",
        "have shared; latency is the median for one image; memory is the most that the process had resident, in 10^6 bytes.",
        "",
        "| network | command | parameters | MACs, 10^6 | seeds | accuracy | interval | of training images | loss | worst class | with test-time views | compared with | epochs | seconds | latency, ms | memory | CPU | revision |",
        "|" + "---|" * 18,
    ]
    lines += [row(name, groups[name]) for name in ROWS if name in groups]
    lines += ["", "To compare parameters with: ResNet-18 for three channels has 11,173,962 (555 million MACs an image of 32 x 32,",
              "`networks::resnet18_color`); MobileNetV2 is cited with 2,237,160 and was not built."]
    lines += [""] + [f"{ROWS[name][0]}: {text}." for name, text in REMARKS.items() if name in groups]
    (root / "docs/results.md").write_text("\n".join(lines) + "\n")


main()
