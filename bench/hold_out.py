"""A split of CIFAR-10's training images, as folders of PNG: every fifth image is held out. Settings are tuned on it, so
that the test images are for final figures alone.

    python bench/hold_out.py DIR/cifar-10-binary.tar.gz OUT        # needs numpy and Pillow
    logo-ssl sweep configs/sweeps/optimiser.toml --data-dir OUT
"""
import pathlib
import sys
import tarfile

import numpy as np
from PIL import Image

HELD_OUT = 5
RECORD = 1 + 3 * 32 * 32


def records(archive):
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            if "data_batch" in member.name:
                yield from np.frombuffer(tar.extractfile(member).read(), np.uint8).reshape(-1, RECORD)


def main(archive, out):
    for number, record in enumerate(records(archive)):
        split = "test" if number % HELD_OUT == HELD_OUT - 1 else "train"
        folder = pathlib.Path(out, split, str(record[0]))
        folder.mkdir(parents=True, exist_ok=True)
        image = record[1:].reshape(3, 32, 32).transpose(1, 2, 0)
        Image.fromarray(image).save(folder / f"{number:05d}.png", compress_level=1)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
