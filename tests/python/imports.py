"""Checkpoints of real packages, imported: the features of the same pixels beside those of the package's own network.

    pip install torch torchvision timm lightly scipy einops pillow safetensors && pip install --no-deps solo-learn
    cargo build --release
    python tests/python/imports.py [--binary target/release/logo-ssl] [--pictures FOLDER] [--only WORD]

Every network is made by its package's code with random weights and some batches of running statistics, and saved as
the package saves it; Lightning's checkpoints are written by its Trainer. The program then embeds pictures of 64 x 64
pixels, which need no resizing, by the checkpoint itself or, of two encoders, by what `logo-ssl import --prefix`
made of the one. The error is the norm of the difference over the norm of the package's features. A package that is
not there is said and left out. The table is Markdown.
"""
import argparse
import json
import subprocess
import sys
import tempfile
import types
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

SIDE, COUNT = 64, 16
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def settled(network):
    """The network in evaluation mode, after batches that moved its running statistics."""
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(8, 3, SIDE, SIDE))
    return network.eval()


def without_head(network):
    network.fc = nn.Identity()
    return network


def by_lightning(model, file):
    """What Lightning's Trainer saves of a module."""
    import pytorch_lightning as lightning

    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, max_epochs=1)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(file)


def of_torchvision(folder):
    import torchvision

    for name in ["resnet18", "resnet34", "resnet50"]:
        network = settled(getattr(torchvision.models, name)(weights=None))
        file = folder / f"{name}.pth"
        torch.save(network.state_dict(), file)
        yield "torchvision", f"{name}, state dict", file, None, without_head(network)
    network = settled(torchvision.models.resnet18(weights=None))
    file = folder / "older.pth"
    torch.save({"epoch": 1, "model": network.state_dict()}, file, _use_new_zipfile_serialization=False)
    yield "torchvision", "resnet18, the stream of before 1.6", file, None, without_head(network)
    network = settled(nn.DataParallel(torchvision.models.resnet18(weights=None)))
    file = folder / "parallel.pth"
    torch.save(network.half().state_dict(), file)
    yield "torchvision", "resnet18 in DataParallel, f16", file, None, without_head(network.float().module)
    network = settled(torchvision.models.resnet18(weights=None))
    file = folder / "whole.pth"
    torch.save(network, file)
    yield "torchvision", "resnet18, the whole module", file, None, without_head(network)


def of_timm(folder):
    import timm

    for name in ["resnet18", "resnet50"]:
        network = settled(timm.create_model(name, pretrained=False))
        file = folder / f"{name}.pth"
        torch.save({"arch": name, "state_dict": network.state_dict()}, file)
        yield "timm", f"{name}, as its train.py saves", file, None, without_head(network)
    network = settled(timm.create_model("resnet34", pretrained=False))
    file = folder / "model.safetensors"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, file)
    yield "timm", "resnet34, model.safetensors as on the Hub", file, None, without_head(network)


def of_lightly(folder):
    import copy

    import pytorch_lightning as lightning
    import torchvision
    from lightly.models import ResNetGenerator
    from lightly.models.modules import heads
    from lightly.models.utils import deactivate_requires_grad

    class SimSiam(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(*list(torchvision.models.resnet18().children())[:-1])
            self.projection_head = heads.SimSiamProjectionHead(512, 512, 128)
            self.prediction_head = heads.SimSiamPredictionHead(128, 64, 128)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.06)

    class MoCo(SimSiam):
        def __init__(self):
            super().__init__()
            self.projection_head = heads.MoCoProjectionHead(512, 512, 128)
            self.backbone_momentum = copy.deepcopy(self.backbone)
            self.projection_head_momentum = copy.deepcopy(self.projection_head)
            deactivate_requires_grad(self.backbone_momentum)
            deactivate_requires_grad(self.projection_head_momentum)

    class Own(SimSiam):
        def __init__(self):
            super().__init__()
            self.backbone = ResNetGenerator("resnet-18")
            self.backbone.linear = nn.Identity()

    model = SimSiam()
    settled(model.backbone)
    by_lightning(model, folder / "simsiam.ckpt")
    yield "lightly", "SimSiam on torchvision's resnet18", folder / "simsiam.ckpt", None, model.backbone
    model = MoCo()
    settled(model.backbone), settled(model.backbone_momentum)
    by_lightning(model, folder / "moco.ckpt")
    yield "lightly", "MoCo, the encoder", folder / "moco.ckpt", "backbone", model.backbone
    yield "lightly", "MoCo, its momentum encoder", folder / "moco.ckpt", "backbone_momentum", model.backbone_momentum
    model = Own()
    settled(model.backbone)
    by_lightning(model, folder / "own.ckpt")
    # It pools 4 x 4, which is all that there is of its 32 x 32 pixels.
    own = model.backbone
    stages = [own.layer1, own.layer2, own.layer3, own.layer4, nn.AdaptiveAvgPool2d(1)]
    network = nn.Sequential(own.conv1, own.bn1, nn.ReLU(), *stages)
    yield "lightly", "its own ResNet-18, pooled over all", folder / "own.ckpt", None, network


def of_solo_learn(folder):
    # It takes a scheduler from a package that needs an older Lightning, and nothing is trained here.
    for name in ["pl_bolts", "pl_bolts.optimizers", "pl_bolts.optimizers.lr_scheduler"]:
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["pl_bolts.optimizers.lr_scheduler"].LinearWarmupCosineAnnealingLR = object
    from solo.methods import BYOL, MoCoV2Plus, SimSiam

    settings = dict(
        num_classes=10, max_epochs=2, batch_size=8, optimizer="sgd", lars=False, lr=0.1, weight_decay=0.0,
        classifier_lr=0.1, exclude_bias_n_norm=False, accumulate_grad_batches=1, extra_optimizer_args={"momentum": 0.9},
        scheduler="none", min_lr=0.0, warmup_start_lr=0.0, warmup_epochs=0, num_large_crops=2, num_small_crops=0,
        disable_knn_eval=True, knn_eval=False, knn_k=20, eta_lars=0.02, grad_clip_lars=False,
    )
    heads = dict(proj_output_dim=128, proj_hidden_dim=512)
    follower = dict(base_tau_momentum=0.99, final_tau_momentum=1.0, momentum_classifier=False)

    def save(method, file, network, cifar=False, **more):
        backbone = {"zero_init_residual": False, "cifar": cifar}
        model = method(encoder=network, backbone_args=backbone, **settings, **heads, **more)
        settled(model.encoder)
        if hasattr(model, "momentum_encoder"):
            settled(model.momentum_encoder)
        by_lightning(model, file)
        return model

    file = folder / "simsiam.ckpt"
    model = save(SimSiam, file, "resnet50", pred_hidden_dim=64)
    yield "solo-learn", "SimSiam, resnet50", file, None, model.encoder
    file = folder / "moco.ckpt"
    model = save(MoCoV2Plus, file, "resnet18", temperature=0.2, queue_size=64, **follower)
    yield "solo-learn", "MoCo v2+, the encoder", file, "state_dict.encoder", model.encoder
    yield "solo-learn", "MoCo v2+, its momentum encoder", file, "momentum_encoder", model.momentum_encoder
    file = folder / "byol.ckpt"
    model = save(BYOL, file, "resnet18", pred_hidden_dim=64, **follower)
    yield "solo-learn", "BYOL, the encoder", file, "state_dict.encoder", model.encoder
    file = folder / "cifar.ckpt"
    model = save(SimSiam, file, "resnet18", cifar=True, pred_hidden_dim=64)
    yield "solo-learn", "SimSiam for CIFAR, whose stem pads by 2", file, PADDED, model.encoder
    model.encoder.conv1.padding = (1, 1)
    yield "solo-learn", "the same, its padding set to 1", file, None, model.encoder


# What `logo-ssl import` is told beside a prefix.
PADDED = "--padded-stem"
PACKAGES = {
    "torchvision": of_torchvision,
    "timm": of_timm,
    "lightly": of_lightly,
    "solo-learn": of_solo_learn,
}


def pictures(source, folder):
    """Pictures of one size as PNG, cut from photographs or drawn at random; and their pixels as the networks see them."""
    folder.mkdir()
    photographs = sorted(p for p in source.rglob("*") if p.suffix.lower() in {".jpeg", ".jpg", ".png"}) if source else []
    generator = np.random.default_rng(0)
    pixels = {}
    for number in range(COUNT):
        if photographs:
            picture = Image.open(photographs[number % len(photographs)]).convert("RGB")
            left, top = (picture.width - SIDE) // 2, (picture.height - SIDE) // 2
            picture = picture.crop((left, top, left + SIDE, top + SIDE))
        else:
            picture = Image.fromarray(generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
        picture.save(folder / f"{number:03}.png")
        scaled = np.asarray(picture, np.float32) / 255
        pixels[f"{number:03}.png"] = ((scaled - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1)
    return pixels


def run(command):
    """What the program prints; what it refuses ends this."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command}: {done.stderr}")
    return done.stdout


def embedded(binary, weights, images, out):
    """The program's features of the pictures, by their names."""
    seen = [f"data.mean={MEAN}", f"data.std={STD}", f"eval.resize={SIDE}", f"eval.crop={SIDE}"]
    command = [binary, "embed", images, "--weights", weights, "--out", out, "--dataset", "folder", "--quiet"]
    run(command + [word for value in seen for word in ("--set", value)])
    with safe_open(out, "np") as file:
        names = (Path(name).name for name in json.loads(file.metadata()["ids"]))
        return dict(zip(names, file.get_tensor("features")))


def row(binary, case, images, pixels, folder):
    package, what, file, said, network = case
    taken = folder / "taken.safetensors"
    asked = {None: [], PADDED: [PADDED]}.get(said, ["--prefix", said])
    told = json.loads(run([binary, "import", file, "--out", taken, "--json", *asked]))
    ours = embedded(binary, taken if said else file, images, folder / "features.safetensors")
    batch = torch.from_numpy(np.stack([pixels[name] for name in sorted(ours)]))
    with torch.no_grad():
        theirs = network(batch).flatten(1).double().numpy()
    ours = np.stack([ours[name] for name in sorted(ours)]).astype(np.float64)
    error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
    names = f"`{told['prefix']}`" if told["prefix"] else "–"
    print(f"| {package} {version(package)} | {what} | {names} | {len(told['mapped'])} | {error:.1e} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="target/release/logo-ssl")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {COUNT} pictures of {SIDE} x {SIDE} pixels")
    print("| package | network | names begin with | tensors | error |\n| --- | --- | --- | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        pixels = pictures(asked.pictures, folder / "pictures")
        for package, cases in PACKAGES.items():
            if asked.only not in package:
                continue
            (folder / package).mkdir()
            try:
                for number, case in enumerate(cases(folder / package)):
                    place = folder / package / str(number)
                    place.mkdir()
                    row(asked.binary, case, folder / "pictures", pixels, place)
            except ImportError as missing:
                print(f"| {package} | left out: {missing} | | | |", flush=True)


if __name__ == "__main__":
    main()
