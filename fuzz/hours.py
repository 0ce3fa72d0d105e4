"""Fuzzes every target for an hour of processor time, as many at once as there are cores.

    python fuzz/hours.py [--seconds 3600] [TARGET ...]

Ctrl-C stops it, and it goes on where it was: `artifacts/hours.json` has the executions and the processor's seconds of each
target, `corpus/` what it has found. Ends with the table of docs/results/data.md, and with 1 where a target has broken.
Needs what README.md says: a nightly compiler and cargo-fuzz.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
KEPT = HERE / "artifacts" / "hours.json"
FUZZ = ["cargo", "+nightly", "fuzz"]
# Seconds of the clock after which the processor's are read and kept.
SLICE = 300


class Hours:
    """What each target has had so far, kept in a file after every slice."""

    def __init__(self):
        self.lock = threading.Lock()
        self.of = json.loads(KEPT.read_text()) if KEPT.exists() else {}

    def had(self, target):
        return self.of.setdefault(target, {"executions": 0, "seconds": 0.0})

    def add(self, target, executions, seconds):
        with self.lock:
            had = self.had(target)
            had["executions"] += executions
            had["seconds"] += seconds
            fresh = KEPT.with_suffix(".part")
            fresh.write_text(json.dumps(self.of, indent=1) + "\n")
            fresh.replace(KEPT)


def fuzz_slice(target, clock):
    """Fuzzes for `clock` seconds: the executions, the processor's seconds, and whether the target held."""
    corpus = HERE / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={clock}", "-print_final_stats=1"]
    folders = [str(corpus), str(HERE / "seeds" / target)]
    log = HERE / "artifacts" / f"{target}.log"
    with log.open("w") as out:
        child = subprocess.Popen([*FUZZ, "run", target, *folders, "--", *options], cwd=HERE, stdout=out, stderr=out)
        # The times of the fuzzer are among those of cargo, which waits for it.
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    found = re.search(r"stat::number_of_executed_units: +(\d+)", log.read_text(errors="replace"))
    return int(found[1]) if found else 0, usage.ru_utime + usage.ru_stime, child.returncode == 0


def fuzz(target, wanted, hours, stopped):
    """Fuzzes until the target has had `wanted` seconds of the processor's, or all is `stopped`: whether it held."""
    while not stopped.is_set() and (left := wanted - hours.had(target)["seconds"]) > 1:
        # A second of the clock has at most one of the processor's, but for the few threads that some targets start.
        executions, seconds, held = fuzz_slice(target, max(1, min(SLICE, round(left))))
        hours.add(target, executions, seconds)
        print(f"{target}: {hours.had(target)['seconds'] / 60:.0f} of {wanted / 60:.0f} minutes", file=sys.stderr, flush=True)
        # The fuzzers are told to stop by the same keys, and end with a status of their own.
        if not held and not stopped.is_set():
            print(f"error: {target} has broken; see fuzz/artifacts/{target}.log and fuzz/artifacts/{target}/", file=sys.stderr)
            return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600, help="the processor's seconds for each target (3600)")
    parser.add_argument("targets", nargs="*", help="all, if none is named")
    options = parser.parse_args()
    known = sorted(path.stem for path in (HERE / "fuzz_targets").glob("*.rs"))
    if unknown := sorted(set(options.targets) - set(known)):
        parser.error(f"there is no target {unknown[0]}; there are {', '.join(known)}")
    targets = options.targets or known
    KEPT.parent.mkdir(exist_ok=True)
    for target in targets:
        subprocess.run([*FUZZ, "build", target], cwd=HERE, check=True)
    hours, stopped = Hours(), threading.Event()
    for ending in signal.SIGINT, signal.SIGTERM:
        signal.signal(ending, lambda *_: stopped.set())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        held = list(pool.map(lambda target: fuzz(target, options.seconds, hours, stopped), targets))
    print("| target | executions | processor | crashes |\n| --- | ---: | ---: | --- |")
    for target, whole in zip(targets, held):
        had = hours.had(target)
        crashes = "none" if whole else "yes"
        print(f"| `{target}` | {had['executions']:,} | {had['seconds'] / 60:.0f} min | {crashes} |")
    sys.exit(130 if stopped.is_set() else not all(held))


if __name__ == "__main__":
    main()
