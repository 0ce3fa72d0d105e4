"""A picture of what a command shows on a terminal, as SVG.

usage: screen.py OUT.svg COLUMNSxROWS TEXT SECONDS COMMAND...

Runs COMMAND on a terminal of its own until TEXT is on its screen, and SECONDS longer; then the picture is taken and
Ctrl-C sent. Needs `pyte` from PyPI. Curves, frames and marks are drawn as shapes, as fonts differ in their width.
"""

import fcntl
import html
import os
import pathlib
import pty
import struct
import subprocess
import sys
import termios
import threading
import time

import pyte

CELL = (9, 18)
PATIENCE = 600
BACKGROUND, FOREGROUND = "#16191d", "#dfe3e8"
# Dots of a braille character, by the bits of its code: columns and rows.
DOTS = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)]
# Where lines go from the middle of a character of a frame or bar: left, right, up, down; and how thick.
STROKES = {
    "─": ("lr", 1),
    "━": ("lr", 4),
    "│": ("ud", 1),
    "┌": ("rd", 1),
    "┐": ("ld", 1),
    "└": ("ru", 1),
    "┘": ("lu", 1),
}


class Terminal:
    """A command on a pseudo-terminal, and the screen that its bytes make."""

    def __init__(self, command, columns, rows):
        self.screen = pyte.Screen(columns, rows)
        self.lock = threading.Lock()
        self.ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color"}
        environment.pop("NO_COLOR", None)
        self.child = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment)
        os.close(its)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        stream = pyte.ByteStream(self.screen)
        try:
            while got := os.read(self.ours, 1 << 16):
                with self.lock:
                    stream.feed(got)
        except OSError:
            pass  # So ends a terminal whose last program is gone.

    def wait_for(self, text):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.child.poll() is None:
            with self.lock:
                if any(text in line for line in self.screen.display):
                    return
            time.sleep(0.05)
        sys.exit(f"`{text}` never came:\n" + "\n".join(self.screen.display))


def colour(name, default):
    return default if name == "default" else f"#{name}"


def shape(character, left, top):
    """The SVG of a character that is drawn, with `{}` for its colour; None for one that is text."""
    width, height = CELL
    x, y = left + width / 2, top + height / 2
    if "\u2800" <= character <= "\u28ff":
        bits = ord(character) - 0x2800
        centres = [
            (left + width * (2 * column + 1) / 4, top + height * (2 * row + 1) / 8)
            for bit, (column, row) in enumerate(DOTS)
            if bits >> bit & 1
        ]
        return "".join(f'<circle cx="{x:g}" cy="{y:g}" r="1.4" fill="{{}}"/>' for x, y in centres)
    if character in STROKES:
        sides, thickness = STROKES[character]
        ends = {"l": (left, y), "r": (left + width, y), "u": (x, top), "d": (x, top + height)}
        lines = "".join(f"M{x:g} {y:g}L{ends[side][0]:g} {ends[side][1]:g}" for side in sides)
        return f'<path d="{lines}" stroke="{{}}" stroke-width="{thickness}"/>'
    if character in "●○":
        fill = 'fill="{}"' if character == "●" else 'fill="none" stroke="{}"'
        return f'<circle cx="{x:g}" cy="{y:g}" r="4" {fill}/>'
    if character == "■":
        return f'<path d="M{x - 4:g} {y - 4:g}h8v8h-8z" fill="{{}}"/>'
    if character == "▲":
        return f'<path d="M{x:g} {y - 5:g}l5 9h-10z" fill="{{}}"/>'
    return None


def runs(row, columns):
    """Neighbours of a row that look alike: first column, text, and how they look. Shapes stand alone."""
    found = []
    for column in range(columns):
        cell = row[column]
        ink, paper = colour(cell.fg, FOREGROUND), colour(cell.bg, BACKGROUND)
        look = ((paper, ink) if cell.reverse else (ink, paper)) + (cell.bold,)
        alone = shape(cell.data, 0, 0) is not None
        if found and found[-1][2] == look and not alone and shape(found[-1][1][-1], 0, 0) is None:
            found[-1][1] += cell.data
        else:
            found.append([column, cell.data, look])
    return found


def svg(screen):
    width, height = CELL[0] * screen.columns, CELL[1] * screen.lines
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-9 -9 {width + 18} {height + 18}" width="{width + 18}" '
        f'height="{height + 18}" font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" '
        'font-size="15" role="img">',
        "<title>The dashboard of logo-ssl while it trains</title>",
        f'<rect x="-9" y="-9" width="{width + 18}" height="{height + 18}" rx="6" fill="{BACKGROUND}"/>',
    ]
    for line in range(screen.lines):
        top = CELL[1] * line
        for column, text, (ink, paper, bold) in runs(screen.buffer[line], screen.columns):
            left = CELL[0] * column
            if paper != BACKGROUND:
                size = f'width="{CELL[0] * len(text)}" height="{CELL[1]}"'
                parts.append(f'<rect x="{left}" y="{top}" {size} fill="{paper}"/>')
            if drawn := shape(text[0], left, top):
                parts.append(drawn.replace("{}", ink))
                continue
            left += CELL[0] * (len(text) - len(text.lstrip()))
            if words := text.strip():
                weight = ' font-weight="bold"' if bold else ""
                parts.append(
                    f'<text x="{left}" y="{top + 13}" textLength="{CELL[0] * len(words)}" '
                    f'xml:space="preserve" fill="{ink}"{weight}>{html.escape(words)}</text>'
                )
    return "\n".join(parts + ["</svg>"]) + "\n"


def main():
    out, size, text, seconds, *command = sys.argv[1:]
    terminal = Terminal(command, *map(int, size.split("x")))
    terminal.wait_for(text)
    time.sleep(float(seconds))
    with terminal.lock:
        picture = svg(terminal.screen)
        print("\n".join(terminal.screen.display))
    os.write(terminal.ours, b"\x03")
    terminal.child.wait()
    pathlib.Path(out).write_text(picture)


main()
