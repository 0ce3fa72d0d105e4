#!/usr/bin/env python3
"""Opens pages with charts, such as a run's report.html, in a real browser, and says what is wrong with them.

    python3 tests/browser/report.py RUN/report.html... [--screenshots DIR] [--required]

Of each page: no error in the console, nothing fetched, no scrolling sideways, contrast after WCAG 2.2 AA, headings and
tables in order, at 390 and 1440 pixels, in light and in dark; every chart by keys and by mouse; the page on paper and without
scripts. Where no Chromium is installed the pages are not tested, which is said and, with --required, is an error.
"""

import argparse
import pathlib
import sys

import chromium

WIDTHS = (390, 1440)
SCHEMES = ("light", "dark")
SHIFT = 8
CHECKS = (pathlib.Path(__file__).parent / "checks.js").read_text()

# Other data under the same names, as a page of a run in training draws it again.
REDRAW = """
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  for (const place of document.querySelectorAll("[data-chart]")) {
    const chart = charts[place.dataset.chart];
    for (const series of chart.series) series.points = series.points.map(([x, y]) => [x, y === null ? null : 2 * y]);
    LogoChart.draw(place, chart);
  }
})()
"""


def noise(browser):
    """What the page has complained of, and what it has fetched from elsewhere."""
    for event in browser.events:
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            yield f"an exception: {parameters['exceptionDetails']}"
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            yield f"the console says: {parameters['args']}"
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            yield f"the log says: {parameters['entry']['text']}"
        elif method == "Network.requestWillBeSent" and parameters.get("type") != "Document":
            if not parameters["request"]["url"].startswith("data:"):
                yield f"it fetches {parameters['request']['url']}"


def looks(browser, url, screenshots, structure="checks.badStructure()"):
    """The page as it is shown at each width in each colour scheme."""
    for width in WIDTHS:
        for scheme in SCHEMES:
            browser.show(width, scheme)
            browser.open(url)
            browser.evaluate(CHECKS)
            for check in ("checks.tooWide()", "checks.lowContrast()", structure):
                for problem in browser.evaluate(check):
                    yield f"{width} pixels, {scheme}: {problem}"
            for problem in noise(browser):
                yield f"{width} pixels, {scheme}: {problem}"
            if screenshots:
                browser.screenshot(screenshots / f"{pathlib.Path(url).parent.name}-{width}-{scheme}.png")


class Chart:
    """One chart of the open page."""

    def __init__(self, browser, number):
        self.browser = browser
        self.element = f'document.querySelectorAll(".logo-chart")[{number}]'
        self.title = self.ask('.querySelector(".logo-chart-title").textContent')

    def ask(self, expression):
        return self.browser.evaluate(self.element + expression)

    def focus(self, part):
        self.ask(f'.querySelector("{part}").focus()')

    def place(self):
        """The left edge, the top, the width and the height of the plot in the window."""
        self.ask('.querySelector(".logo-chart-plot").scrollIntoView({ block: "center" })')
        box = '.querySelector(".logo-chart-plot").getBoundingClientRect()'
        return [self.ask(f"{box}.{edge}") for edge in ("left", "top", "width", "height")]

    def value(self):
        return self.ask('.querySelector(".logo-chart-plot").getAttribute("aria-valuetext")')

    def is_zoomed(self):
        return not self.ask('.querySelector(".logo-chart-tools button").hidden')

    def has_readout(self):
        return not self.ask('.querySelector(".logo-chart-readout").hidden')

    def picture(self):
        """The numbers along the axes and the course of the last curve."""
        numbers = self.ask('.querySelector(".logo-chart-plot > svg").textContent')
        return numbers, self.ask('.querySelector("path.logo-chart-line:last-of-type").getAttribute("d")')


def by_keys(browser, chart):
    """The crosshair, the zoom, the scale and the legend of a chart, by keys alone."""
    chart.focus(".logo-chart-plot")
    browser.press("ArrowRight")
    first = chart.value()
    browser.press("ArrowRight", SHIFT)
    if first == chart.value() or ":" not in first or not chart.has_readout():
        yield f"the arrow keys move no crosshair: {first}, {chart.value()}"
    whole = chart.picture()
    browser.press("+")
    if not chart.is_zoomed() or chart.picture() == whole:
        yield "plus does not zoom"
    buttons = chart.ask('.querySelectorAll(".logo-chart-legend:not([hidden]) button").length')
    if buttons:
        chart.focus(".logo-chart-legend button")
        browser.press(" ")
        if chart.ask('.querySelector(".logo-chart-legend button").getAttribute("aria-pressed")') != "false":
            yield "the legend hides no curve"
    browser.evaluate(REDRAW)
    if not chart.is_zoomed() or chart.picture() == whole:
        yield "drawing again loses the zoom"
    if buttons:
        if chart.ask('.querySelector(".logo-chart-legend button").getAttribute("aria-pressed")') != "false":
            yield "drawing again shows a hidden curve"
        browser.press(" ")
    chart.focus(".logo-chart-plot")
    browser.press("Escape")
    if chart.is_zoomed():
        yield "escape does not show everything"
    if chart.ask('.querySelector(".logo-chart-tools button:last-child").disabled'):
        return
    before = chart.picture()
    chart.focus(".logo-chart-tools button:last-child")
    browser.press("Enter")
    if chart.picture() == before:
        yield "the scale does not change"
    browser.press("Enter")


def by_mouse(browser, chart):
    """The crosshair and the zoom of a chart by the mouse."""
    left, top, width, height = chart.place()
    middle = top + height / 2
    browser.mouse("mouseMoved", left + width / 2, middle, 0)
    if not chart.has_readout():
        yield "pointing at it reads no values"
    browser.mouse("mousePressed", left + 0.4 * width, middle)
    browser.mouse("mouseMoved", left + 0.6 * width, middle)
    browser.mouse("mouseReleased", left + 0.6 * width, middle)
    if not chart.is_zoomed():
        yield "a drag does not zoom"
    for clicks in (1, 2):
        browser.mouse("mousePressed", left + width / 2, middle, clicks)
        browser.mouse("mouseReleased", left + width / 2, middle, clicks)
    if chart.is_zoomed():
        yield "a double click does not show everything"
    browser.mouse("mouseMoved", 0, 0, 0)
    if chart.has_readout():
        yield "the values stay when the mouse has gone"


def charts(browser, url):
    """Every chart, and that the page's keys reach it."""
    browser.show(1440)
    browser.open(url)
    count = browser.evaluate('document.querySelectorAll(".logo-chart").length')
    places = browser.evaluate('document.querySelectorAll("[data-chart]").length')
    if count != places or count == 0:
        yield f"{count} of {places} charts are drawn"
    reached = 0
    for _ in range(40 * (count + 1)):
        browser.press("Tab")
        focused = browser.evaluate('document.activeElement.classList.contains("logo-chart-plot")')
        reached += focused
        if focused and browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "none":
            yield "the focus on a chart cannot be seen"
        if browser.evaluate("document.activeElement === document.body"):
            break
    if reached != count:
        yield f"the tab key reaches {reached} of {count} charts"
    drawn = [Chart(browser, number) for number in range(count)]
    for chart in drawn:
        for problem in (*by_keys(browser, chart), *by_mouse(browser, chart)):
            yield f"{chart.title}: {problem}"
        summary = chart.ask('.querySelector(".logo-chart-unseen").textContent')
        if chart.title not in summary or len(summary) < 40:
            yield f"{chart.title}: there is no summary: {summary}"
        chart.ask('.querySelector("details").open = true')
        browser.wait_for_frame()
        if chart.ask('.querySelectorAll("details tbody tr").length') == 0:
            yield f"{chart.title}: the table is empty"
    browser.evaluate(CHECKS)
    yield from browser.evaluate("checks.badStructure()")
    yield from browser.evaluate("checks.lowContrast()")
    yield from noise(browser)


def without_script(browser, url, screenshots):
    """The plots on paper, and where no script runs."""
    shown = """
      [".live", ".still"].map((kind) => [...document.querySelectorAll(kind)].filter((one) => one.checkVisibility()).length)
    """
    browser.show(700, media="print")
    live, still = browser.evaluate(shown)
    if live or not still:
        yield f"on paper {live} charts and {still} plots are shown"
    if screenshots:
        browser.screenshot(screenshots / f"{pathlib.Path(url).parent.name}-print.png")
    browser.show(1440)
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(url, scripts=False)
    live, still = browser.evaluate(shown)
    browser.send("Emulation.setScriptExecutionDisabled", value=False)
    if live or not still:
        yield f"without scripts {live} charts and {still} plots are shown"


def main(purpose, problems_of):
    """Opens each page that is named and says what `problems_of` the browser, its address and a folder finds."""
    parser = argparse.ArgumentParser(description=purpose)
    parser.add_argument("pages", nargs="+", type=pathlib.Path, metavar="PAGE")
    parser.add_argument("--chromium", default=chromium.find(), help="the browser [default: an installed Chromium]")
    parser.add_argument("--screenshots", type=pathlib.Path, metavar="DIR", help="keep pictures of the pages here")
    parser.add_argument("--required", action="store_true", help="fail where there is no browser")
    arguments = parser.parse_args()
    if arguments.chromium is None:
        print("SKIPPED: no page was tested, for no Chromium is installed (Debian: apt-get install chromium)", file=sys.stderr)
        return int(arguments.required)
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    failed = False
    for page in arguments.pages:
        url = page.resolve(strict=True).as_uri()
        with chromium.Browser(arguments.chromium) as browser:
            problems = list(problems_of(browser, url, arguments.screenshots))
        for problem in problems:
            print(f"{page}: {problem}", file=sys.stderr)
        print(f"{page}: {len(problems)} problems")
        failed |= bool(problems)
    return int(failed)


def problems_of(browser, url, screenshots):
    """All that is wrong with a page of charts."""
    yield from looks(browser, url, screenshots)
    yield from charts(browser, url)
    yield from without_script(browser, url, screenshots)


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], problems_of))
