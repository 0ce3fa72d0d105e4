"""Writes fuzz/seeds: for each target a few small inputs that its parser takes.

    pip install numpy onnx pillow pyarrow safetensors torch
    python fuzz/make_seeds.py

The pictures are gradients of 5 x 3 pixels, the numbers come from a fixed seed: nothing is anybody's.
"""

import argparse
import gzip
import io
import json
import pickle
import struct
import tarfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from safetensors.torch import save

SEEDS = Path(__file__).parent / "seeds"
FIXTURES = Path(__file__).parent.parent / "crates/data/tests/fixtures"
# Of those that make_pictures.py writes there, the kinds that are not written here.
PICTURES = [
    "bits2.png",
    "grey_alpha16.png",
    "palette_all_clear.png",
    "turned_long.png",
    "interlaced.gif",
    "small_local.gif",
    "small_transparent.gif",
    "bits_fax.tiff",
    "bits_white_is_zero.tiff",
    "cmyk16.tiff",
    "cmyk_planar.tiff",
    "grey4.tiff",
    "grey_alpha.tiff",
    "palette4.tiff",
    "rgb_big.tiff",
    "rgb_tiled_planar.tiff",
    "rgba_multiplied.tiff",
    "turned_long.tiff",
    "ycbcr.tiff",
    "ycbcr_jpeg.tiff",
    "turned_long.webp",
    "bits.pbm",
    "grey16.pgm",
    "rgb.ppm",
    "text.ppm",
]
RNG = np.random.default_rng(5)
WIDTH, HEIGHT = 5, 3


def write(target, name, data):
    path = SEEDS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def picture(mode="RGB"):
    ramp = np.arange(WIDTH * HEIGHT * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3) * 5
    return Image.fromarray(ramp).convert(mode)


def encoded(kind, mode="RGB", **options):
    out = io.BytesIO()
    picture(mode).save(out, kind, **options)
    return out.getvalue()


def images():
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: a quarter turn
    grey16 = Image.fromarray(np.arange(WIDTH * HEIGHT, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 4000)
    deep = io.BytesIO()
    grey16.save(deep, "PNG")
    return {
        "baseline.jpg": encoded("JPEG", quality=50),
        "progressive.jpg": encoded("JPEG", progressive=True, quality=50),
        "grey.jpg": encoded("JPEG", "L"),
        "cmyk.jpg": encoded("JPEG", "CMYK"),
        "turned.jpg": encoded("JPEG", exif=exif.tobytes()),
        "restarts.jpg": encoded("JPEG", restart_marker_blocks=1, subsampling=0),
        "fine_colours.jpg": (FIXTURES / "fine_colours.jpg").read_bytes(),
        "rgb.png": encoded("PNG"),
        "palette.png": encoded("PNG", "P"),
        "alpha.png": encoded("PNG", "LA"),
        "bits.png": encoded("PNG", "1"),
        "grey16.png": deep.getvalue(),
        "turned.png": encoded("PNG", exif=exif.tobytes()),
        "lossy.webp": encoded("WEBP", quality=30),
        "lossless.webp": encoded("WEBP", lossless=True),
        "alpha.webp": encoded("WEBP", "RGBA", quality=30),
        "rgb.bmp": encoded("BMP"),
        "palette.bmp": encoded("BMP", "P"),
        "bits.bmp": encoded("BMP", "1"),
        "plain.tiff": encoded("TIFF"),
        "packbits.tiff": encoded("TIFF", compression="packbits"),
        "lzw.tiff": encoded("TIFF", compression="tiff_lzw"),
        "deflate.tiff": encoded("TIFF", compression="tiff_adobe_deflate"),
        "palette.gif": encoded("GIF", "P"),
        "without_end.png": encoded("PNG")[:-14],
        **{name: (FIXTURES / "pictures" / name).read_bytes() for name in PICTURES},
    }


def cifar_rows(count):
    return RNG.integers(0, 4, (count, 3072), dtype=np.uint8)


def cifar_batch(labels, protocol):
    batch = {"batch_label": "batch 1", labels: [7], "data": cifar_rows(1), "filenames": ["a.png"]}
    return pickle.dumps(batch, protocol)


def cifars():
    row = bytes([3]) + cifar_rows(1).tobytes()
    return {
        "ten.bin": b"\x00" + row,
        "hundred.bin": b"\x01\x09" + row,
        **{f"ten_protocol_{p}": b"\x02" + cifar_batch("labels", p) for p in range(5)},
        "hundred_protocol_2": b"\x03" + cifar_batch("fine_labels", 2),
    }


def pickles():
    small = {
        "labels": [0, 255, 65536, -1],
        "data": np.arange(6, dtype=np.uint8).reshape(2, 3),
        b"label_names": ["cat", "d\u00f6g", b"frog"],
        "nested": ([], (), {}, None, True, False, (1, 2), (1, 2, 3, 4)),
    }
    return {f"protocol_{protocol}": pickle.dumps(small, protocol) for protocol in range(5)}


def checkpoints():
    """PyTorch's forms, and a backbone's names behind a prefix and by number; each tensor of a few numbers."""
    numbers = torch.arange(6, dtype=torch.float32)
    parts = ["conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer1.0.shortcut.0.weight"]
    named = OrderedDict((f"module.{name}", numbers.half()) for name in parts)
    numbered = {"0.weight": numbers.view(1, 2, 3, 1), "1.running_mean": numbers.double()}
    numbered |= {f"{layer}.0.conv1.weight": numbers[layer - 4 : layer - 2].bfloat16() for layer in range(4, 8)}
    views = {"turned": numbers.view(2, 3).t(), "tail": numbers[4:], "steps": torch.tensor(3)}
    optimizer = {"state": {0: {"momentum_buffer": numbers}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    whole = {"epoch": 3, "state_dict": named, "optimizer": optimizer, "args": argparse.Namespace(arch="a")}
    whole["best"] = np.float64(0.5)

    def saved(data, legacy=False, **options):
        out = io.BytesIO()
        torch.save(data, out, _use_new_zipfile_serialization=not legacy, **options)
        return out.getvalue()

    return {
        "archive.pth": saved(whole),
        "stream.pth": saved(whole, legacy=True),
        "numbered.pth": saved(numbered, legacy=True),
        "views.pth": saved(views),
        "parameters.pth": saved({"w": torch.nn.Parameter(numbers)}, legacy=True),
        "protocol_4.pth": saved(named, legacy=True, pickle_protocol=4),
        "module.pth": saved(torch.nn.Sequential(torch.nn.BatchNorm1d(2))),
        "named.safetensors": save(dict(named), {"logo_ssl": "x"}),
        "named.onnx": model(folded=False),
        "folded.onnx": model(folded=True),
    }


def model(folded):
    """A convolution and its batch norm in ONNX: by PyTorch's names, or folded as torch.onnx.export leaves them."""
    numbers = np.arange(6, dtype=np.float32)
    weight, norm = numbers[:2].reshape(2, 1, 1, 1), ["bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"]
    names = ["onnx::Conv_7", "onnx::Conv_8"] if folded else ["conv1.weight", *norm]
    tensors = [onnx.numpy_helper.from_array(weight, names[0])]
    tensors += [onnx.numpy_helper.from_array(numbers[2:4].astype(np.float16), name) for name in names[1:]]
    convolution = names if folded else names[:1]
    nodes = [onnx.helper.make_node("Conv", ["images", *convolution], ["conv"], name="/conv1/Conv")]
    if not folded:
        nodes.append(onnx.helper.make_node("BatchNormalization", ["conv", *norm], ["out"], name="/bn1/BatchNormalization"))
    given = [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["batch", 1, 4, 4])]
    made = [onnx.helper.make_tensor_value_info(nodes[-1].output[0], onnx.TensorProto.FLOAT, None)]
    return onnx.helper.make_model(onnx.helper.make_graph(nodes, "seed", given, made, tensors)).SerializeToString()


def idx_file(sizes):
    count = int(np.prod(sizes))
    header = struct.pack(f">BBBB{len(sizes)}I", 0, 0, 8, len(sizes), *sizes)
    return header + RNG.integers(0, 10, count, dtype=np.uint8).tobytes()


def idx_files():
    images, labels = idx_file([2, 3, 4]), idx_file([5])
    return {
        "images": images,
        "labels": labels,
        "images.gz": gzip.compress(images, mtime=0),
        "labels.gz": gzip.compress(labels, mtime=0),
        "kaggle.csv": b"label,1x1,1x2,2x1,2x2\n7,0,1,254,255\n0,9,9,9,9\n",
    }


def stl10s():
    names = "\n".join(f"class{number}" for number in range(10))
    return {
        "named": bytes([3, 0, 1, 10, 5]) + f"\0{names}\n".encode(),
        "unnamed": bytes([2, 0, 2, 2]),
    }


def tar_of(members, kind=tarfile.USTAR_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    blocks = [out.getvalue()[at : at + 512] for at in range(0, out.tell(), 512)]
    while not blocks[-1].strip(b"\0"):
        blocks.pop()
    # Two empty blocks end an archive; Python fills it up to 10 KiB.
    return b"".join(blocks) + bytes(1024)


def shards():
    jpg = b"\xff\xd8 not looked at"
    labelled = [("a.jpg", jpg), ("a.cls", b"7\n"), ("b/c.seg.png", jpg), ("b/c.png", jpg)]
    described = [("a.jpg", jpg), ("a.json", json.dumps({"label": 3}).encode())]
    long = [("d" * 120 + "/" + "e" * 120 + ".webp", jpg), ("." + "hidden.jpg", jpg)]
    named = [("a.jpg", jpg), ("a.cls", b" golden retriever\n"), ("b.jpg", jpg), ("b.json", b'{"class_name": "cat"}')]
    mixed = [("a.jpg", jpg), ("a.cls", b"3"), ("b.heic", jpg), ("b.json", b'{"target": 2.0}'), ("c.jpg", jpg)]
    dotted = [(f"clip.{frame}.jpg", jpg) for frame in range(3)]
    return {
        "named.tar": tar_of(named),
        "mixed.tar": tar_of(mixed),
        "dotted.tar": tar_of(dotted),
        "labelled.tar": tar_of(labelled),
        "described.tar": tar_of(described, tarfile.PAX_FORMAT),
        "gnu_long.tar": tar_of(long, tarfile.GNU_FORMAT),
        "pax_long.tar": tar_of(long, tarfile.PAX_FORMAT),
    }


def archives():
    files = [("folder/a.bin", b"\0\1\2"), ("folder/b/c.txt", b"cat\n")]
    long = [("folder/" + "d" * 120, b"x")]
    return {
        "plain.tar": tar_of(files),
        "gnu_long.tar": tar_of(long, tarfile.GNU_FORMAT),
        "pax_long.tar": tar_of(long, tarfile.PAX_FORMAT),
    }


def parquet_file(rows=4, huggingface=False, labels=True, **options):
    bytes_of = [encoded("PNG") if row % 2 else b"\x89PNG" + bytes([row]) * 9 for row in range(rows)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pictures = [{"bytes": data, "path": f"{row}.png"} for row, data in enumerate(bytes_of)]
    columns = {"image": pa.array(pictures, kind)}
    if labels:
        columns["label"] = pa.array([row % 3 for row in range(rows)], pa.int64())
    table = pa.table(columns)
    if huggingface:
        label = {"names": ["cat", "dog", "frog"], "_type": "ClassLabel"}
        features = {"info": {"features": {"image": {"_type": "Image"}, "label": label}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    out = io.BytesIO()
    pq.write_table(table, out, store_schema=False, write_statistics=False, **options)
    return out.getvalue()


def parquet_with(label, paths_only=False, structure=True, **options):
    """Two rows with these labels, and images that are bytes, paths or, without `structure`, paths as text."""
    data = [None, None] if paths_only else [encoded("PNG"), encoded("PNG", "L")]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pictures = [{"bytes": data[row], "path": f"images/{row}.png"} for row in range(2)]
    images = pa.array(pictures, kind) if structure else pa.array(["0.png", "1.png"])
    table = pa.table({"image" if structure else "file_name": images, "label": label})
    out = io.BytesIO()
    pq.write_table(table, out, store_schema=False, write_statistics=False, compression="none", **options)
    return out.getvalue()


def parquets():
    names = pa.array(["dog", None])
    return {
        "names": parquet_with(names, use_dictionary=False),
        "names_in_dictionary": parquet_with(pa.array(["dog", "cat"]).dictionary_encode()),
        "floats": parquet_with(pa.array([1.0, float("nan")])),
        "short_floats": parquet_with(pa.array([2.0, None], pa.float32())),
        "flags": parquet_with(pa.array([True, None])),
        "paths": parquet_with(names, paths_only=True),
        "paths_as_text": parquet_with(names, structure=False),
        "plain": parquet_file(compression="none", use_dictionary=False),
        "snappy": parquet_file(compression="snappy", huggingface=True),
        "gzip": parquet_file(compression="gzip"),
        "zstd": parquet_file(compression="zstd", labels=False),
        "lz4": parquet_file(compression="lz4"),
        "groups": parquet_file(compression="none", row_group_size=2),
        "pages": parquet_file(compression="snappy", data_page_version="2.0", use_dictionary=False),
    }


def entry(offset, length, width, height, label, source):
    # The checksum is put right by the target.
    return struct.pack("<QIHHIII", offset, length, width, height, label, 0, source)


def packs():
    raw, file = bytes(range(WIDTH * HEIGHT * 3)), encoded("PNG")
    # Each image is preceded by its entry, as in a pack.
    records = bytes(28) + raw + bytes(28) + file
    first = 1024 + 28
    second = first + len(raw) + 28
    none = 2**32 - 1

    def forged(labels, classes, parts):
        entries = entry(first, len(raw), WIDTH, HEIGHT, labels[0], 0)
        entries += entry(second, len(file), 0, 0, labels[1], 1)
        head = struct.pack("<BBBH", 1, *parts, len(records))
        return head + records + entries + json.dumps(classes).encode()

    return {
        "labelled": forged([0, 1], ["cat", "dog"], (1, 1)),
        "unlabelled": forged([none, none], [], (2, 0)),
    }


def main():
    targets = {
        "archive": archives,
        "checkpoint": checkpoints,
        "cifar": cifars,
        "idx": idx_files,
        "image": images,
        "pack": packs,
        "parquet": parquets,
        "pickle": pickles,
        "stl10": stl10s,
        "tar": shards,
    }
    for target, seeds in targets.items():
        for name, data in seeds().items():
            write(target, name, data)


if __name__ == "__main__":
    main()
