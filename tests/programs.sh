#!/usr/bin/env bash
# Runs each program on FashionMNIST for an epoch of a few made-up images, goes on for a second one, and
# looks for what it must leave behind; interrupts one, which must say so and go on too.
# Usage: tests/programs.sh folder-of-the-programs
set -euo pipefail
programs=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/data"

# idx NAME COUNT: images and labels of a split, of any bytes.
idx() {
  local count
  printf -v count '\\x%02x\\x%02x\\x%02x\\x%02x' 0 0 $(($2 >> 8)) $(($2 & 255))
  { printf "\\0\\0\\x08\\x03$count\\0\\0\\0\\x1c\\0\\0\\0\\x1c"
    head -c $(($2 * 784)) < <(yes 'an image of 28 x 28, more or less'); } \
    > "$work/data/$1-images-idx3-ubyte"
  { printf "\\0\\0\\x08\\x01$count"
    head -c "$2" < <(yes '0123456789' | tr -d '\n' | tr '0-9' '\000-\011'); } \
    > "$work/data/$1-labels-idx1-ubyte"
}
idx train 120
idx t10k 60

fail() { printf 'programs: %s\n' "$*"; exit 1; }

# once FOLDER PROGRAM [ACTION] OPTION...: one epoch, then a second.
once() {
  local out=$work/$1 program=$2 action=() epochs
  shift 2
  if [ "${1-}" = train ]; then action=(train); shift; fi
  for epochs in 1 2; do
    "$programs/$program" "${action[@]}" --data "$work/data" --out "$out" --batch-size 30 --epochs $epochs \
      $([ $epochs = 2 ] && printf -- --resume) "$@" > "$work/log" 2>&1 ||
      { cat "$work/log"; fail "$program $* ended with an error"; }
    for file in result.json history.csv report.html model.safetensors checkpoint.safetensors; do
      [ -s "$out/$file" ] || fail "$program left no $file"
    done
    [ "$(wc -l < "$out/history.csv")" = $((epochs + 1)) ] || fail "$program: $epochs epochs expected"
  done
  printf '%s %s: ok\n' "$program" "$*"
}
# Folders of somebody else's beside those of the runs.
mkdir "$work/other" && echo '[]' > "$work/other/result.json" && echo '{"total": 5}' > "$work/other/summary.json"
mkdir "$work/alike-seed-1" "$work/words"
echo '{"test_accuracy": 0.5, "worst_class": 3, "latency_ms": [], "goals": [1]}' > "$work/alike-seed-1/result.json"
echo '{"test_accuracy": "?"}' > "$work/words/result.json"
echo '{"x": {"test_accuracy": 1, "compared_with": 2}}' > "$work/words/summary.json"
mkdir -p "$work/folder/result.json" "$work/cut" && echo '{"test_accur' > "$work/cut/result.json"
once quickstart quickstart
once v5 fashion_mnist_v7 --network v5 --ema 0.9 --tta --cut-mix --rand-augment --clip 1 --preview
head -c 4 "$work/v5/preview.png" | grep -q PNG || fail "no picture of the augmented images"
once muon fashion_mnist_v7 --network v5 --muon
once seair fashion_mnist_v7 --network seair_small --precision bfloat16
once budget fashion_mnist_budget --network toy --precision bfloat16 --select validation
once compact fashion_mnist_budget --network seair_compact --precision bfloat16
grep -q '^FashionMNIST: 60 images of ' "$work/log" || { cat "$work/log"; fail "no statistics of the data"; }
once half fashion_mnist_budget --network toy --precision float16
once classes fashion_mnist_per_class --augment --schedule cosine
once growing fashion_mnist_growing_batch train --n 3 --k 7

# Members of an ensemble, its own result, and the seven runs of another grid.
"$programs/fashion_mnist_v7" --data "$work/data" --out "$work/three" --network v5 --epochs 1 --ensemble 3 \
  > "$work/log" 2>&1 || { cat "$work/log"; fail "an ensemble ended with an error"; }
grep -q 'ensemble of 3: ' "$work/log" || { cat "$work/log"; fail "no line of the ensemble"; }
grep -q '"ensemble": 3' "$work/three/result.json" || fail "the ensemble left no result"
grep -q '"worst_class"' "$work/three/result.json" || fail "no worst class of the ensemble"
grep -q 'mean of the members' "$work/three/report.html" || fail "the ensemble left no report"
[ "$(grep -c '"worst_class"' "$work/three/summary.json")" = 3 ] || fail "the members left no summary"
"$programs/fashion_mnist_growing_batch" train --grid --data "$work/data" --out "$work/seven" --limit-train 10 \
  > "$work/log" 2>&1 || { cat "$work/log"; fail "the seven runs ended with an error"; }
[ "$(grep -c '"compared_with"' "$work/seven/summary.json")" = 7 ] || fail "seven runs expected"
[ "$(grep -c '"parameters": [0-9]*,' "$work/three/result.json")" = 1 ] || fail "parameters are a whole number"
# Runs within runs go on too: none of the four begins again.
for again in '' --resume; do
  "$programs/fashion_mnist_v7" --data "$work/data" --out "$work/nested" --network v5 --epochs 1 --ensemble 2 \
    --seeds 1,5 $again > "$work/log" 2>&1 || { cat "$work/log"; fail "two ensembles ended with an error"; }
done
[ "$(grep -c 'Epoch 1/1' "$work/log")" = 0 ] || { cat "$work/log"; fail "finished members began anew"; }
# Networks that were trained alone are tested together.
for seed in 1 2; do
  "$programs/fashion_mnist_v7" --data "$work/data" --out "$work/pair/seed-$seed" --network v5 --epochs 1 --seed $seed \
    > "$work/log" 2>&1 || { cat "$work/log"; fail "a member ended with an error"; }
done
"$programs/fashion_mnist_v7" --data "$work/data" --out "$work/pair" --network v5 --epochs 1 --ensemble 2 --tta --resume \
  > "$work/log" 2>&1 || { cat "$work/log"; fail "members trained alone were not tested together"; }
[ "$(grep -c 'Epoch 1/1' "$work/log")" = 0 ] || { cat "$work/log"; fail "members trained alone began anew"; }
grep -q '"test_accuracy_tta"' "$work/pair/result.json" || fail "no views of the pair"
printf 'ensemble, seven runs: ok\n'

# Training ends where nothing gets better, and --resume does not begin it again; --profile has its table.
for again in '' --resume; do
  "$programs/fashion_mnist_budget" --network toy --data "$work/data" --out "$work/early" --epochs 40 \
    --lr 1e-12 --select validation --patience 2 --schedule multi_step --profile $again > "$work/log" 2>&1 ||
    { cat "$work/log"; fail "early stopping ended with an error"; }
  grep -q '"epochs": 3,' "$work/early/result.json" || { cat "$work/log"; fail "three epochs expected"; }
  grep -q '"what": "latency p95' "$work/early/result.json" || fail "no goals in result.json"
done
[ "$(grep -c 'Epoch ' "$work/log")" = 0 ] || { cat "$work/log"; fail "what had ended went on"; }
# Epochs of small images are no reason to end.
"$programs/fashion_mnist_budget" --network resnet12 --data "$work/data" --out "$work/patient" --epochs 8 --lr 1e-12 \
  --patience 1 --small-epochs 3 > "$work/log" 2>&1 || { cat "$work/log"; fail "early stopping ended with an error"; }
[ "$(wc -l < "$work/patient/history.csv")" -ge 6 ] || { cat "$work/log"; fail "it ended before its second full epoch"; }
printf 'early stopping: ok\n'

# Several runs and their table; those that are finished are not trained again.
for again in '' --resume; do
  "$programs/fashion_mnist_per_class" --data "$work/data" --out "$work/grid" --epochs 1 \
    --batch-sizes 30,60 --seeds 1,2 --dropout values $again > "$work/log" 2>&1 ||
    { cat "$work/log"; fail "a grid ended with an error"; }
  grep -q 'batch-60: mean of 2 seeds' "$work/log" || { cat "$work/log"; fail "no mean over seeds"; }
  [ "$(grep -c '"worst_class"' "$work/grid/summary.json")" = 4 ] || fail "summary.json lacks runs"
done
[ "$(grep -c 'Epoch 1/1' "$work/log")" = 0 ] || { cat "$work/log"; fail "finished runs began anew"; }
"$programs/fashion_mnist_per_class" --data "$work/data" --out "$work/rows" --limit-train 60 --grid \
  > "$work/log" 2>&1 || { cat "$work/log"; fail "the nine runs ended with an error"; }
[ "$(grep -c '"compared_with"' "$work/rows/summary.json")" = 9 ] || fail "nine runs expected"
printf 'grids: ok\n'

# CIFAR-10: files of the right size, of one image and one class.
mkdir "$work/cifar"
printf '%s\n' airplane automobile bird cat deer dog frog horse ship truck > "$work/cifar/batches.meta.txt"
image=$(head -c 3072 < <(yes 'another image' | tr -d '\n'))
for name in data_batch_{1,2,3,4,5} test_batch; do
  { printf '\001'; head -c 30729999 < <(yes "$image" | tr '\n' '\001'); } > "$work/cifar/$name.bin"
done
"$programs/cifar10_depthwise" --data "$work/cifar" --out "$work/depthwise" --epochs 1 --limit-train 100 \
  --mix-up --cut-mix --ricap --shift-scale-rotate --brightness-contrast --hue-saturation --coarse-dropout \
  --no-crop --no-flip > "$work/log" 2>&1 || { cat "$work/log"; fail "cifar10_depthwise ended with an error"; }
grep -q '"parameters": 150690,' "$work/depthwise/result.json" || fail "150,690 parameters expected"
printf 'cifar10_depthwise: ok\n'

# A model is tested, and training begins where another ended.
growing() {
  "$programs/fashion_mnist_growing_batch" "$@" --data "$work/data" > "$work/log" 2>&1
}
growing test --model_path "$work/growing" || { cat "$work/log"; fail "a model was not tested"; }
grep -q '^test accuracy .* loss .* (.* to .*)$' "$work/log" || { cat "$work/log"; fail "no line of the test"; }
cp -r "$work/growing" "$work/gr"$'\xf6'"sse"  # a name that is not UTF-8
growing train --model-path "$work/gr"$'\xf6'"sse" --epochs 1 --out "$work/more" ||
  { cat "$work/log"; fail "a model was not trained further"; }
growing test && fail "a test without a model was accepted"
grep -q -- '--model-path FOLDER' "$work/log" || { cat "$work/log"; fail "no way out is named"; }
printf 'fashion_mnist_growing_batch test, and train from a model: ok\n'
for network in v5 seair_small; do
  folder=$work/${network%_small}
  [ $network = v5 ] && precision=float || precision=bfloat16
  "$programs/fashion_mnist_v7" --data "$work/data" --network $network --precision $precision --test "$folder" --tta \
    > "$work/log" 2>&1 ||
    { cat "$work/log"; fail "$network was not tested"; }
  grep -q '^with test-time augmentation ' "$work/log" || { cat "$work/log"; fail "no views in the test"; }
  percent=$(sed -n 's/^test accuracy \([0-9.]*\) .*/\1/p' "$work/log")
  stored=$(sed -n 's/.*"test_accuracy": \([0-9.e+-]*\),.*/\1/p' "$folder/result.json")
  [ "$percent" = "$(awk -v a="$stored" 'BEGIN { printf "%.2f", 100 * a }')" ] ||
    { cat "$work/log" "$folder/result.json"; fail "the stored $network has another accuracy"; }
done
grep -q '^three ' "$work/log" || { cat "$work/log"; fail "no table of the runs beside the tested one"; }
printf 'fashion_mnist_v7 --test: ok\n'

# A run that had ended stays as it was.
cp "$work/quickstart/result.json" "$work/before.json"
"$programs/quickstart" --data "$work/data" --out "$work/quickstart" --batch-size 30 --epochs 2 --resume > "$work/log" 2>&1 ||
  { cat "$work/log"; fail "what had ended did not go on"; }
cmp -s "$work/before.json" "$work/quickstart/result.json" || fail "a test took the place of a training's results"
# But not beside the results of another training.
sed 's/"train_seconds": /&9/' "$work/before.json" > "$work/another.json"
cp "$work/another.json" "$work/quickstart/result.json"
"$programs/quickstart" --data "$work/data" --out "$work/quickstart" --batch-size 30 --epochs 2 --resume > "$work/log" 2>&1 ||
  { cat "$work/log"; fail "what had ended did not go on"; }
! cmp -s "$work/another.json" "$work/quickstart/result.json" || fail "the results of another training stayed"

# Other settings are refused, and said.
"$programs/fashion_mnist_v7" --data "$work/data" --out "$work/v5" --network v5 --batch-size 20 \
  --epochs 3 --resume > "$work/log" 2>&1 && fail "a checkpoint of other settings was accepted"
grep -q 'batch-size: file 30, now 20' "$work/log" || { cat "$work/log"; fail "no word of batch-size"; }

"$programs/fashion_mnist_v7" --data "$work/data" --out "$work/muon" --network v5 --muon --batch-size 30 \
  --epochs 1 --resume > "$work/log" 2>&1 && fail "fewer epochs than the run has behind it"
grep -q -- '--epochs\] the run is further' "$work/log" || { cat "$work/log"; fail "no word of --epochs"; }
"$programs/fashion_mnist_v7" --data "$work/data" --out "$work/fixed" --network v5 --small-epochs 1 \
  > "$work/log" 2>&1 && fail "small images for a network that takes none"
grep -q 'takes images of 28 x 28' "$work/log" || { cat "$work/log"; fail "no word of the size"; }
"$programs/fashion_mnist_budget" --data "$work/data" --out "$work/fixed" --network resnet12 --small-epochs 2 \
  --epochs 2 > "$work/log" 2>&1 && fail "no epoch of full size"
grep -q 'last epoch must see images of full size' "$work/log" || { cat "$work/log"; fail "no word of small epochs"; }
"$programs/fashion_mnist_v7" --data "$work/data" --out "$work/shared" --network v5 --ensemble 2 --seeds 7,6 \
  > "$work/log" 2>&1 && fail "two ensembles with one network in both"
grep -q 'share networks' "$work/log" || { cat "$work/log"; fail "no word of shared networks"; }

"$programs/fashion_mnist_v7" --data "$work/data" --network v5 --epochs 1 --test "" > "$work/log" 2>&1 &&
  fail "an empty --test trained"
grep -q -- '--test: is empty' "$work/log" || { cat "$work/log"; fail "no word of an empty --test"; }
"$programs/quickstart" --data "$work/data" --seeds 3,1,3 > "$work/log" 2>&1 && fail "two runs of one seed"
grep -q -- '--seeds: 3 comes twice' "$work/log" || { cat "$work/log"; fail "no word of a seed that comes twice"; }

# Ctrl-C: the step ends, the exit status says so, and --resume goes on.
# interrupt FOLDER PROGRAM OPTION...: after an epoch or more
interrupt() {
  local out=$work/$1 program=$2 running status=0
  shift 2
  "$programs/$program" --data "$work/data" --out "$out" --batch-size 10 --epochs 1000 "$@" > "$work/log" 2>&1 &
  running=$!
  for _ in $(seq 300); do [ -s "$out/checkpoint.safetensors" ] && break; sleep 0.1; done
  kill -INT $running
  wait $running || status=$?
  [ $status = 130 ] || { tail -n 3 "$work/log"; fail "$program, interrupted, ended with $status, not 130"; }
}
# go_on FOLDER PROGRAM OPTION...: to the end of the epoch behind; each has seen every image once
go_on() {
  local out=$work/$1 program=$2 epoch
  shift 2
  epoch=$(grep -o 'stopped in epoch [0-9]*' "$work/log" | grep -o '[0-9]*')
  "$programs/$program" --data "$work/data" --out "$out" --batch-size 10 --epochs $((epoch + 1)) --resume "$@" \
    > "$work/log" 2>&1 || { cat "$work/log"; fail "what was interrupted did not go on"; }
  [ "$(tail -n +2 "$out/history.csv" | cut -d , -f 8 | uniq -c | tr -s ' ')" = " $((epoch + 1)) 120" ] ||
    { cat "$out/history.csv"; fail "$program: $((epoch + 1)) epochs of 120 images expected"; }
}
# same_as_unbroken FOLDER PROGRAM OPTION...: the run, interrupted once, ends with the same weights, bit for bit.
same_as_unbroken() {
  local out=$work/$1 program=$2 running
  shift 2
  local all=("$programs/$program" --data "$work/data" --batch-size 10 "$@")
  "${all[@]}" --out "$out-whole" > "$work/log" 2>&1 || { cat "$work/log"; fail "$program ended with an error"; }
  "${all[@]}" --out "$out" > "$work/log" 2>&1 &
  running=$!
  for _ in $(seq 300); do [ -s "$out/checkpoint.safetensors" ] && break; sleep 0.1; done
  kill -INT $running 2> /dev/null || true
  wait $running && fail "$program had ended before it was interrupted"
  touch "$out/checkpoint.safetensors.tmp1-0"  # of one that was killed
  "${all[@]}" --out "$out" --resume > "$work/log" 2>&1 || { cat "$work/log"; fail "$program did not go on"; }
  cmp "$out/model.safetensors" "$out-whole/model.safetensors" || fail "$program: interrupted, it learned otherwise"
  [ ! -e "$out/checkpoint.safetensors.tmp1-0" ] || fail "an unfinished checkpoint stayed"
}
same_as_unbroken broken fashion_mnist_budget --network resnet12 --precision bfloat16 --epochs 6 --muon \
  --small-epochs 3 --cut-mix --rand-augment --ema 0.9
printf 'interrupted and whole: ok\n'
interrupt quick quickstart
go_on quick quickstart
interrupt stop fashion_mnist_v7 --network v5
go_on stop fashion_mnist_v7 --network v5
printf 'Ctrl-C: ok\n'
