"""logo-ssl beside PyTorch and faiss on this machine: alternating runs, medians, a table for docs/results.

usage: compare.py [--pairs 5] [--cases PATTERN] [--data-dir DIR] [--images FOLDER] [--out FILE]

Whole LoGo updates and CIFAR's views are compared where DIR has cifar-10-binary.tar.gz or, unpacked, cifar-10-batches-bin; views of
photographs where FOLDER has JPEG files. The table goes to standard output; how far it is and how long it will take to standard error.

Needs `cargo build --release`, and torch, torchvision, numpy, pillow and faiss-cpu in the Python that runs it. Each pair runs one
after the other, so that both sides see the same machine; the ratio is the median of the pairs' ratios.
"""
import argparse
import functools
import json
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = pathlib.Path(__file__).parent
BINARY = HERE.parent / "target/release/logo-ssl"


def output_of(*command):
    """What a command prints; where it fails, its own words and the end of this comparison."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except OSError as error:
        sys.exit(f"error: {words[0]} does not start: {error.strerror}; build it with `cargo build --release`")
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or "(it says nothing)"
        sys.exit(f"error: this ended with status {done.returncode}: {shlex.join(words)}\n{said}")
    return done.stdout


def ours(*arguments):
    return json.loads(output_of(BINARY, "bench", *arguments, "--json"))


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


@functools.cache
def packed(images, encoding):
    """A pack of the images, made when it is first asked for."""
    out = pathlib.Path(tempfile.gettempdir()) / f"compare-{encoding}.pack"
    out.unlink(missing_ok=True)
    output_of(BINARY, "data", "pack", images, out, "--format", encoding, "--quiet")
    return out


BATCH = "cifar-10-batches-bin/data_batch_1.bin"


def peers_cifar(data_dir, scratch):
    """The folder in which the peers find a batch of CIFAR-10: `data_dir`, or what its archive is unpacked to."""
    archive = data_dir / "cifar-10-binary.tar.gz"
    if (data_dir / BATCH).is_file():
        return data_dir
    if not archive.is_file():
        sys.exit(
            f"error: no CIFAR-10 in {data_dir}: expected {archive.name} or {BATCH}; "
            f"fetch it with `logo-ssl data fetch cifar10 --data-dir {data_dir}`"
        )
    try:
        with tarfile.open(archive) as opened:
            contents = opened.extractfile(BATCH).read()
    except (tarfile.TarError, EOFError, OSError, KeyError) as error:
        sys.exit(f"error: {archive} has no {BATCH} that can be read: {error}; fetch it again")
    (scratch / BATCH).parent.mkdir()
    (scratch / BATCH).write_bytes(contents)
    return scratch


def view_cases(data_dir, cifar, images):
    if data_dir:
        batch = cifar / BATCH
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
        sources = [("JPEG files", "folder", lambda: images)]
        sources += [(f"a pack, {kind}", "pack", lambda k=kind: packed(images, k)) for kind in ["jpeg", "raw"]]
        for mode in ["pil", "tensors"]:
            for source, dataset, path in sources:
                yield (
                    f"views, {source}, {name}",
                    f"torchvision, {mode}, from the files",
                    "images/s",
                    lambda p=path, d=dataset: views("imagenet100-moco-logo", p(), 1, d),
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
    return [float(word) for word in output_of(sys.executable, HERE / script, *arguments).split()]


def cases(data_dir, cifar, images):
    yield from view_cases(data_dir, cifar, images)
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
                lambda m=mode: peer("logo_loop.py", str(cifar), "64", m),
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


class Clock:
    """Says how far a comparison of so many pairs is, and how long the rest will take if it goes on like this."""

    def __init__(self, pairs):
        self.pairs, self.done, self.start = pairs, 0, time.monotonic()
        print(f"{pairs} pairs of runs; how long they take is known after the first", file=sys.stderr, flush=True)

    def pair(self, run, run_peer):
        found = run(), run_peer()
        self.done += 1
        gone = time.monotonic() - self.start
        left = gone / self.done * (self.pairs - self.done)
        print(
            f"{self.done} of {self.pairs} pairs, {gone / 60:.1f} min gone, about {left / 60:.1f} min to go",
            file=sys.stderr,
            flush=True,
        )
        return found


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--cases", default="")
    parser.add_argument("--data-dir", type=pathlib.Path)
    parser.add_argument("--images", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    if options.pairs < 1:
        parser.error("--pairs: expected at least 1")
    for folder in (options.data_dir, options.images):
        if folder and not folder.is_dir():
            parser.error(f"{folder} is no folder")
    return options


def compare(options, scratch):
    cifar = options.data_dir and peers_cifar(options.data_dir, scratch)
    known = cases(options.data_dir, cifar, options.images)
    chosen = [case for case in known if re.search(options.cases, f"{case[0]} {case[1]}")]
    if not chosen:
        sys.exit(f"error: no case is called {options.cases}; some need --data-dir or --images")
    clock = Clock(options.pairs * len(chosen))
    lines = [
        "| case | against | logo-ssl | peer | unit | ratio | MiB | peer's MiB |",
        "| --- | --- | ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    print(*lines, sep="\n", flush=True)
    for name, against, unit, run, run_peer in chosen:
        pairs = [clock.pair(run, run_peer) for _ in range(options.pairs)]
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


def main():
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        compare(options, pathlib.Path(scratch))


main()
