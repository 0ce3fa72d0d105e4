"""torchvision's views on one core: 2 global and 2 local crops of every image, as an epoch needs them.

usage: views.py pil|tensors cifar FILE
       views.py pil|tensors jpeg FOLDER

FILE is a CIFAR-10 binary batch (its first 2,000 images are used), FOLDER one with JPEG files at any depth. Prints images a second.
"pil" is the pipeline as published code has it; "tensors" is torchvision's v2 on uint8 tensors.
"""
import pathlib
import sys
import time

import numpy as np
import torch
from PIL import Image
from torchvision import transforms as v1
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import v2

torch.set_num_threads(1)

MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]


def pipeline(t, last, size, area, blur):
    steps = [
        t.RandomResizedCrop(size, scale=area),
        t.RandomHorizontalFlip(),
        t.RandomApply([t.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        t.RandomGrayscale(p=0.2),
    ]
    if blur:
        steps.append(t.RandomApply([t.GaussianBlur(blur, (0.1, 2.0))], p=0.5))
    return t.Compose([*steps, *last, t.Normalize(MEAN, STD)])


def main():
    mode, kind, path = sys.argv[1:]
    tensors = mode == "tensors"
    t, last = (v2, [v2.ToDtype(torch.float32, scale=True)]) if tensors else (v1, [v1.ToTensor()])
    if kind == "cifar":
        rows = np.frombuffer(pathlib.Path(path).read_bytes(), np.uint8).reshape(-1, 3073)[:2000, 1:]
        planes = rows.reshape(-1, 3, 32, 32)
        pictures = [torch.from_numpy(p.copy()) if tensors else Image.fromarray(p.transpose(1, 2, 0)) for p in planes]
        read = lambda picture: picture
        views = [pipeline(t, last, 32, (0.4, 1.0), None), pipeline(t, last, 32, (0.05, 0.4), None)]
    else:
        pictures = sorted(p for p in pathlib.Path(path).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
        read = (
            (lambda file: decode_image(str(file), mode=ImageReadMode.RGB))
            if tensors
            else (lambda file: Image.open(file).convert("RGB"))
        )
        views = [pipeline(t, last, 224, (0.4, 1.0), 23), pipeline(t, last, 96, (0.05, 0.4), 9)]
    start = time.perf_counter()
    for picture in pictures:
        image = read(picture)
        for view in views:
            view(image)
            view(image)
    print(len(pictures) / (time.perf_counter() - start))


main()
