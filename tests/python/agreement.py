#!/usr/bin/env python3
"""Measures how exports agree with the program: round trips, features of the same pixels, features behind each side's own preprocessing.

    python3 tests/python/agreement.py BINARY --photographs FOLDER [--trained WEIGHTS] [--round-trips]

FOLDER holds pictures, in whatever folders. Networks are ResNet-18, 34 and 50 with random weights whose running statistics are those of the
pictures, and one that is named. It prints tables as docs/results/export.md has them, and ends with 1 where a bound is broken.
"""

import argparse
import pathlib
import sys
import tempfile

import exports

# The bounds: distances of features of the same pixels, cosines behind each side's own preprocessing.
MOST_RELATIVE = 1e-4
LEAST_COSINE = 0.9999
RESIZE, CROP = 256, 224
BATCH = 32
DEPTHS = (10, 18, 34, 50, 101, 152)
# Of how many photographs one goes through each side's own preprocessing.
EACH = 4


class Bounds:
    """What was measured beside what it may be."""

    def __init__(self):
        self.broken = []

    def most(self, what, value, bound):
        if not value <= bound:
            self.broken.append(f"{what}: {value} is more than {bound}")
        return f"{value:.1e}"

    def least(self, what, value, bound):
        if not value >= bound:
            self.broken.append(f"{what}: {value} is less than {bound}")
        return f"{value:.6f}"


def in_batches(model, images):
    """A model's features of all images."""
    import torch

    with torch.inference_mode():
        return torch.cat([model(batch) for batch in images.split(BATCH)]).numpy()


def in_onnx(path, images):
    import numpy
    import onnx
    import onnxruntime

    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    batches = [session.run(["features"], {"images": batch.numpy()})[0] for batch in images.split(BATCH)]
    return numpy.concatenate(batches)


def pictures(folder, scratch):
    """The photographs under names that sort, once as they are and once cropped to what a network sees."""
    from PIL import Image
    from torchvision.transforms import v2

    whole, cropped = scratch / "whole", scratch / "cropped"
    whole.mkdir()
    cropped.mkdir()
    crop = v2.Compose([v2.Resize(RESIZE), v2.CenterCrop(CROP)])
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpeg", ".jpg", ".png"))
    for number, path in enumerate(found):
        picture = Image.open(path).convert("RGB")
        # Without loss: how the sides decode is not what is measured.
        if number % EACH == 0:
            picture.save(whole / f"{number:04}.png")
        crop(picture).save(cropped / f"{number:04}.png")
    return whole, cropped


def opened(folder):
    from PIL import Image

    return [Image.open(path) for path in sorted(folder.iterdir())]


def normalised(folder):
    """The pictures of a folder, all of one size, as a network takes them."""
    import torch
    from torchvision.transforms import v2

    see = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(**exports.IMAGENET)])
    return torch.stack([see(picture) for picture in opened(folder)])


def row(name, cells):
    """A row of a table, told when it is there: the whole takes a while."""
    text = f"| {name} | {' | '.join(cells)} |"
    print(text, file=sys.stderr, flush=True)
    return text


def same_pixels(program, name, encoder, cropped, images, scratch, bounds):
    """A row of the table of features of the same pixels."""
    import torch
    import torchvision

    ours = program.features(encoder, cropped, scratch / f"{name}.npy", 0, 0, exports.IMAGENET)
    model = getattr(torchvision.models, name.split(",")[0])()
    model.fc = torch.nn.Identity()
    cells = []
    for dtype in ("f32", "f16", "bf16"):
        path = program.export(encoder, "pth", scratch / f"{name}-{dtype}.pth", "--dtype", dtype)
        model.load_state_dict(torch.load(path, weights_only=True))
        # What rounding does shows on a batch of them.
        some = images if dtype == "f32" else images[:BATCH]
        distance = exports.relative(in_batches(model.eval(), some), ours[: len(some)])
        cells.append(bounds.most(f"{name}, torchvision, {dtype}", distance, MOST_RELATIVE if dtype == "f32" else 1))
    for flags in ([], ["--fold-batch-norm"]):
        path = program.export(encoder, "onnx", scratch / f"{name}{len(flags)}.onnx", *flags)
        cells.append(bounds.most(f"{name}, onnxruntime {flags}", exports.relative(in_onnx(path, images), ours), MOST_RELATIVE))
    return row(name, cells)


def own_preprocessing(program, name, encoder, whole, scratch, bounds):
    """A row of the table of features behind each side's own preprocessing."""
    import timm
    import torch
    from transformers import AutoImageProcessor, AutoModel

    ours = program.features(encoder, whole, scratch / f"{name}-own.npy", RESIZE, CROP, exports.IMAGENET)
    folder = program.export(encoder, "hf", scratch / f"{name}-hf", "--dataset", "imagenet100")
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    processor = AutoImageProcessor.from_pretrained(folder)
    wrapped = AutoModel.from_pretrained(folder).eval()
    views = opened(whole)
    theirs = {
        "timm": in_batches(model, torch.stack([transform(view) for view in views])),
        "transformers": in_batches(
            lambda batch: wrapped(pixel_values=batch).pooler_output.flatten(1),
            torch.cat([processor(view, return_tensors="pt")["pixel_values"] for view in views]),
        ),
    }
    cells = []
    centre = ours.mean(0)
    for library, features in theirs.items():
        cosines = exports.cosines(features, ours)
        cells.append(bounds.least(f"{name}, {library}, least cosine", cosines.min(), LEAST_COSINE))
        cells.append(f"{cosines.mean():.6f}")
        cells.append(f"{exports.cosines(features - centre, ours - centre).min():.4f}")
    return row(name, cells)


def round_trip(program, name, random, open_model, scratch, bounds):
    """Whether weights come back from a library byte by byte."""
    import torch

    first = program.export(random, "safetensors", scratch / "first.safetensors", "--overwrite")
    archive = program.export(random, "pth", scratch / "first.pth", "--overwrite")
    model = open_model(torch.load(archive, weights_only=True))
    exports.save(model, scratch / "saved.safetensors")
    again = program.export(scratch / "saved.safetensors", "safetensors", scratch / "again.safetensors", "--overwrite")
    same = first.read_bytes() == again.read_bytes()
    bounds.least(name, float(same), 1.0)
    print(f"| {name} | {'the same bytes' if same else 'OTHER BYTES'} |", flush=True)


def round_trips(program, scratch, bounds):
    import timm
    import torch

    def into(model):
        def load(state):
            model.load_state_dict(state)
            return model

        return load

    def bare(state):
        # A module of tensors alone, for networks that no library has.
        holder = torch.nn.Module()
        holder.state_dict = lambda: state
        return holder

    print("| from and to | |\n| --- | --- |")
    for depth in DEPTHS:
        for stem in ("imagenet", "cifar"):
            model = exports.random_network(depth, torch.zeros(2, 3, 64, 64) + torch.arange(2.0).reshape(2, 1, 1, 1), stem)
            random = exports.save(model, scratch / "random.safetensors")
            name = f"ResNet-{depth}, {stem}'s stem"
            round_trip(program, f"{name}: torchvision", random, into(exports.network(depth, stem)), scratch, bounds)
            if stem == "imagenet":
                layers = {"layers": [1, 1, 1, 1]} if depth == 10 else {}
                library = timm.create_model(f"resnet{18 if depth == 10 else depth}", num_classes=0, **layers)
                round_trip(program, f"{name}: timm", random, into(library), scratch, bounds)
    for width in (8, 24, 96):
        for stem in ("imagenet", "cifar"):
            state = widened(exports.network(18, stem).state_dict(), width)
            random = exports.save(bare(state), scratch / "random.safetensors")
            round_trip(program, f"ResNet-18, width {width}, {stem}'s stem: torch", random, bare, scratch, bounds)


def widened(state, width):
    """Random tensors of a network of another width."""
    import torch

    torch.manual_seed(width)

    def like(name, tensor):
        if not tensor.shape:
            return tensor
        shape = [length if length in (1, 3, 7) else length * width // 64 for length in tensor.shape]
        return torch.rand(shape)

    return {name: like(name, tensor) for name, tensor in state.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", help="the program")
    parser.add_argument("--photographs", type=pathlib.Path, metavar="FOLDER", help="pictures to compare features of")
    parser.add_argument("--trained", type=pathlib.Path, metavar="WEIGHTS", help="a trained ResNet-18 beside the random networks")
    parser.add_argument("--round-trips", action="store_true", help="also measure whether weights come back as they were")
    parser.add_argument("--required", action="store_true", help="fail where packages are missing")
    arguments = parser.parse_args()
    if exports.skipped(arguments.required):
        return 0
    program, bounds = exports.Program(arguments.binary), Bounds()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        if arguments.round_trips:
            round_trips(program, scratch, bounds)
        if arguments.photographs:
            whole, cropped = pictures(arguments.photographs, scratch)
            images = normalised(cropped)
            networks = {}
            for depth in (18, 34, 50):
                model = exports.random_network(depth, images[::8])
                networks[f"resnet{depth}"] = exports.save(model, scratch / f"random{depth}.safetensors")
            if arguments.trained:
                networks["resnet18, trained"] = arguments.trained
            pixels, own = [], []
            for name, encoder in networks.items():
                pixels.append(same_pixels(program, name, encoder, cropped, images, scratch, bounds))
                own.append(own_preprocessing(program, name, encoder, whole, scratch, bounds))
            print(f"\n{len(images)} photographs, the same pixels: greatest relative distance to the program's features\n")
            print("| network | torchvision | of f16 | of bf16 | onnxruntime | folded |\n| --- | --- | --- | --- | --- | --- |")
            print("\n".join(pixels))
            print(f"\nEach side's own preprocessing of {len(list(whole.iterdir()))} of them: cosines to the program's features, and the least of them about their mean\n")
            print("| network | timm, least | mean | about the mean | transformers, least | mean | about the mean |")
            print("| --- | --- | --- | --- | --- | --- | --- |")
            print("\n".join(own))
    for broken in bounds.broken:
        print(broken, file=sys.stderr)
    return int(bool(bounds.broken))


if __name__ == "__main__":
    sys.exit(main())
