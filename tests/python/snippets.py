#!/usr/bin/env python3
"""Runs the snippets of docs/howto/export.md on exports, and compares what they compute with the program's own features.

    python3 tests/python/snippets.py BINARY [--required]

Exported are ResNet-18, 34 and 50 with random weights, and runs of seconds: of a ResNet-18 with the small stem, and of a narrow one, which
transformers alone has. Without the packages nothing is run, which is said and, with --required, is an error.
"""

import argparse
import contextlib
import io
import os
import pathlib
import re
import sys
import tempfile
import tomllib

import exports

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs/howto/export.md"
SNIPPET = re.compile(r"<!-- snippet: ([^;]+); files: (\w+); stem: (\w+) -->\n```python\n(.*?)```", re.DOTALL)
# What the program says the features of a picture are, and how near Python has to come to them.
LEAST_COSINE = 0.9999
# The names that files of a format have in the snippets.
NAMES = {"pth": "backbone.pth", "safetensors": "backbone.safetensors", "onnx": "backbone.onnx", "hf": "backbone-hf"}


def snippets():
    found = SNIPPET.findall(DOCUMENT.read_text())
    if len(found) != DOCUMENT.read_text().count("<!-- snippet:"):
        sys.exit(f"{DOCUMENT}: a snippet is not marked as this script reads it")
    return found


def run(code, folder, names):
    """What a snippet leaves behind, run in a folder."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(code, "snippet", "exec"), names)
    finally:
        os.chdir(before)
    return names


def trained(program, folder, *settings):
    """A run of an epoch on a few made-up pictures, in a folder."""
    pictures, run = folder / "trained-on", folder / "run"
    pictures.mkdir()
    for seed in range(32):
        exports.made_up_picture(48, 40, seed).save(pictures / f"{seed:02}.png")
    heads = ["model.projector.hidden=16", "model.projector.dim=16", "optimizer.warmup_epochs=0.0"]
    laid_over = [argument for setting in (*heads, *settings) for argument in ("--set", setting)]
    flags = ["--quiet", "--preset", "folder", "--epochs", 1, "--batch-size", 16]
    program.run("pretrain", *flags, "--data-dir", pictures, "--run-dir", run, *laid_over)
    return run, tomllib.loads((run / "config.toml").read_text())["data"]


def check(program, name, encoder, stem, folder, view, statistics, formats, titles=None):
    """Runs the snippets that suit an encoder, or those named; says how many, and what is wrong."""
    pictures = folder / "pictures"
    pictures.mkdir()
    picture = exports.made_up_picture(320, 240) if stem == "imagenet" else exports.made_up_picture(32, 32)
    for place in (folder / "photo.png", pictures / "photo.png"):
        picture.save(place)
    ours = program.features(encoder, pictures, folder / "ours.npy", *view, statistics)
    for kind in formats:
        dataset = ["--dataset", "imagenet100"] if kind == "hf" and encoder.is_file() else []
        program.export(encoder, kind, folder / NAMES[kind], *dataset)
    problems, count = [], 0
    for title, kind, needed, code in snippets():
        if needed not in (stem, "any") or (titles and title not in titles):
            continue
        count += 1
        names = {"MEAN": statistics["mean"], "STD": statistics["std"]}
        try:
            left = run(code.replace("resnet18", name), folder, names)
        except Exception as error:
            problems.append(f"{name}, {title}: {type(error).__name__}: {error}")
            continue
        if "features" in left:
            cosine = exports.cosines(left["features"], ours)[0]
            print(f"{name}, {title}: cosine {cosine:.7f}")
            if not cosine >= LEAST_COSINE:
                problems.append(f"{name}, {title}: its features are not the program's, cosine {cosine}")
        elif needed != "any":
            problems.append(f"{name}, {title}: it makes no features")
    return count, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", help="the program")
    parser.add_argument("--required", action="store_true", help="fail where packages are missing")
    arguments = parser.parse_args()
    if exports.skipped(arguments.required):
        return 0
    import torch
    from torchvision.transforms import v2

    program = exports.Program(arguments.binary)
    see = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(**exports.IMAGENET)])
    images = torch.stack([see(exports.made_up_picture(64, 64, seed)) for seed in range(32)])
    count, problems = 0, []
    with tempfile.TemporaryDirectory() as scratch:
        for depth in (18, 34, 50):
            folder = pathlib.Path(scratch) / f"resnet{depth}"
            folder.mkdir()
            encoder = exports.save(exports.random_network(depth, images), folder / "random.safetensors")
            found = check(program, f"resnet{depth}", encoder, "imagenet", folder, (256, 224), exports.IMAGENET, list(NAMES))
            count, problems = count + found[0], problems + found[1]
        folder = pathlib.Path(scratch) / "small"
        folder.mkdir()
        views = ["views.global.size=16", "views.local.size=8", "eval.resize=0", "eval.crop=0"]
        encoder, data = trained(program, folder, "model.stem=cifar", *views)
        found = check(program, "resnet18", encoder, "cifar", folder, (0, 0), data, ["pth", "safetensors", "onnx"])
        count, problems = count + found[0], problems + found[1]
        folder = pathlib.Path(scratch) / "narrow"
        folder.mkdir()
        views = ["views.global.size=64", "views.local.size=32", "eval.resize=256", "eval.crop=224"]
        encoder, data = trained(program, folder, "model.width=8", *views)
        titles = ("transformers", "onnxruntime", "torch")
        found = check(program, "resnet18", encoder, "imagenet", folder, (256, 224), data, ["pth", "onnx", "hf"], titles)
        count, problems = count + found[0], problems + found[1]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{count} snippets were run: {len(problems)} problems")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
