"""Whether a run's memory, file handles, threads and disk stay as they are for hours.

usage: steady.py OUT COMMAND…       for example steady.py OUT logo-ssl pretrain --preset cifar10-cpu --run-dir RUN

Runs COMMAND to its end, looks at the process every ten seconds and at the folder behind its --run-dir every minute, and writes
OUT/steady.csv and OUT/steady.svg. Prints what each number was after a tenth of the time, at its most and at the end. Linux alone.
"""

import csv
import os
import pathlib
import subprocess
import sys
import time

SECONDS = 10
LOOKS_PER_DISK = 6
NAMES = ("memory, MiB", "file handles", "threads", "run folder, MiB")
WIDTH, HEIGHT, LEFT, GAP = 640, 110, 60, 34


def look(process):
    """MiB that lie in memory, open file handles, threads; nothing once the process has ended."""
    folder = pathlib.Path("/proc", str(process.pid))
    try:
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        handles = len(os.listdir(folder / "fd"))
    except OSError:
        return None
    if "VmRSS" not in status:
        return None
    return [int(status["VmRSS"].split()[0]) / 1024, handles, int(status["Threads"])]


def size(folder):
    """MiB of all files below a folder; one that goes meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            pass
    return total / 2**20


def watched(command):
    """Rows of seconds and the four numbers, until the command ends; and how it ended."""
    run = pathlib.Path(command[command.index("--run-dir") + 1])
    process, begun = subprocess.Popen(command), time.monotonic()
    rows, disk = [], 0.0
    while process.poll() is None:
        if len(rows) % LOOKS_PER_DISK == 0:
            disk = size(run)
        if (seen := look(process)) is not None:
            rows.append([time.monotonic() - begun, *seen, disk])
        time.sleep(SECONDS)
    return rows, process.returncode


def panel(name, at, times, values):
    """One number over the minutes, from 0."""
    most = max(max(values), 1e-9) * 1.15
    top, minutes = at * (HEIGHT + GAP) + 24, times[-1] / 60
    place = lambda t, v: f"{LEFT + (WIDTH - LEFT - 10) * t / times[-1]:.1f},{top + HEIGHT * (1 - v / most):.1f}"
    line = " ".join(place(t, v) for t, v in zip(times, values))
    text = lambda x, y, words, anchor: f'<text x="{x}" y="{y}" text-anchor="{anchor}">{words}</text>'
    return "\n".join([
        text(LEFT, top - 8, name, "start"),
        text(LEFT - 6, top + HEIGHT, "0", "end"),
        text(LEFT - 6, top + HEIGHT * (1 - 1 / 1.15) + 4, f"{max(values):.0f}", "end"),
        text(WIDTH - 10, top - 8, f"{minutes:.0f} minutes", "end"),
        f'<path d="M{LEFT} {top}V{top + HEIGHT}H{WIDTH - 10}" fill="none" stroke="#999"/>',
        f'<polyline points="{line}" fill="none" stroke="#0072b2" stroke-width="1.5"/>',
    ])


def figure(rows):
    times, *numbers = zip(*rows)
    panels = "\n".join(panel(name, at, times, values) for at, (name, values) in enumerate(zip(NAMES, numbers)))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{len(NAMES) * (HEIGHT + GAP)}" '
    return f'{head}font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n{panels}\n</svg>\n'


def main(out, command):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    rows, code = watched(command)
    if not rows:
        sys.exit(f"the command ended at once, with status {code}")
    with open(out / "steady.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["seconds", *NAMES])
        writer.writerows([[round(number, 2) for number in row] for row in rows])
    (out / "steady.svg").write_text(figure(rows))
    settled = rows[len(rows) // 10]
    for at, name in enumerate(NAMES, 1):
        most = max(row[at] for row in rows)
        print(f"{name}: {settled[at]:.1f} after a tenth of the time, {most:.1f} at most, {rows[-1][at]:.1f} at the end")
    print(f"{rows[-1][0] / 60:.0f} minutes, ended with status {code}")


if __name__ == "__main__":
    if len(sys.argv) < 3 or "--run-dir" not in sys.argv:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
