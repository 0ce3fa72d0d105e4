"""logo-ssl beside PyTorch and faiss on this machine: alternating runs, medians, a table for docs/results.

usage: compare.py [--pairs 5] [--cases PATTERN] [--data-dir DIR] [--images FOLDER] [--out FILE]

Whole LoGo updates and CIFAR's views are compared where DIR has cifar-10-batches-bin, views of photographs where FOLDER has JPEG files.

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
import tempfile

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


def views(preset, path, threads=1, dataset=None):
    flags = ["--set", f"data.dataset={dataset}"] if dataset else []
    flags += ["--threads", str(threads), "--data-dir", str(path)]
    return ours("views", "--preset", preset, *flags)["found"]["images_per_second"], None


def torchvision(mode, kind, path):
    return peer("views.py", mode, kind, str(path))[0], None


def packed(images, encoding):
    """A pack of the images, made once."""
    out = pathlib.Path(tempfile.gettempdir()) / f"compare-{encoding}.pack"
    out.unlink(missing_ok=True)
    command = [BINARY, "data", "pack", images, out, "--format", encoding, "--quiet"]
    subprocess.run(command, check=True, capture_output=True)
    return out


def view_cases(data_dir, images):
    if data_dir:
        batch = data_dir / "cifar-10-batches-bin/data_batch_1.bin"
        for mode in ["pil", "tensors"]:
            yield (
                "views, CIFAR-10, 2 × 32 + 2 × 32 px, one core",
                f"torchvision, {mode}",
                "images/s",
                lambda: views("cifar10-simsiam-logo", data_dir),
                lambda m=mode: torchvision(m, "cifar", batch),
            )
    if images:
        name = "2 × 224 + 2 × 96 px with blur, one core"
        sources = [("JPEG files", "folder", images)]
        sources += [(f"a pack, {kind}", "pack", packed(images, kind)) for kind in ["jpeg", "raw"]]
        for mode in ["pil", "tensors"]:
            for source, dataset, path in sources:
                yield (
                    f"views, {source}, {name}",
                    f"torchvision, {mode}, from the files",
                    "images/s",
                    lambda p=path, d=dataset: views("imagenet100-moco-logo", p, 1, d),
                    lambda m=mode: torchvision(m, "jpeg", images),
                )
        yield (
            "views, JPEG files, two cores",
            "the same on one core",
            "images/s",
            lambda: views("imagenet100-moco-logo", images, 2, "folder"),
            lambda: views("imagenet100-moco-logo", images, 1, "folder"),
        )


def search():
    return 1 / ours("knn")["found"]["seconds"], None


def peer(script, *arguments):
    done = subprocess.run([sys.executable, HERE / script, *arguments], check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def cases(data_dir, images):
    yield from view_cases(data_dir, images)
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
    parser.add_argument("--images", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    lines = [
        "| case | against | logo-ssl | peer | unit | ratio | MiB | peer's MiB |",
        "| --- | --- | ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    print(*lines, sep="\n", flush=True)
    for name, against, unit, run, run_peer in cases(options.data_dir, options.images):
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
