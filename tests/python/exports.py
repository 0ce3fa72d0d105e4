"""What the scripts beside this share: the program, networks with random weights, pictures, and how far features are apart."""

import importlib.util
import json
import pathlib
import subprocess
import sys

PACKAGES = ("torch", "torchvision", "timm", "onnx", "onnxruntime", "transformers", "safetensors")
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def skipped(required):
    """Whether packages are missing, which is said; with `required` it ends the script."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return False
    print(f"SKIPPED: exports were not opened in Python, for {', '.join(missing)} cannot be imported", file=sys.stderr)
    if required:
        sys.exit(1)
    return True


class Program:
    """The binary."""

    def __init__(self, binary):
        self.binary = pathlib.Path(binary).resolve(strict=True)

    def run(self, *arguments):
        command = [self.binary, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
        return done.stdout

    def export(self, encoder, kind, out, *arguments):
        self.run("export", encoder, "--format", kind, "--out", out, *arguments)
        return out

    def features(self, encoder, pictures, out, resize, crop, statistics):
        """The features of the pictures of a folder, `[pictures, dim]`, in the order of their names."""
        import numpy

        settings = {"eval.resize": resize, "eval.crop": crop, "data.mean": statistics["mean"], "data.std": statistics["std"]}
        laid_over = [argument for key, value in settings.items() for argument in ("--set", f"{key}={json.dumps(value)}")]
        named = ["--run" if pathlib.Path(encoder).is_dir() else "--weights", encoder]
        self.run("embed", pictures, *named, "--features", "backbone", "--dataset", "folder", "--out", out, *laid_over)
        return numpy.load(out)


def network(depth, stem="imagenet"):
    """torchvision's ResNet without its classifier."""
    import torch
    from torchvision.models import resnet

    blocks = {10: [1, 1, 1, 1], 18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3]}
    model = resnet.ResNet(resnet.BasicBlock if depth < 50 else resnet.Bottleneck, blocks[depth])
    model.fc = torch.nn.Identity()
    if stem == "cifar":
        model.conv1 = torch.nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
        model.maxpool = torch.nn.Identity()
    return model


def random_network(depth, images, stem="imagenet"):
    """The same with random weights, among them those of its batch norms, and the running statistics of `images`: without those its
    features would hardly depend on the image."""
    import torch

    torch.manual_seed(depth)
    model = network(depth, stem)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    with torch.no_grad():
        model.train()(images)
    return model.eval()


def save(model, path):
    import safetensors.torch

    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(tensors, path)
    return path


def made_up_picture(width, height, seed=0):
    """A picture of waves and edges in all colours."""
    import numpy
    from PIL import Image

    draw = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[:height, :width] / height
    picture = numpy.zeros((height, width, 3))
    for _ in range(12):
        fx, fy, phase = draw.uniform(-40, 40), draw.uniform(-40, 40), draw.uniform(0, 6.3)
        wave = numpy.sin(fx * x + fy * y + phase)
        if draw.uniform() < 0.5:
            wave = numpy.sign(wave)
        picture += wave[..., None] * draw.uniform(-1, 1, 3)
    picture = 128 + 96 * picture / numpy.abs(picture).max()
    return Image.fromarray(picture.astype(numpy.uint8))


def relative(features, reference):
    """The greatest distance between rows, as a share of the reference's length."""
    import numpy

    features, reference = numpy.asarray(features, numpy.float64), numpy.asarray(reference, numpy.float64)
    distances = numpy.linalg.norm(features - reference, axis=1) / numpy.linalg.norm(reference, axis=1)
    return float(distances.max())


def cosines(features, reference):
    """The cosine of each pair of rows."""
    import numpy

    features, reference = numpy.asarray(features, numpy.float64), numpy.asarray(reference, numpy.float64)
    lengths = numpy.linalg.norm(features, axis=1) * numpy.linalg.norm(reference, axis=1)
    return (features * reference).sum(1) / lengths
