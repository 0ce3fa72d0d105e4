#!/usr/bin/env bash
# logo-ssl beside JAX and PyTorch on a GPU, in one call of at most six minutes and without a network.
#
#   bench/gpu.sh [OUT] [BINARY]      OUT [gpu-results], BINARY [target/release/logo-ssl]
#
#   DEVICE           what is measured, as `logo-ssl devices` names it [cuda]; the path of a CPU plugin for a dry run
#   LOGO_SSL_DATA    the folder with CIFAR-10 or its archive; without it the end-to-end part is skipped
#   PYTHON           with torch and jax; a peer that is not installed is skipped [python3]
#   PARTS            which of update, end-to-end, resnet50, deterministic and more [all of them, in this order]
#   PEERS            which of jax and torch run beside it [both]
#   ROUNDS           how often the update is measured [4]
#   SMALL=1          tiny sizes, drawn pictures and no torch.compile, to see that everything runs; its figures mean nothing
#   BUDGET           seconds in all [345]
#   SCRATCH          where run directories and caches lie meanwhile [a new folder in /dev/shm or $TMPDIR]
#
# OUT gets gpu.md, the tables for docs/results/gpu.md, results.jsonl, every figure, and log/, what each part printed.
# Sides alternate: ours, JAX, PyTorch, ours, … Each part is a process of its own, so that no two hold the GPU's memory at
# once. All three keep compiled programs on disk: in the first round each compiles, later ones measure what that chose. A
# part that fails or finds no time is said, and the next one begins; the exit code is 1 where one failed.
set -uo pipefail

OUT=${1:-gpu-results}
BINARY=${2:-target/release/logo-ssl}
DEVICE=${DEVICE:-cuda}
PYTHON=${PYTHON:-python3}
BUDGET=${BUDGET:-345}
SMALL=${SMALL:-}
PARTS=${PARTS:-update end-to-end resnet50 deterministic more}
WANTED=${PEERS-jax torch}
HERE=$(cd "$(dirname "$0")" && pwd)

say() { printf '[%3d s] %s\n' "$SECONDS" "$*"; }
give_up() { printf '%s\n' "$*" >&2; exit 2; }

[ -x "$BINARY" ] || give_up "$BINARY is no program: build it (cargo build --release), or name it as the second argument"
command -v "$PYTHON" >/dev/null || give_up "$PYTHON is not here, and writes the tables: name another by PYTHON"
mkdir -p "$OUT/log" || give_up "$OUT cannot be made"
OUT=$(cd "$OUT" && pwd)
BINARY=$(realpath "$BINARY")
RESULTS=$OUT/results.jsonl
: >"$RESULTS"
FAILED=()

# A disk's speed is no part of what is measured.
make_scratch() {
  local free
  free=$(df --output=avail -B1M /dev/shm 2>/dev/null | tail -n 1 | tr -d ' ')
  if [ "${free:-0}" -gt 4000 ]; then mktemp -d /dev/shm/gpu.XXXXXX; else mktemp -d; fi
}
if [ -z "${SCRATCH:-}" ]; then
  SCRATCH=$(make_scratch)
  trap 'rm -rf "$SCRATCH"' EXIT
  trap 'exit 130' INT TERM
fi
mkdir -p "$SCRATCH" || give_up "$SCRATCH cannot be made"

# Every side compiles in its first round, and keeps what it compiled for the next.
export XDG_CACHE_HOME=$SCRATCH/ours
export JAX_COMPILATION_CACHE_DIR=$SCRATCH/jax JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0
export TORCHINDUCTOR_CACHE_DIR=$SCRATCH/torch TRITON_CACHE_DIR=$SCRATCH/triton
# A GPU's memory is taken as it is needed, and given back at the end of each process.
export XLA_PYTHON_CLIENT_PREALLOCATE=false XLA_PYTHON_CLIENT_MEM_FRACTION=0.9
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2} PYTHONDONTWRITEBYTECODE=1

if [ -n "$SMALL" ]; then
  WIDTH=4 BATCH=8 STEPS=2 RESNET50=(8 32 2) ROUNDS=${ROUNDS:-2}
  TORCH=bf16 EPOCHS=3 IMAGES=(--dataset shapes --limit 64)
else
  WIDTH=64 BATCH=512 STEPS=6 RESNET50=(64 224 256) ROUNDS=${ROUNDS:-4}
  TORCH=bf16-compile EPOCHS=8 IMAGES=()
fi
UPDATE=(--preset cifar10 --set "model.width=$WIDTH" --set "optimizer.batch_size=$BATCH" --set compute.precision=bf16)

# part NAME LIMIT COMMAND...: runs it for at most so many seconds, and for no longer than the budget has left. What it prints
# goes to log/NAME.out and log/NAME.err.
part() {
  local name=$1 limit=$2 left=$((BUDGET - SECONDS - 3)) code=0
  shift 2
  if [ "$left" -lt 12 ] && [ -z "$SMALL" ]; then
    say "$name: no time left"
    return 1
  fi
  [ "$limit" -lt "$left" ] || limit=$left
  [ -z "$SMALL" ] || limit=${SMALL_LIMIT:-300}
  say "$name"
  printf '%q ' "$@" >"$OUT/log/$name.command"
  timeout -k 5 "$limit" "$@" >"$OUT/log/$name.out" 2>"$OUT/log/$name.err" || code=$?
  [ "$code" -eq 0 ] && return
  FAILED+=("$name")
  case $code in
    124 | 137) say "$name: FAILED, not done within $limit s, after: $(printed "$name")" ;;
    *) say "$name: FAILED (exit code $code): $(failure "$name" | cut -c1-300)" ;;
  esac
  return 1
}

# What a part that failed said of it: a Python peer in its line, the program in its last one.
failure() { grep -h '"error"' "$OUT/log/$1.out" || tail -n 1 "$OUT/log/$1.err"; }

# What a part that ran out of time had printed, by its last lines.
printed() { tail -q -n 3 "$OUT/log/$1.out" "$OUT/log/$1.err" | grep . | paste -sd ';' | cut -c1-300; }

# keep CASE WHO ROUND NAME: the JSON line that the part NAME printed, with where it belongs.
keep() {
  "$PYTHON" - "$@" "$OUT/log/$4.out" <<'END' >>"$RESULTS"
import json, sys
case, who, round_, _, path = sys.argv[1:]
found = json.loads(open(path).read().strip().splitlines()[-1])
found = {**found, **found.pop("found", {})}
found["rate"] = found.get("images_per_second") or found.get("crops_per_second")
# What the peers call `case` is the command's.
print(json.dumps({**found, "case": case, "who": who, "round": int(round_)}))
END
  say "  $(last_rate 1)"
}

# Of the result that is so many lines from the end.
last_rate() {
  tail -n "$1" "$RESULTS" | head -n 1 | "$PYTHON" -c 'import json, sys; print("%.0f a second" % json.load(sys.stdin)["rate"])'
}

has() { "$PYTHON" -c "import importlib.util as u, sys; sys.exit(u.find_spec('$1') is None)"; }

ours() { # CASE ROUND COMMAND...
  local case=$1 round=$2 name=$1-ours-$2
  shift 2
  part "$name" 120 "$BINARY" bench "$@" --device "$DEVICE" --json && keep "$case" ours "$round" "$name"
}

peer() { # CASE ROUND jax|torch ARGUMENT
  local name=$1-$3-$2
  [[ " ${PEERS[*]} " == *" $3 "* ]] || return
  part "$name" 120 "$PYTHON" "$HERE/gpu_$3.py" "$4" && keep "$1" "$3" "$2" "$name"
}

facts() {
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null
  "$BINARY" --version
  "$PYTHON" --version
  grep -m 1 'model name' /proc/cpuinfo | sed 's/.*: //'
  echo "$(nproc) cores; run directories and caches in $(df --output=fstype "$SCRATCH" | tail -n 1)"
}

update_round() {
  ours update "$1" update "${UPDATE[@]}" --steps "$STEPS"
  peer update "$1" jax "logo:$WIDTH:32:$BATCH:bf16"
  peer update "$1" torch "logo:$WIDTH:32:$BATCH:$TORCH"
}

resnet50_round() {
  local width=${RESNET50[0]} side=${RESNET50[1]} batch=${RESNET50[2]}
  ours resnet50 "$1" step --backbone resnet50 --stem imagenet --size "$side" --width "$width" --batch "$batch" --precision bf16
  peer resnet50 "$1" torch "resnet50:$width:$side:$batch:$TORCH"
}

# Where time is left: the backbone's step alone, updates with the same bytes, small local views.
more() {
  ours update-deterministic 1 update "${UPDATE[@]}" --set compute.deterministic=true --steps "$STEPS"
  peer resnet50 1 jax "resnet50:${RESNET50[0]}:${RESNET50[1]}:${RESNET50[2]}:bf16"
  ours update-local16 1 update "${UPDATE[@]}" --set views.local.size=16 --steps "$STEPS"
  peer update-local16 1 jax "logo:$WIDTH:32/16:$BATCH:bf16"
  ours resnet18 1 step --width "$WIDTH" --batch "$((2 * BATCH))" --precision bf16
  peer resnet18 1 jax "resnet18c:$WIDTH:32:$((2 * BATCH)):bf16"
  peer resnet18 1 torch "resnet18c:$WIDTH:32:$((2 * BATCH)):$TORCH"
}

# A whole run, views from the CPU; a clock beside it notes when each epoch ends, so that whatever happens between epochs
# counts. The first epoch is left out: the program is new, and the number of threads that make views is still rising.
end_to_end() {
  local name=end-to-end
  if [ -z "${LOGO_SSL_DATA:-}$SMALL" ]; then
    say "$name: SKIPPED, since LOGO_SSL_DATA does not name the folder with CIFAR-10"
    return
  fi
  # shellcheck disable=SC2016
  part "$name" 110 bash -c '
    set -o pipefail
    clock=$1; shift
    "$@" | "$0" -c "$clock"' "$PYTHON" '
import json, sys, time
first = None
for line in sys.stdin:
    event = json.loads(line)
    if event["event"] == "started":
        steps = event["steps_per_epoch"]
    if event["event"] == "epoch":
        now, epoch = time.monotonic(), event["epoch"]
        first = first or (now, epoch)
seconds, epochs = now - first[0], epoch - first[1]
print(json.dumps({"steps_per_epoch": steps, "epochs": epochs, "steps_a_second": epochs * steps / seconds}))
' "$BINARY" pretrain "${UPDATE[@]}" --device "$DEVICE" --epochs "$EPOCHS" "${IMAGES[@]}" --set eval.every=0 \
    --run-dir "$SCRATCH/end-to-end" --json || return
  cp "$SCRATCH/end-to-end/timings.jsonl" "$OUT/log/end-to-end.timings.jsonl"
  "$PYTHON" - "$BATCH" "$OUT/log/$name.out" "$SCRATCH/end-to-end/timings.jsonl" <<'END' >>"$RESULTS"
import json, sys
batch, wall, timings = int(sys.argv[1]), json.load(open(sys.argv[2])), map(json.loads, open(sys.argv[3]))
timings = [t for t in timings if t["kind"] == "timing" and t["epoch"] > 0]
parts = ["step_ms", "views_wait_ms", "bookkeeping_ms"]
waits, total = sum(t["views_wait_ms"] for t in timings), sum(t[part] for t in timings for part in parts)
found = {"whole": batch * wall["steps_a_second"], "within": batch * len(timings) / total * 1e3, "views_share": waits / total}
for case, rate in [("end-to-end", found["whole"]), ("within-epochs", found["within"])]:
    print(json.dumps({"case": case, "who": "ours", "round": 1, "rate": rate, **found}))
END
  say "  $(last_rate 2)"
}

# Two runs that compile everything anew must leave the same bytes. Pictures that the program draws itself will do.
deterministic() {
  local run
  for run in 1 2; do
    part "deterministic-$run" 100 env LOGO_SSL_NO_CACHE=1 "$BINARY" pretrain "${UPDATE[@]}" --dataset shapes --device "$DEVICE" \
      --deterministic --epochs 1 --batch-size "$((BATCH < 256 ? BATCH : 256))" --limit "$((BATCH < 256 ? 64 : 2048))" \
      --set eval.every=0 --run-dir "$SCRATCH/deterministic-$run" || return
  done
  local same=true
  cmp "$SCRATCH"/deterministic-{1,2}/weights.safetensors || same=false
  cmp "$SCRATCH"/deterministic-{1,2}/metrics.jsonl || same=false
  say "  the same bytes: $same"
  echo "{\"case\": \"deterministic\", \"who\": \"ours\", \"round\": 1, \"same\": $same}" >>"$RESULTS"
}

tables() {
  "$PYTHON" - "$RESULTS" <<'END'
import collections, json, statistics, sys
rates, found = collections.defaultdict(dict), []
for line in open(sys.argv[1]):
    found.append(json.loads(line))
    if "rate" in found[-1]:
        rates[found[-1]["case"], found[-1]["who"]][found[-1]["round"]] = found[-1]["rate"]

def row(name, unit, side, other, peer, bar):
    ours, theirs = rates.get(side, {}), rates.get(other, {})
    limit = bar and f"≥ {bar}"
    if not ours:
        return f"| {name} | not run | | {peer} | | {limit} | |"
    own = f"{statistics.median(ours.values()):,.0f} {unit}"
    if not theirs:
        return f"| {name} | {own} | | {peer}, not run | | {limit} | |"
    # Rounds that both have, each against its own; the end-to-end run has one, the bare update several.
    pairs = [ours[n] / theirs[n] for n in ours if n in theirs]
    pairs = pairs if side[0] == other[0] else [statistics.median(ours.values()) / statistics.median(theirs.values())]
    ratio = statistics.median(pairs)
    spread = f" ({min(pairs):.2f} to {max(pairs):.2f})" if len(pairs) > 1 else ""
    reached = "" if not bar else "yes" if ratio >= bar else "**no**"
    peers = f"{statistics.median(theirs.values()):,.0f}"
    return f"| {name} | {own} | {peers} | {peer} | {ratio:.2f}{spread} | {limit} | {reached} |"

print("| measured | logo-ssl | peer | which | ratio | bar | reached |")
print("| --- | ---: | ---: | --- | ---: | ---: | --- |")
update, e2e, resnet50 = "LoGo update, bf16", "pretrain, end to end", "ResNet-50 step, bf16"
for case, name, unit, peers in [
    ("update", update, "images/s", [("jax", "JAX", 1.0), ("torch", "torch.compile", 1.1)]),
    ("resnet50", resnet50, "crops/s", [("torch", "torch.compile", 1.0), ("jax", "JAX", "")]),
    ("update-local16", "the update with local views of 16 px", "images/s", [("jax", "JAX", "")]),
    ("resnet18", "ResNet-18 step, CIFAR stem, bf16", "crops/s", [("jax", "JAX", ""), ("torch", "torch.compile", "")]),
]:
    for who, peer, bar in peers:
        if bar or (case, "ours") in rates and (case, who) in rates:
            print(row(name, unit, (case, "ours"), (case, who), peer, bar))
bare = ("update", "ours")
print(row(e2e, "images/s", ("end-to-end", "ours"), bare, "the bare update", 0.9))
for case, name in [("within-epochs", "the same by its timings.jsonl"), ("update-deterministic", "the update, deterministic")]:
    if (case, "ours") in rates:
        print(row(name, "images/s", (case, "ours"), bare, "the bare update", ""))
same = [line["same"] for line in found if line["case"] == "deterministic"]
print("| two runs with `--deterministic`, each compiled anew |", "not run" if not same else "the same bytes" if same[0] else "other bytes",
      "| | | | the same bytes |", "" if not same else "yes |" if same[0] else "**no** |")

print("\n| round | case | who | a second | first updates after, s | memory, MiB | loss |")
print("| ---: | --- | --- | ---: | ---: | ---: | ---: |")
show = lambda value, digits: "" if value is None else f"{value:,.{digits}f}"
for line in sorted((line for line in found if "rate" in line), key=lambda line: line["round"]):
    # What a program on a GPU holds of the processor's memory says nothing.
    memory = line.get("peak_memory_mib") if line["who"] != "ours" else None
    print(f"| {line['round']} | {line['case']} | {line['who']} | {line['rate']:,.0f} | {show(line.get('warm_up_seconds'), 1)} "
          f"| {show(memory, 0)} | {show(line.get('loss'), 4)} |")
versions = {name: v for line in found for name, v in line.get("versions", {}).items()}
cards = sorted({line["card"] for line in found if "card" in line})
versions = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
print(f"\nCard: {', '.join(cards) or 'see facts.txt'}. Versions: {versions or 'no peer ran'}.")
views = [line["views_share"] for line in found if "views_share" in line]
if views:
    print(f"\nEnd to end, updates waited for views for {100 * views[0]:.1f} % of the time.")
END
}

facts 2>&1 | tee "$OUT/facts.txt"
PEERS=()
for module in $WANTED; do
  if has "$module"; then PEERS+=("$module"); else say "$module: SKIPPED, since $PYTHON does not have it"; fi
done
# It also shows which plugin is taken and which card is there; the program finds both again by itself.
if part devices 60 "$BINARY" devices; then tee -a "$OUT/facts.txt" <"$OUT/log/devices.out"; fi

# PART COMMAND...: runs it where that part is wanted.
wanted() { if [[ " $PARTS " == *" $1 "* ]]; then "${@:2}"; fi; }

wanted update update_round 1
wanted end-to-end end_to_end
wanted resnet50 resnet50_round 1
wanted deterministic deterministic
for ((round = 2; round <= ROUNDS; round++)); do
  wanted update update_round "$round"
  [ "$round" -gt 2 ] || wanted resnet50 resnet50_round "$round"
  [ "$round" -gt 2 ] || wanted more more
done

{
  tables
  printf '\nOn:\n\n'
  sed 's/^/    /' "$OUT/facts.txt"
  [ "${#FAILED[@]}" -eq 0 ] || printf '\nFailed: %s.\n' "$(IFS=,; echo "${FAILED[*]}")"
  [ -z "$SMALL" ] || printf '\nA dry run on tiny sizes: no figure means anything.\n'
} >"$OUT/gpu.md"
echo
cat "$OUT/gpu.md"
say "done: $OUT/gpu.md"
[ "${#FAILED[@]}" -eq 0 ]
