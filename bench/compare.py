"""logo-ssl beside PyTorch and faiss on this machine: alternating runs, medians, a table for docs/results.

usage: compare.py [--pairs 5] [--cases PATTERN] [--data-dir DIR] [--out FILE]

Whole LoGo updates are compared where DIR has cifar-10-batches-bin.

Needs `cargo build --release`, and torch, torchvision, numpy, pillow and faiss-cpu in the Python that runs it. Each pair runs one
after the other, so that both sides see the same machine; the ratio is the median of the pairs' ratios.
"""
import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
BINARY = HERE.parent / "target/release/logo-ssl"


def ours(*arguments):
    done = subprocess.run([BINARY, "bench", *arguments, "--json"], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def step(width, batch, precision):
    found = ours("step", "--width", str(width), "--batch", str(batch), "--precision", precision)["found"]
    return found["crops_per_second"], found["peak_memory_mib"]


def logo(data_dir, precision):
    settings = ["optimizer.batch_size=64", f"compute.precision={precision}"]
    flags = [word for setting in settings for word in ("--set", setting)]
    found = ours("train", "--preset", "cifar10-seed", "--data-dir", str(data_dir), *flags)["found"]
    return found["images_per_second"], found["peak_memory_mib"]


def search():
    return 1 / ours("knn")["found"]["seconds"], None


def peer(script, *arguments):
    done = subprocess.run([sys.executable, HERE / script, *arguments], check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def cases(data_dir):
    # The last for its memory: 256 images of four crops at once.
    for width, batch in [(64, 64), (16, 256), (64, 1024)]:
        name = f"width {width}, batch {batch}"
        for precision, mode in [("f32", "f32"), ("bf16", "f32"), ("bf16", "bf16-compile")]:
            yield (
                f"{name}, {precision}",
                f"PyTorch {mode}, channels last",
                "crops/s",
                lambda w=width, b=batch, p=precision: step(w, b, p),
                lambda w=width, b=batch, m=mode: peer("train_step.py", str(w), str(b), m),
            )
    for precision in ["bf16", "f32"] if data_dir else []:
        for mode in ["plain", "channels-last"]:
            yield (
                f"LoGo update with views, width 64, 64 images, 2 × 32 + 2 × 32 px, {precision}",
                f"PyTorch f32, {mode}, PIL views",
                "images/s",
                lambda p=precision: logo(data_dir, p),
                lambda m=mode: peer("logo_loop.py", str(data_dir), "64", m),
            )
    yield (
        "kNN, 10,000 against 50,000, 512-d, k = 200",
        "faiss-cpu IndexFlatIP",
        "searches/s",
        search,
        lambda: (1 / peer("faiss_search.py")[0], None),
    )


def memory(values):
    return "" if values[0] is None else f"{statistics.median(values):.0f}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--cases", default="")
    parser.add_argument("--data-dir", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    lines = [
        "| case | against | logo-ssl | peer | unit | ratio | MiB | peer's MiB |",
        "| --- | --- | ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    print(*lines, sep="\n", flush=True)
    for name, against, unit, run, run_peer in cases(options.data_dir):
        if not re.search(options.cases, f"{name} {against}"):
            continue
        pairs = [(run(), run_peer()) for _ in range(options.pairs)]
        (mine, mine_memory), (theirs, their_memory) = [list(zip(*side)) for side in zip(*pairs)]
        ratio = statistics.median(a / b for a, b in zip(mine, theirs))
        speeds = [statistics.median(side) for side in (mine, theirs)]
        lines.append(
            f"| {name} | {against} | {speeds[0]:.3g} | {speeds[1]:.3g} | {unit} | {ratio:.2f} "
            f"| {memory(mine_memory)} | {memory(their_memory)} |"
        )
        print(lines[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


main()
