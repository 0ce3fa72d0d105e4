#!/usr/bin/env python3
"""Opens the pages of maps, as `logo-ssl map --out map.html` writes them, in a real browser, and says what is wrong with them.

    python3 tests/browser/map.py map.html... [--screenshots DIR] [--required]

Of each page what report.py asks of every page, and that the map is moved, enlarged and read by keys and by the mouse, and
that a class is hidden by its button. Where no Chromium is installed that is said and, with --required, is an error.
"""

import sys

from report import CHECKS, looks, main, noise

STRUCTURE = 'checks.badStructure(["main", "header"])'
# What can be focused, in order: the map, three buttons, the choice of pictures, then a button of each class.
BEFORE_CLASSES = 5


def by_keys(browser):
    """Everything by keys alone, from the first press of Tab."""
    browser.press("Tab")
    if browser.evaluate("document.activeElement.id") != "map":
        yield "the first that Tab reaches is not the map"
    if browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "none":
        yield "the focus on the map cannot be seen"
    for key, value in (("+", "view.scale"), ("ArrowLeft", "view.x"), ("ArrowUp", "view.y"), ("0", "view.scale")):
        before = browser.evaluate(value)
        browser.press(key)
        if browser.evaluate(value) == before:
            yield f"{key} does not change {value}"
    told = set()
    for _ in range(2):
        browser.press("n")
        told.add(browser.evaluate("told.textContent"))
    if len(told) != 2 or "" in told or browser.evaluate("card.hidden"):
        yield f"N tells nothing of the next image: {told}"
    browser.press("Escape")
    if not browser.evaluate("card.hidden"):
        yield "Escape does not put the card away"
    for _ in range(BEFORE_CLASSES):
        browser.press("Tab")
    pressed = 'document.activeElement.getAttribute("aria-pressed")'
    states = [browser.evaluate(pressed)]
    for _ in range(2):
        browser.press(" ")
        states.append(browser.evaluate(f"{pressed} + hidden.size"))
    if states != ["true", "false1", "true0"]:
        yield f"a class is not hidden and shown by its button: {states}"


def by_mouse(browser):
    """An image is read by pointing at it, and the map is dragged."""
    browser.press("0")
    browser.evaluate("fit()")
    browser.wait_for_frame()
    left, top = (browser.evaluate(f"map.getBoundingClientRect().{edge}") for edge in ("left", "top"))
    x, y = (browser.evaluate(f"place(0)[{axis}]") for axis in (0, 1))
    browser.mouse("mouseMoved", left + x, top + y, 0)
    if browser.evaluate("card.hidden") or not browser.evaluate('document.getElementById("class").textContent'):
        yield "pointing at an image tells nothing of it"
    before = browser.evaluate("view.x")
    browser.mouse("mousePressed", left + x, top + y)
    browser.mouse("mouseMoved", left + x + 40, top + y)
    browser.mouse("mouseReleased", left + x + 40, top + y)
    if browser.evaluate("view.x") == before:
        yield "the map is not dragged"


def problems_of(browser, url, screenshots):
    """All that is wrong with the page of a map."""
    yield from looks(browser, url, screenshots, STRUCTURE)
    browser.show(1440)
    browser.open(url)
    browser.evaluate(CHECKS)
    yield from by_keys(browser)
    yield from by_mouse(browser)
    yield from noise(browser)


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], problems_of))
