"""The usual PyTorch loop for SimSiam-LoGo on CIFAR-10, as `logo-ssl bench train --preset cifar10-seed` does it:
torchvision's transforms on PIL images in two loader processes, four crops of 32 pixels an image, each its own
forward pass, both losses, both optimisers. Prints images per second and peak memory in MiB.

usage: logo_loop.py DATA_DIR BATCH plain|channels-last
"""
import pathlib
import resource
import sys
import time

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from train_step import resnet18

LAMBDA, DIM = 1e-4, 2048


def transform(area):
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(32, area),
            transforms.RandomHorizontalFlip(),
            transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
            transforms.RandomGrayscale(0.2),
            transforms.ToTensor(),
            transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        ]
    )


class Crops(Dataset):
    def __init__(self, folder):
        raw = np.fromfile(folder / "cifar-10-batches-bin/data_batch_1.bin", np.uint8).reshape(-1, 3073)
        self.images = np.ascontiguousarray(raw[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        self.transforms = [transform((0.65, 0.9))] * 2 + [transform((0.15, 0.4))] * 2

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = Image.fromarray(self.images[index])
        return [make(image) for make in self.transforms]


def layer(inputs, outputs, affine=True):
    return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs, affine=affine)]


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = resnet18(64)
        self.projector = nn.Sequential(*layer(512, DIM), nn.ReLU(), *layer(DIM, DIM, affine=False))
        self.predictor = nn.Sequential(*layer(DIM, 512), nn.ReLU(), nn.Linear(512, DIM))

    def forward(self, crops):
        z = self.projector(self.backbone(crops))
        return z, self.predictor(z)


def affinity_network():
    widths = [2 * DIM] + [64] * 5
    hidden = [part for a, b in zip(widths, widths[1:]) for part in [*layer(a, b), nn.ReLU()]]
    return nn.Sequential(*hidden, nn.Linear(64, 1), nn.Softplus())


def similarity(view, target):
    return -F.cosine_similarity(view[1], target[0].detach()).mean()


def update(crops, encoder, affinity, optimizers):
    g1, g2, l1, l2 = [encoder(crop) for crop in crops]
    first, second = l1[0].detach(), l2[0].detach()
    other = first[torch.randperm(len(first))]
    omega = affinity(torch.cat([first, second], 1)).mean() - affinity(torch.cat([first, other], 1)).mean()
    optimizers[1].zero_grad()
    (-omega).backward()
    optimizers[1].step()
    local_global = sum(similarity(local, target) for local in (l1, l2) for target in (g1, g2))
    local_local = affinity(torch.cat([l1[0], l2[0]], 1)).mean()
    loss = similarity(g1, g2) + local_global + LAMBDA * local_local
    optimizers[0].zero_grad()
    loss.backward()
    optimizers[0].step()
    return loss.item()


def main():
    folder, batch, mode = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.manual_seed(0)
    layout = torch.channels_last if mode == "channels-last" else torch.contiguous_format
    encoder, affinity = Encoder().to(memory_format=layout), affinity_network()
    sgd = lambda network, lr: torch.optim.SGD(network.parameters(), lr, momentum=0.9, weight_decay=1e-4)
    optimizers = sgd(encoder, 0.05), sgd(affinity, 1e-4)
    loader = DataLoader(Crops(folder), batch, shuffle=True, drop_last=True, num_workers=2)
    times, start = [], time.perf_counter()
    for crops in loader:
        update([crop.to(memory_format=layout) for crop in crops], encoder, affinity, optimizers)
        now = time.perf_counter()
        times.append(now - start)
        start = now
        if len(times) == 9:
            break
    median = sorted(times[2:])[3]
    print(batch / median, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


main()
