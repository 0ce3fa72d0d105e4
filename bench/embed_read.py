"""Reads files of features, as `logo-ssl embed` writes them, with the libraries that people read them with, and
checks that they say the same.

    for format in npy npz parquet safetensors; do logo-ssl embed --run RUN --out FOLDER/features.$format; done
    python bench/embed_read.py FOLDER

Needs numpy, pandas with pyarrow, and safetensors; what is read by a library that is missing is skipped, which the
last line and the exit status 3 say.
"""

import json
import sys
from pathlib import Path


def npy(folder):
    import numpy as np
    import pandas as pd

    names = pd.read_csv(folder / "features.csv", keep_default_na=False, dtype={"label": str})
    labels = names["label"].replace("", "-1").astype(int)
    assert list(names["row"]) == list(range(len(names)))
    features = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
    return features, list(names["id"]), list(labels), None


def npz(folder):
    import numpy as np

    with np.load(folder / "features.npz", allow_pickle=False) as file:
        assert sorted(file) == ["classes", "features", "ids", "labels", "metadata", "splits"]
        assert len(file["splits"]) == len(file["ids"])
        metadata = json.loads(file["metadata"].item())
        return file["features"], list(file["ids"]), list(file["labels"]), metadata


def parquet(folder):
    import numpy as np
    import pandas as pd
    import pyarrow.parquet as pq

    path = folder / "features.parquet"
    schema = pq.read_schema(path)
    frame = pd.read_parquet(path)
    assert list(frame.columns) == ["id", "split", "label", "class", "features"]
    classes = json.loads(schema.metadata[b"classes"])
    named = frame["label"].notna()
    assert [classes[int(label)] for label in frame["label"][named]] == list(frame["class"][named])
    metadata = json.loads(schema.metadata[b"logo_ssl"])
    labels = frame["label"].fillna(-1).astype(int)
    return np.stack(list(frame["features"])), list(frame["id"]), list(labels), metadata


def safetensors(folder):
    from safetensors import safe_open

    with safe_open(folder / "features.safetensors", "numpy") as file:
        texts = file.metadata()
        features, labels = file.get_tensor("features"), file.get_tensor("labels")
        return features, json.loads(texts["ids"]), list(labels), json.loads(texts["logo_ssl"])


def main():
    folder = Path(sys.argv[1])
    found, skipped = {}, []
    for read in [npy, npz, parquet, safetensors]:
        try:
            found[read.__name__] = read(folder)
        except ImportError as error:
            skipped.append(f"{read.__name__} ({error})")
    if found:
        import numpy as np

        first, (features, ids, labels, _) = next(iter(found.items()))
        for name, (others, other_ids, other_labels, metadata) in found.items():
            assert others.dtype == features.dtype and others.shape == features.shape, name
            assert np.array_equal(others, features), f"{name} holds other numbers than {first}"
            assert other_ids == ids and other_labels == labels, f"{name} has other names than {first}"
            assert metadata is None or metadata["rows"] == len(features), name
            print(f"{name}: {others.shape} of {others.dtype}, as {first}")
    if skipped:
        print(f"SKIPPED, not checked: {', '.join(skipped)}")
        sys.exit(3)


main()
