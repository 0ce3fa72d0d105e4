"""PyTorch's side of the training-step comparison: a ResNet-18 with the CIFAR stem on random 32-pixel crops,
forward, backward and SGD, as `logo-ssl bench step` does it. Prints crops per second and peak memory in MiB.

usage: train_step.py WIDTH BATCH f32|bf16|bf16-compile
"""
import resource
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class ConvNorm(nn.Sequential):
    def __init__(self, inputs, outputs, kernel, stride):
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first, self.second = ConvNorm(inputs, outputs, 3, stride), ConvNorm(outputs, outputs, 3, 1)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else ConvNorm(inputs, outputs, 1, stride)

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


def resnet18(width):
    layers, channels = [ConvNorm(3, width, 3, 1), nn.ReLU()], width
    for stage in range(4):
        for block in range(2):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(Block(channels, width << stage, stride))
            channels = width << stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(1))


def main():
    width, batch, mode = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.manual_seed(0)
    network = resnet18(width).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    forward = torch.compile(network) if mode.endswith("compile") else network
    crops = torch.rand(batch, 3, 32, 32).to(memory_format=torch.channels_last)
    times = []
    for _ in range(9):
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mode.startswith("bf16")):
            features = forward(crops)
        optimizer.zero_grad()
        features.float().square().mean().backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    median = sorted(times[2:])[3]
    print(batch / median, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
