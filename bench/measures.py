"""logo-ssl-measures beside scikit-learn on this machine: the same features, alternating runs, one line of JSON a run.
cpu_seconds are those of all threads, ours with reading the file: on a machine that others use they say more than seconds do.

usage: measures.py (probe | clusters | map | spectrum) [--images 50000] [--dim 512] [--classes 10] [--rounds 2] [--alone]

probe:     multinomial logistic regression over seven penalties, the best on a tenth of the images fitted again to all
clusters:  k-means with as many clusters as classes, ten starts
map:       t-SNE of scikit-learn's digits (1797 x 64); trustworthiness of both maps with 5 neighbours, by scikit-learn
spectrum:  effective rank, PCA, uniformity and hubness; no peer

Features are drawn here: classes that overlap, through a ReLU, brought to unit length, as a backbone's are. --alone leaves the
peer out. Needs `cargo build --release -p logo-ssl-measures --example peers`, and scikit-learn in the Python that runs it.
"""
import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

BINARY = pathlib.Path(__file__).parent.parent / "target/release/examples/peers"


def drawn(images, dim, classes):
    """Features `[images, dim]` and labels; a linear probe is right about seven times in ten with 10 classes."""
    random = np.random.default_rng(0)
    labels = random.integers(classes, size=images)
    middles = random.normal(size=(classes, 32))
    hidden = middles[labels] + 2.2 * random.normal(size=(images, 32))
    rows = np.maximum(hidden @ random.normal(size=(32, dim)) / 6 + 0.5 * random.normal(size=(images, dim)), 0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), labels


def scikit_probe(rows, labels):
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    start = time.perf_counter()
    kept, held_out, kept_labels, held_out_labels = train_test_split(rows, labels, test_size=0.1, stratify=labels, random_state=0)
    scaler = StandardScaler().fit(kept)
    kept, held_out = scaler.transform(kept), scaler.transform(held_out)
    grid = [10.0**power for power in range(-5, 2)]
    model = LogisticRegression(tol=1e-4, max_iter=500, warm_start=True)
    scores = [model.set_params(C=c).fit(kept, kept_labels).score(held_out, held_out_labels) for c in grid]
    c = grid[int(np.argmax(scores))]
    scaled = StandardScaler().fit_transform(rows)
    model.set_params(C=c).fit(scaled, labels)
    seconds = time.perf_counter() - start
    loss = log_loss(labels, model.predict_proba(scaled)) + 0.5 * float((model.coef_**2).sum()) / (c * len(rows))
    return {"seconds": seconds, "c": c, "loss": loss, "iterations": int(model.n_iter_[0])}


def scikit_clusters(rows, labels):
    from sklearn.cluster import KMeans
    from sklearn.metrics import normalized_mutual_info_score

    start = time.perf_counter()
    model = KMeans(labels.max() + 1, n_init=10, random_state=0).fit(rows)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "inertia": float(model.inertia_), "nmi": normalized_mutual_info_score(labels, model.labels_)}


def scikit_map(rows):
    from sklearn.manifold import TSNE, trustworthiness

    start = time.perf_counter()
    places = TSNE(random_state=0).fit_transform(rows)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "trustworthiness": trustworthiness(rows, places, n_neighbors=5)}


def ours(what, *arguments):
    done = subprocess.run([BINARY, what, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {BINARY} ended with status {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def our_map(features, rows, folder):
    from sklearn.manifold import trustworthiness

    out = folder / "map"
    found = ours("map", features, rows.shape[1], out)
    places = np.fromfile(out, dtype="<f4").reshape(-1, 2)
    theirs = trustworthiness(rows, places, n_neighbors=5)
    assert abs(theirs - found["trustworthiness"]) < 1e-6, "both count trustworthiness alike"
    return found


def cpu_seconds():
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def take(round_, name, side):
    before = cpu_seconds()
    found = side()
    print(json.dumps({"round": round_, "side": name, **found, "cpu_seconds": cpu_seconds() - before}), flush=True)


parser = argparse.ArgumentParser(usage=__doc__)
parser.add_argument("what", choices=["probe", "clusters", "map", "spectrum"])
parser.add_argument("--images", type=int, default=50_000)
parser.add_argument("--dim", type=int, default=512)
parser.add_argument("--classes", type=int, default=10)
parser.add_argument("--rounds", type=int, default=2)
parser.add_argument("--binary", type=pathlib.Path, default=BINARY)
parser.add_argument("--alone", action="store_true")
options = parser.parse_args()
BINARY = options.binary

with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    features, classes = folder / "features", folder / "labels"
    if options.what == "map":
        from sklearn.datasets import load_digits

        rows, labels = load_digits(return_X_y=True)
        rows = rows.astype(np.float32)
    else:
        rows, labels = drawn(options.images, options.dim, options.classes)
    rows.astype("<f4").tofile(features)
    labels.astype(np.uint8).tofile(classes)
    sides = {
        "probe": (lambda: ours("probe", features, options.dim, classes), lambda: scikit_probe(rows, labels)),
        "clusters": (lambda: ours("clusters", features, options.dim, classes), lambda: scikit_clusters(rows, labels)),
        "map": (lambda: our_map(features, rows, folder), lambda: scikit_map(rows)),
        "spectrum": (lambda: ours("spectrum", features, options.dim), None),
    }
    here, there = sides[options.what]
    for round_ in range(options.rounds):
        take(round_, "logo-ssl-measures", here)
        if there and not options.alone:
            take(round_, "scikit-learn", there)
