"""How long the import of a checkpoint takes, and how much memory, beside torch.load of the same file.

    pip install torch torchvision safetensors
    cargo build --release && python bench/import.py [--binary target/release/logo-ssl] [--pairs 5]

The checkpoint is torchvision's ResNet-50 with random weights. Sides alternate, each a process of its own. Of
logo-ssl that is the whole process, start and the file that it writes included; of Python the calls alone,
without the import of torch, which is printed beside. Memory is the process's peak less what it has before the
call.
"""
import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torchvision

# A process inherits the peak of the one that starts it, so a small one starts all.
MEASURE = """
import resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[1:], check=True, capture_output=True, text=True)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
print(done.stdout, end="")
"""

THEIRS = """
import resource, sys, time
start = time.perf_counter()
import torch
from safetensors.torch import save_file
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, imported = peak(), time.perf_counter()
state = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
loaded = time.perf_counter()
total = sum(float(value.sum()) for value in state.values())
save_file(state, sys.argv[2])
print(imported - start, loaded - imported, time.perf_counter() - imported, peak() - before)
"""


def measured(*command):
    """Seconds of a command, its peak in KiB, and the words that it prints."""
    measure = [sys.executable, "-S", "-c", MEASURE, *map(str, command)]
    answer = subprocess.run(measure, check=True, capture_output=True, text=True).stdout
    seconds, peak, *words = answer.split()
    return float(seconds), float(peak), words


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="target/release/logo-ssl")
    parser.add_argument("--pairs", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "resnet50.pth", Path(folder) / "out.safetensors"
        torch.manual_seed(0)
        torch.save(torchvision.models.resnet50(weights=None).state_dict(), file)
        mib = file.stat().st_size / 2**20
        idle = measured(asked.binary, "--version")[1]
        rows = {"import": [], "import MiB": [], "torch.load": [], "load and save": [], "load and save MiB": []}
        for _ in range(asked.pairs):
            seconds, peak, _ = measured(asked.binary, "import", file, "--out", out, "--quiet")
            rows["import"].append(seconds)
            rows["import MiB"].append((peak - idle) / 1024)
            words = measured(sys.executable, "-c", THEIRS, file, out)[2]
            imported, loaded, saved, peak = map(float, words)
            rows["torch.load"].append(loaded)
            rows["load and save"].append(saved)
            rows["load and save MiB"].append(peak / 1024)
        print(f"{mib:.1f} MiB, {asked.pairs} pairs; median, least to most")
        for name, values in rows.items():
            print(f"{name:18} {statistics.median(values):8.3f}   {min(values):.3f} to {max(values):.3f}")
        print(f"import's memory is {statistics.median(rows['import MiB']) / mib:.2f} times the file")
        print(f"import of torch: {imported:.1f} s")


if __name__ == "__main__":
    main()
