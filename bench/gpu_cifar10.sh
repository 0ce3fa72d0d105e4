#!/usr/bin/env bash
# A recipe for CIFAR-10 on a GPU, within nine minutes and without a network; the same call again goes on with a run that
# did not end in that time.
#
#   bench/gpu_cifar10.sh [OUT] [BINARY] [RECIPE]      OUT [gpu-cifar10], BINARY [target/release/logo-ssl]
#
# RECIPE is one of
#   --paper          SimSiam-LoGo, the preset cifar10, for 200 epochs: what is run where none is named
#   --local16        the same with local views of 16 pixels, as the paper's, not of 32: some 30 % less to compute
#   --earlier        the earlier code's settings, the preset cifar10-seed, for 105 epochs
#   --minute         the preset cifar10-gpu-minute: a minute of updates
#   --best           the preset cifar10-gpu: five minutes of them
#
#   LOGO_SSL_DATA    the folder with CIFAR-10 or its archive
#   DEVICE           where, as `logo-ssl devices` names it [cuda]; PRECISION [bf16], EPOCHS [the recipe's]
#   RUNS             where the run itself lies, with its checkpoints [/dev/shm/logo-ssl-runs, where 2 GB are free, else OUT.runs]
#   BUDGET           seconds in all [530]
#   SET              more settings, as in SET="model.width=8 data.limit=512"
#
# OUT gets config.toml, metrics.jsonl, timings.jsonl, report.html, plots/, weights.safetensors (45 MB, of a run that ended),
# log.txt and knn.md, the table for docs/results/gpu.md. The exit code is 3 where the run has yet to go on.
set -euo pipefail

# A checkpoint of 150 MB is synced to disk twice an epoch, and an epoch takes 2.5 s: on a disk that would cost minutes.
default_runs() {
  local free
  free=$(df --output=avail -B1M /dev/shm 2>/dev/null | tail -n 1 | tr -d ' ')
  if [ "${free:-0}" -gt 2000 ]; then
    echo /dev/shm/logo-ssl-runs
  else
    echo "$OUT.runs"
  fi
}

give_up() { printf '%s\n' "$*" >&2; exit 2; }

NAMES=() EXTRA=()
recipe() { NAME=$1 PRESET=$2 EPOCHS=${EPOCHS:-$3} EXTRA=("${@:4}"); }
for argument in "$@"; do
  case $argument in
    --paper) recipe cifar10 cifar10 200 ;;
    --local16) recipe cifar10-local16 cifar10 200 --set views.local.size=16 ;;
    --earlier) recipe cifar10-seed cifar10-seed 105 --set eval.every=5 ;;
    --minute) recipe cifar10-gpu-minute cifar10-gpu-minute "" ;;
    --best) recipe cifar10-gpu cifar10-gpu "" ;;
    -*) give_up "there is no $argument; see the head of $0" ;;
    *) NAMES+=("$argument") ;;
  esac
done
[ -n "${PRESET:-}" ] || recipe cifar10 cifar10 200
OUT=${NAMES[0]:-gpu-cifar10}
BINARY=${NAMES[1]:-target/release/logo-ssl}
DEVICE=${DEVICE:-cuda}
BUDGET=${BUDGET:-530}
[ -x "$BINARY" ] || give_up "$BINARY is no program: build it (cargo build --release), or name it as the second argument"
[ -n "${LOGO_SSL_DATA:-}" ] || give_up "LOGO_SSL_DATA must name the folder with CIFAR-10 or its archive"
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
RUN=${RUNS:-$(default_runs)}/$NAME
for setting in ${SET:-}; do EXTRA+=(--set "$setting"); done
LOG=$RUN.log

facts() {
  nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || true
  "$BINARY" --version
  echo "$(nproc) cores, the run in $RUN"
}

# SIGINT has the run save itself and stop. --foreground, since timeout would otherwise send it twice, and the second ends
# the run at once; what has not stopped a quarter of a minute later is killed, and goes on from the checkpoint before.
train() {
  local limit=$((BUDGET - SECONDS - 20))
  if [ -f "$RUN/config.toml" ]; then
    set -- --resume
  else
    set -- --preset "$PRESET" --precision "${PRECISION:-bf16}" ${EPOCHS:+--epochs "$EPOCHS"} "${EXTRA[@]}"
  fi
  # Within an epoch of 97 updates nothing need be saved.
  timeout --foreground -s INT -k 15 "$limit" "$BINARY" pretrain "$@" --device "$DEVICE" --run-dir "$RUN" \
    --checkpoint-every 1000000 2>&1 | tee -a "$LOG"
}

knn_table() {
  echo "| epoch | features | k = 1 | k = 20 | k = 200 |"
  echo "| ---: | --- | ---: | ---: | ---: |"
  grep '"kind":"knn"' "$RUN/metrics.jsonl" | while read -r line; do
    printf '| %s | %s |' "$(value epoch "$line")" "$(value source "$line")"
    # One top1 for each k, in order.
    grep -o '"top1":[0-9.eE-]*' <<<"$line" | cut -d : -f 2 | while read -r top1; do
      LC_ALL=C awk -v top1="$top1" 'BEGIN { printf " %.2f %% |", 100 * top1 }'
    done
    echo
  done
}

# A field of a line of JSON that holds no such name twice.
value() { sed -E "s/.*\"$1\":\"?([^\",}]*).*/\1/" <<<"$2"; }

# All updates but the run's first, which waits for the compiler; where it went on, so does one of those that count.
training_time() {
  LC_ALL=C awk -F '[:,}]' '/"kind":"timing"/ && seen++ {
    for (at = 1; at < NF; at++) if ($at ~ /"(step|views_wait|bookkeeping)_ms"/) sum += $(at + 1)
  } END { if (seen > 1) printf "%d updates after the first took %.1f s, views and records included\n", seen - 1, sum / 1000 }' "$RUN/timings.jsonl"
}

bring_back() {
  local file
  "$BINARY" report "$RUN" --quiet || echo "no report: the run has no epoch yet"
  for file in config.toml metrics.jsonl timings.jsonl report.html preview.png plots weights.safetensors; do
    if [ -e "$RUN/$file" ]; then cp -r "$RUN/$file" "$OUT/"; fi
  done
  cp "$LOG" "$OUT/log.txt"
  knn_table >"$OUT/knn.md" || true
}

mkdir -p "$(dirname "$RUN")"
facts | tee -a "$LOG"
CODE=0
train || CODE=$?
[ -f "$RUN/metrics.jsonl" ] || give_up "the run did not begin (exit code $CODE)"
bring_back
cat "$OUT/knn.md"
training_time | tee -a "$OUT/log.txt"
echo "the paper: 87.67 % at k = 1; the earlier code, after 200: 64.13 %"
STEPS=$(grep -c '"kind":"step"' "$RUN/metrics.jsonl" || true)
if [ -f "$RUN/weights.safetensors" ]; then
  echo "done after $STEPS updates: $OUT"
elif [ "$CODE" -eq 124 ]; then
  echo "out of time after $STEPS updates, and saved: the same call goes on with it, while $RUN is there"
  exit 3
else
  echo "FAILED (exit code $CODE) after $STEPS updates; see $OUT/log.txt. The same call goes on with it"
  exit 1
fi
