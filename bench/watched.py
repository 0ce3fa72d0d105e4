"""What it costs a run to be looked at: epochs of the quickstart on a terminal of their own, in turn with plain lines, with
the dashboard, with plain lines while `logo-ssl watch` shows the run on another terminal, and while `logo-ssl serve` answers
what its page asks for every two seconds.

usage: watched.py BINARY [ROUNDS] [EPOCHS]

Prints for each way the median of the time that updates took and of the run's processor time, their ratios to plain lines
(medians over rounds), and the processor time that the program that looks on took of the run's time. The times say something on a quiet machine
alone; the spread between runs of one way is printed beside.
"""

import fcntl
import json
import os
import pathlib
import pty
import re
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import urllib.error
import urllib.request

WAYS = ("plain", "dashboard", "watch", "serve")
# As often as the page of a run in training asks.
PAGE_ASKS = 2.0


def on_a_terminal(command):
    """Starts `command` on a terminal of its own, which is read until it ends."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    child = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)

    def drain():
        try:
            while os.read(ours, 1 << 16):
                pass
        except OSError:
            pass
        os.close(ours)

    threading.Thread(target=drain, daemon=True).start()
    return child


def ask(address, over):
    """Asks for what the page of a run shows, until the run is over."""
    since = 0
    while not over.wait(PAGE_ASKS):
        for path in ("/api/runs", "/api/runs/run", f"/api/runs/run/curves?since={since}"):
            try:
                urllib.request.urlopen(address + path).read()
            except urllib.error.HTTPError:
                pass  # The run has no log yet.


def look_on(way, binary, run, over):
    """Starts what looks on at `run`, and returns its process, or none."""
    if way == "watch":
        # There is nothing to watch before the run has its folder.
        while not (run / "metrics.jsonl").exists():
            time.sleep(0.05)
        return on_a_terminal([binary, "watch", str(run)])
    if way == "serve":
        command = [binary, "serve", str(run.parent), "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        address = re.search(r"http://[\d.:]+", server.stdout.readline())[0]
        threading.Thread(target=ask, args=(address, over), daemon=True).start()
        return server
    return None


def processor_seconds(process):
    """Those of all threads of `process`, which is still running."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processor_seconds_of_children():
    """Those of the children that have ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def one_run(way, binary, epochs, folder):
    """Seconds that updates took, processor seconds of the run, and those of what looked on as a share of its seconds."""
    run = folder / "run"
    command = [binary, "pretrain", "--epochs", str(epochs), "--no-pictures", "--run-dir", str(run)]
    command += ["--set", "optimizer.warmup_epochs=0"]
    start, before = time.perf_counter(), processor_seconds_of_children()
    training = on_a_terminal(command + ([] if way == "dashboard" else ["--plain"]))
    over = threading.Event()
    looking = look_on(way, binary, run, over)
    assert training.wait() == 0, command
    seconds, share = time.perf_counter() - start, 0.0
    processor = processor_seconds_of_children() - before
    over.set()
    if looking:
        share = processor_seconds(looking) / seconds
        looking.terminate()
        looking.wait()
    timings = [json.loads(line) for line in (run / "timings.jsonl").read_text().splitlines()]
    names = ("step_ms", "views_wait_ms", "bookkeeping_ms")
    updates = [sum(record[name] for name in names) for record in timings if record["kind"] == "timing"]
    # The first waits for programs and for its views.
    return sum(updates[1:]) / 1e3, processor, share


def main():
    binary = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    epochs = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    seconds, processor, shares = ({way: [] for way in WAYS} for _ in range(3))
    for round_ in range(rounds):
        # Which comes first changes, as a machine warms up.
        for way in WAYS[round_ % len(WAYS) :] + WAYS[: round_ % len(WAYS)]:
            with tempfile.TemporaryDirectory() as folder:
                took, worked, share = one_run(way, binary, epochs, pathlib.Path(folder))
            seconds[way].append(took)
            processor[way].append(worked)
            shares[way].append(share)
    for way, values in seconds.items():
        spread = (max(values) - min(values)) / statistics.median(values)
        ratio, work = (
            statistics.median(value / plain for value, plain in zip(of[way], of["plain"])) for of in (seconds, processor)
        )
        print(
            f"{way:>9}: median {statistics.median(values):.3f} s, spread {100 * spread:.1f} %, {ratio:.4f} of plain; "
            f"{statistics.median(processor[way]):.2f} s of processors, {work:.4f} of plain; looks on with {100 * statistics.median(shares[way]):.2f} % of a processor"
        )


main()
