"""PyTorch's side of the comparisons on a GPU: LoGo updates and training steps as its users write them, on random crops
that lie on the device.

usage: gpu_torch.py CASE...    CASE = NET:WIDTH:SIDE:BATCH:MODE, for example logo:64:32:512:bf16-compile
  NET    logo (SimSiam-LoGo on a ResNet-18, two global and two local views an image; SIDE 32/16 for local ones of 16 pixels),
         resnet18c (a ResNet-18 with the CIFAR stem), resnet18, resnet50
  MODE   f32, tf32, bf16 (autocast), bf16-compile (and torch.compile)

Networks, losses and optimisers are those of `logo-ssl bench update --preset cifar10` and `logo-ssl bench step`.
Prints one JSON line a case; the exit code is 1 where one of them failed.
"""
import torch
from torch import nn
from torch.nn import functional as F

from gpu_cases import main
from train_step import ConvNorm

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DIM, LAMBDA = 2048, 1e-4


class Block(nn.Module):
    """Two 3×3 convolutions, or a bottleneck's three, beside a shortcut."""

    def __init__(self, inputs, inner, stride, bottleneck):
        super().__init__()
        if bottleneck:
            units = [(inputs, inner, 1, 1), (inner, inner, 3, stride), (inner, 4 * inner, 1, 1)]
        else:
            units = [(inputs, inner, 3, stride), (inner, inner, 3, 1)]
        outputs = units[-1][1]
        self.units = nn.ModuleList(ConvNorm(*unit) for unit in units)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else ConvNorm(inputs, outputs, 1, stride)

    def forward(self, x):
        y = x
        for unit in self.units[:-1]:
            y = F.relu(unit(y), inplace=True)
        return F.relu(self.units[-1](y) + self.shortcut(x), inplace=True)


def resnet(net, width):
    bottleneck = net == "resnet50"
    blocks = [3, 4, 6, 3] if bottleneck else [2, 2, 2, 2]
    if net in ("logo", "resnet18c"):
        layers = [ConvNorm(3, width, 3, 1), nn.ReLU(inplace=True)]
    else:
        layers = [ConvNorm(3, width, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    channels = width
    for stage, count in enumerate(blocks):
        inner = width << stage
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(Block(channels, inner, stride, bottleneck))
            channels = 4 * inner if bottleneck else inner
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def layer(inputs, outputs, affine=True):
    return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs, affine=affine)]


class Encoder(nn.Module):
    """A backbone with SimSiam's heads: crops to z and h(z)."""

    def __init__(self, width):
        super().__init__()
        self.backbone = resnet("logo", width)
        self.projector = nn.Sequential(*layer(8 * width, DIM), nn.ReLU(inplace=True), *layer(DIM, DIM, affine=False))
        self.predictor = nn.Sequential(*layer(DIM, 512), nn.ReLU(inplace=True), nn.Linear(512, DIM))

    def forward(self, crops):
        z = self.projector(self.backbone(crops))
        return z, self.predictor(z)


def affinity_network():
    """f_d before its softplus."""
    widths = [2 * DIM] + [64] * 5
    hidden = [part for a, b in zip(widths, widths[1:]) for part in [*layer(a, b), nn.ReLU(inplace=True)]]
    return nn.Sequential(*hidden, nn.Linear(64, 1))


def similarity(p, z):
    return -F.cosine_similarity(p.float(), z.detach().float()).mean()


def between_views(global_views, local_views):
    """L_gg + L_lg."""
    (z1, p1), (z2, p2) = global_views
    global_global = (similarity(p1, z2) + similarity(p2, z1)) / 2
    local_global = sum(similarity(p, z) for _, p in local_views for z in (z1, z2))
    return global_global + local_global


def omega(affinity, first, second):
    """What f_d maximises: pairs of one image against pairs of two, normalised together."""
    other = first.roll(1, 0)
    pairs = torch.cat([torch.cat([first, second], 1), torch.cat([first, other], 1)])
    same, different = affinity(pairs).chunk(2)
    return -F.softplus(-same).mean() - F.softplus(different).mean()


def views(embeddings):
    """The two views of every image, which pass the encoder as one batch."""
    z, p = (part.chunk(2) for part in embeddings)
    return list(zip(z, p))


def sgd(network, lr, weight_decay):
    return torch.optim.SGD(network.parameters(), lr, momentum=0.9, weight_decay=weight_decay, fused=DEVICE == "cuda")


def crops(batch, side):
    return torch.randn(batch, 3, side, side).to(DEVICE, memory_format=torch.channels_last)


def on_device(network):
    return network.to(DEVICE).to(memory_format=torch.channels_last)


def descend(loss, optimizer):
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def logo_update(width, sides, batch, mode):
    """The update of equations 6 and 9: f_d's step, then the encoder's with f_d held fast."""
    encoder, affinity = on_device(Encoder(width)), affinity_network().to(DEVICE)
    optimizer, affinity_optimizer = sgd(encoder, 0.03, 5e-4), sgd(affinity, 1e-4, 5e-4)
    embed = torch.compile(encoder, dynamic=False) if mode.endswith("compile") else encoder
    global_crops, local_crops = crops(2 * batch, sides[0]), crops(2 * batch, sides[-1])

    def update():
        with autocast(mode):
            global_views, local_views = views(embed(global_crops)), views(embed(local_crops))
        (first, _), (second, _) = [(z.float(), p) for z, p in local_views]
        descend(-omega(affinity, first.detach(), second.detach()), affinity_optimizer)
        affinity.requires_grad_(False).eval()
        local_local = F.softplus(affinity(torch.cat([first, second], 1))).mean()
        loss = between_views(global_views, local_views) + LAMBDA * local_local
        descend(loss, optimizer)
        affinity.requires_grad_(True).train()
        return loss

    return update


def training_step(net, width, side, batch, mode):
    """Forward, backward and SGD; the loss is the features' mean square."""
    network = on_device(resnet(net, width))
    optimizer = sgd(network, 0.01, 1e-4)
    forward = torch.compile(network, dynamic=False) if mode.endswith("compile") else network
    batch_of_crops = crops(batch, side)

    def step():
        with autocast(mode):
            features = forward(batch_of_crops)
        loss = features.float().square().mean()
        descend(loss, optimizer)
        return loss

    return step


def autocast(mode):
    return torch.autocast(DEVICE, torch.bfloat16, enabled=mode.startswith("bf16"))


def prepare(net, width, sides, batch, mode):
    if mode not in ("f32", "tf32", "bf16", "bf16-compile"):
        raise ValueError(f"there is no mode {mode}")
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = mode != "f32"
    if net == "logo":
        step = logo_update(width, sides, batch, mode)
    else:
        step = training_step(net, width, sides[0], batch, mode)

    def run(count):
        for _ in range(count):
            loss = step()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        return loss

    return run


def peak_memory():
    return torch.cuda.max_memory_allocated() if DEVICE == "cuda" else None


def clean_up():
    if DEVICE == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def place():
    card = torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu"
    return {"peer": "torch", "card": card, "versions": {"torch": torch.__version__, "cuda": torch.version.cuda}}


if __name__ == "__main__":
    main(prepare, peak_memory, place, clean_up)
