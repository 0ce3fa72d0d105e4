"""What the dashboard costs: epochs of the quickstart on a pseudo-terminal, with it and with plain lines in turn.

usage: dashboard.py BINARY [PAIRS]

Prints the median of the time that updates took, each way, and their ratio. It says something on a quiet machine
alone; the spread between runs of one way is printed beside.
"""

import json
import os
import pathlib
import pty
import statistics
import struct
import subprocess
import sys
import tempfile

import fcntl
import termios


def on_a_terminal(command, columns=120, rows=40):
    """Runs `command` on a terminal of its own until it ends."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    child = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    drawn = 0
    while True:
        try:
            got = os.read(ours, 1 << 16)
        except OSError:
            break
        if not got:
            break
        drawn += len(got)
    os.close(ours)
    assert child.wait() == 0, command
    return drawn


def seconds_of_updates(run):
    timings = [json.loads(line) for line in (run / "timings.jsonl").read_text().splitlines()]
    names = ("step_ms", "views_wait_ms", "bookkeeping_ms")
    updates = [sum(r[name] for name in names) for r in timings if r["kind"] == "timing"]
    # The first waits for programs and for its views.
    return sum(updates[1:]) / 1e3


def main():
    binary, pairs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    seconds = {"plain": [], "dashboard": []}
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(pairs):
            # Which comes first changes, as a machine warms up.
            ways = list(seconds) if pair % 2 == 0 else list(seconds)[::-1]
            for way in ways:
                run = pathlib.Path(folder) / f"{way}-{pair}"
                command = [binary, "pretrain", "--epochs", "1", "--set", "optimizer.warmup_epochs=0"]
                command += ["--run-dir", str(run)]
                on_a_terminal(command + (["--plain"] if way == "plain" else []))
                seconds[way].append(seconds_of_updates(run))
    for way, values in seconds.items():
        spread = (max(values) - min(values)) / statistics.median(values)
        print(f"{way}: median {statistics.median(values):.3f} s, spread {100 * spread:.1f} %, {values}")
    ratio = statistics.median(seconds["dashboard"]) / statistics.median(seconds["plain"])
    pairwise = statistics.median(d / p for d, p in zip(seconds["dashboard"], seconds["plain"]))
    print(f"dashboard / plain: {ratio:.4f} of medians, {pairwise:.4f} median of pairs")


main()
