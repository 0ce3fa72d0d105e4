/** A drag over fewer pixels is a click. */
const LEAST_DRAG = 6;

/** Curves that the readout names at most; of more, those with the highest values. */
const READOUT_ROWS = 12;

/** How far the readout stands from the crosshair, in pixels. */
const READOUT_GAP = 10;

/** A chart of fewer pixels has its readout below it. */
const NARROW = 480;

/** How wide a printed chart is, in pixels. */
const PRINTED_WIDTH = 680;

const HELP =
  "Left and right arrows move the crosshair, with shift by a tenth; plus and minus zoom around it; escape shows everything.";

/** @type {WeakMap<Element, Chart>} */
const charts = new WeakMap();
let chartCount = 0;

/**
 * Draws a line chart into an element, or draws it again with other data: then zoom, scale and hidden series stay as the
 * reader has set them.
 * @param {HTMLElement} element It is filled by the chart and should be empty at first.
 * @param {object} spec
 * @param {string} spec.title
 * @param {string} spec.xLabel
 * @param {string} spec.yLabel A unit in brackets at its end, as in "accuracy (%)", is written behind every value.
 * @param {boolean} [spec.logarithmic] Whether the y axis is logarithmic at first.
 * @param {Series[]} spec.series
 */
function draw(element, spec) {
  if (!charts.has(element)) charts.set(element, new Chart(element, spec.logarithmic === true));
  charts.get(element).show(spec);
}

/** One chart: its elements, its data, and what the reader has made of it. */
class Chart {
  /**
   * @param {HTMLElement} element
   * @param {boolean} logarithmic
   */
  constructor(element, logarithmic) {
    this.element = element;
    this.logarithmic = logarithmic;
    /** @type {Set<string>} The names of the curves that are switched off. */
    this.hidden = new Set();
    /** @type {[number, number] | null} The part of the x axis that is shown; all of it where this is null. */
    this.zoom = null;
    /** @type {number | null} Where the crosshair is. */
    this.cross = null;
    /** @type {number | null} Where a drag began, in pixels of the frame. */
    this.dragFrom = null;
    this.printing = false;
    this.build();
    this.listen();
  }

  build() {
    const id = `logo-chart-${++chartCount}`;
    this.title = html("p", { class: "logo-chart-title", id: `${id}-title` });
    this.scaleButton = html("button", { type: "button", "aria-pressed": "false" }, "Log scale");
    this.zoomButton = html("button", { type: "button" }, "Show all");
    this.legend = html("ul", { class: "logo-chart-legend", "aria-label": "Curves" });
    this.picture = svg("svg", { "aria-hidden": "true", focusable: "false" });
    this.readout = html("div", { class: "logo-chart-readout", "aria-hidden": "true" });
    // The crosshair is what a slider is: one value out of a range, moved by arrow keys and read out as it moves.
    this.plot = html(
      "div",
      { class: "logo-chart-plot", role: "slider", tabindex: "0", "aria-describedby": `${id}-summary` },
      this.picture,
      this.readout,
    );
    this.note = html("p", { class: "logo-chart-note" });
    this.summary = html("p", { class: "logo-chart-unseen", id: `${id}-summary` });
    this.table = html("div", { class: "logo-chart-scroll", tabindex: "0", role: "region" });
    this.details = html("details", {}, html("summary", {}, "Values as a table"), this.table);
    const tools = html("div", { class: "logo-chart-tools" }, this.zoomButton, this.scaleButton);
    const head = html("div", { class: "logo-chart-head" }, this.title, tools);
    this.element.classList.add("logo-chart");
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-labelledby", this.title.id);
    this.element.replaceChildren(head, this.legend, this.plot, this.note, this.summary, this.details);
  }

  listen() {
    this.scaleButton.addEventListener("click", () => {
      this.logarithmic = !this.logarithmic;
      this.render();
    });
    this.zoomButton.addEventListener("click", () => {
      // The button goes with the zoom; the keys stay with the chart.
      this.plot.focus();
      this.zoomTo(null);
    });
    this.details.addEventListener("toggle", () => this.renderTable());
    this.plot.addEventListener("pointerdown", (event) => this.beginDrag(event));
    this.plot.addEventListener("pointermove", (event) => this.follow(event));
    this.plot.addEventListener("pointerup", (event) => this.endDrag(event));
    this.plot.addEventListener("pointercancel", () => this.leave());
    this.plot.addEventListener("pointerleave", () => this.leave());
    this.plot.addEventListener("dblclick", () => this.zoomTo(null));
    this.plot.addEventListener("keydown", (event) => this.press(event));
    this.plot.addEventListener("blur", () => this.moveTo(null));
    // Drawing changes the height of what is observed, which must not happen while sizes are being told.
    new ResizeObserver(() => requestAnimationFrame(() => this.resize())).observe(this.plot);
    window.addEventListener("beforeprint", () => this.print(true));
    window.addEventListener("afterprint", () => this.print(false));
  }

  /** Takes in other data and draws it. */
  show(spec) {
    this.spec = spec;
    this.counted = isCounted(spec.series);
    this.title.textContent = spec.title;
    this.summary.textContent = `${summaryOf(spec)} ${HELP}`;
    this.plot.setAttribute("aria-label", `Crosshair of ${spec.title}`);
    this.table.setAttribute("aria-label", `Values of ${spec.title}`);
    this.renderLegend();
    this.render();
  }

  /** The curves that are drawn, each with its place among all. */
  shown() {
    const all = this.spec.series.map((series, index) => ({ index, series }));
    return this.printing ? all : all.filter(({ series }) => !this.hidden.has(series.name));
  }

  /** The part of the x axis that is drawn. */
  xRange() {
    const whole = extentOfX(this.spec.series) ?? [0, 1];
    return this.printing || this.zoom === null ? whole : this.zoom;
  }

  render() {
    this.renderTools();
    this.renderPicture();
    this.renderTable();
  }

  renderTools() {
    const positive = extentOfY(this.spec.series, [-Infinity, Infinity], true) !== null;
    if (!positive) this.logarithmic = false;
    this.scaleButton.disabled = !positive;
    this.scaleButton.setAttribute("aria-pressed", String(this.logarithmic));
    this.zoomButton.hidden = this.zoom === null;
    const lost = this.logarithmic ? countOfNotPositive(this.shown().map(({ series }) => series)) : 0;
    this.note.hidden = lost === 0;
    this.note.textContent = `A logarithmic axis has no place for values of 0 and below: ${written(lost)} left out.`;
  }

  /** Makes the legend's buttons, or leaves them, and the focus on one of them, where the curves have not changed. */
  renderLegend() {
    const names = this.spec.series.map(({ name }) => name);
    const known = [...this.legend.querySelectorAll("button")].map((button) => button.textContent);
    if (JSON.stringify(names) === JSON.stringify(known)) return;
    const entries = names.map((name, index) => {
      const pressed = String(!this.hidden.has(name));
      const button = html("button", { type: "button", "aria-pressed": pressed }, swatch(index), name);
      button.addEventListener("click", () => this.toggle(name, button));
      return html("li", {}, button);
    });
    this.legend.replaceChildren(...entries);
    // A single curve is named by the axis.
    this.legend.hidden = names.length < 2;
  }

  toggle(name, button) {
    if (!this.hidden.delete(name)) this.hidden.add(name);
    button.setAttribute("aria-pressed", String(!this.hidden.has(name)));
    this.render();
  }

  resize() {
    if (this.plot.clientWidth !== this.layout?.width) this.renderPicture();
  }

  renderPicture() {
    const width = this.printing ? PRINTED_WIDTH : this.plot.clientWidth;
    if (width === 0) return;
    const [shown, xRange] = [this.shown(), this.xRange()];
    const curves = shown.map(({ series }) => series);
    const values = extentOfY(curves, xRange, this.logarithmic);
    const yRange = withAir(values ?? (this.logarithmic ? [1, 10] : [0, 1]), this.logarithmic);
    this.layout = layoutOf(width, xRange, yRange, { counted: this.counted, logarithmic: this.logarithmic });
    const { height, left, top } = this.layout;
    this.picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.overlay = svg("g", { transform: `translate(${left} ${top})` });
    const label = svg("text", { class: "logo-chart-label", x: 4, y: 14 }, this.spec.yLabel);
    const parts = paint(this.layout, shown, this.spec.xLabel);
    this.picture.replaceChildren(label, ...parts, this.overlay);
    if (values === null) this.overlay.append(this.emptyNote());
    this.places = placesOf(curves, xRange);
    this.renderCross();
  }

  emptyNote() {
    const { frameWidth, frameHeight } = this.layout;
    const at = { class: "logo-chart-label", x: frameWidth / 2, y: frameHeight / 2, "text-anchor": "middle" };
    return svg("text", at, "No values here");
  }

  /** Draws the crosshair, or what a drag has marked so far, and says the values. */
  renderCross() {
    const at = this.cross;
    this.readout.hidden = at === null;
    this.overlay.querySelectorAll(".logo-chart-cross").forEach((mark) => mark.remove());
    this.describeCross();
    if (at === null) return;
    const { frameHeight, x } = this.layout;
    const place = x.place(at);
    const group = svg("g", { class: "logo-chart-cross" });
    if (this.dragFrom !== null) {
      const [from, to] = [Math.min(place, this.dragFrom), Math.max(place, this.dragFrom)];
      group.append(svg("rect", { x: from, y: 0, width: to - from, height: frameHeight }));
    }
    group.append(svg("line", { x1: place, y1: 0, x2: place, y2: frameHeight }));
    const rows = this.rowsAt(at);
    for (const { index, y: value } of rows) {
      if (isShown(this.layout, value)) group.append(dotAt(this.layout, at, value, lookOf(index).style));
    }
    this.overlay.append(group);
    this.renderReadout(at, rows, place);
  }

  /** What the shown curves are at x, the highest first, as they lie above each other in the picture. */
  rowsAt(x) {
    const rows = this.shown().flatMap(({ index, series }) => {
      const value = valueAt(series, x);
      return value === null ? [] : [{ index, name: series.name, ...value }];
    });
    return rows.sort((a, b) => (b.y ?? -Infinity) - (a.y ?? -Infinity));
  }

  renderReadout(at, rows, place) {
    const unit = unitOf(this.spec.yLabel);
    const lines = rows.slice(0, READOUT_ROWS).map(({ index, name, ...value }) => {
      const text = html("td", {}, value.y === null ? written(null) : written(value.y) + unit);
      if (hasBand(value)) text.append(html("small", {}, bandText(value)));
      return html("tr", {}, html("td", {}, swatch(index), name), text);
    });
    if (rows.length > READOUT_ROWS) {
      lines.push(html("tr", {}, html("td", {}, `and ${rows.length - READOUT_ROWS} lower`), html("td")));
    }
    const head = html("p", {}, `${this.spec.xLabel} ${written(at)}`);
    this.readout.replaceChildren(head, html("table", {}, ...lines));
    this.placeReadout(place);
  }

  /** Puts the readout beside the crosshair, where there is more room, or below a chart that is too narrow for it. */
  placeReadout(place) {
    const { left, frameWidth, width } = this.layout;
    const isBelow = width < NARROW;
    const onTheLeft = place > frameWidth / 2;
    const [before, behind] = [left + place + READOUT_GAP, width - left - place + READOUT_GAP];
    this.readout.classList.toggle("logo-chart-below", isBelow);
    this.readout.style.left = isBelow || onTheLeft ? "" : `${before}px`;
    this.readout.style.right = isBelow || !onTheLeft ? "" : `${behind}px`;
    this.readout.style.maxWidth = isBelow ? "" : `${width - Math.min(before, behind)}px`;
  }

  /** Tells assistive technology where the crosshair is and what the curves are there. */
  describeCross() {
    const [low, high] = this.xRange();
    const at = this.cross;
    const rows = at === null ? [] : this.rowsAt(at).slice(0, READOUT_ROWS);
    const unit = unitOf(this.spec.yLabel);
    const words = rows.map((row) => {
      if (row.y === null) return `${row.name} no value`;
      return `${row.name} ${written(row.y)}${unit}${hasBand(row) ? `, ${bandText(row)}` : ""}`;
    });
    const text = at === null ? "not set" : `${this.spec.xLabel} ${written(at)}: ${words.join("; ")}`;
    this.plot.setAttribute("aria-valuemin", low);
    this.plot.setAttribute("aria-valuemax", high);
    this.plot.setAttribute("aria-valuenow", at ?? low);
    this.plot.setAttribute("aria-valuetext", text);
  }

  /** Fills the table once it is open, for a closed one costs its rows for nothing. */
  renderTable() {
    if (!this.details.open) return;
    const { title, xLabel, yLabel, series } = this.spec;
    const heads = [xLabel, ...series.map(({ name }) => name)].map((head) => html("th", { scope: "col" }, head));
    const rows = tableRows(series).map(({ x, values }) => {
      const cells = values.map((value) => html("td", {}, written(value)));
      return html("tr", {}, html("th", { scope: "row" }, written(x)), ...cells);
    });
    const caption = html("caption", {}, `${title}: ${yLabel}`);
    const head = html("thead", {}, html("tr", {}, ...heads));
    this.table.replaceChildren(html("table", {}, caption, head, html("tbody", {}, ...rows)));
  }

  /** Puts the crosshair on a place of the curves, or takes it away. */
  moveTo(x) {
    this.cross = x;
    if (this.layout) this.renderCross();
  }

  /** Shows a part of the x axis, or all of it. */
  zoomTo(range) {
    this.zoom = range;
    if (this.cross !== null && range !== null && (this.cross < range[0] || this.cross > range[1])) this.cross = null;
    this.render();
  }

  /** Where a pointer is, in pixels of the frame and never outside of it. */
  placeOf(event) {
    const place = event.clientX - this.plot.getBoundingClientRect().left - this.layout.left;
    return Math.min(Math.max(place, 0), this.layout.frameWidth);
  }

  beginDrag(event) {
    if (event.button !== 0 || !this.layout) return;
    this.plot.setPointerCapture(event.pointerId);
    this.dragFrom = this.placeOf(event);
    this.follow(event);
  }

  follow(event) {
    if (!this.layout || this.places.length === 0) return;
    const x = this.layout.x.value(this.placeOf(event));
    this.moveTo(this.places[nearestIndex(this.places, x, (place) => place)]);
  }

  endDrag(event) {
    if (this.dragFrom === null) return;
    const ends = [this.dragFrom, this.placeOf(event)].sort((a, b) => a - b);
    this.dragFrom = null;
    const range = ends.map((place) => this.layout.x.value(place));
    const isFilled = this.places.some((x) => range[0] <= x && x <= range[1]);
    if (ends[1] - ends[0] >= LEAST_DRAG && isFilled) this.zoomTo(range);
    else this.moveTo(this.cross);
  }

  leave() {
    this.dragFrom = null;
    this.moveTo(null);
  }

  press(event) {
    const act = {
      ArrowLeft: () => this.step(-1, event.shiftKey),
      ArrowRight: () => this.step(1, event.shiftKey),
      PageDown: () => this.step(-1, true),
      PageUp: () => this.step(1, true),
      Home: () => this.moveTo(this.places[0] ?? null),
      End: () => this.moveTo(this.places[this.places.length - 1] ?? null),
      "+": () => this.zoomBy(0.5),
      "-": () => this.zoomBy(2),
      Escape: () => this.zoomTo(null),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  }

  /** Moves the crosshair to the next place of the curves, or by a tenth of the axis. */
  step(direction, far) {
    if (this.places.length === 0) return;
    const last = this.places.length - 1;
    const stride = far ? Math.max(1, Math.round(last / 10)) : 1;
    const start = direction > 0 ? -stride : last + stride;
    const now = this.cross === null ? start : this.places.indexOf(this.cross);
    this.moveTo(this.places[Math.min(Math.max(now + direction * stride, 0), last)]);
  }

  /** Makes the part of the x axis that is shown so many times as long, around the crosshair. */
  zoomBy(factor) {
    const [low, high] = this.xRange();
    const [first, last] = extentOfX(this.spec.series) ?? [low, high];
    const centre = this.cross ?? (low + high) / 2;
    const half = (factor * (high - low)) / 2;
    const from = Math.max(first, Math.min(centre - half, last - 2 * half));
    const to = Math.min(last, Math.max(centre + half, first + 2 * half));
    this.zoomTo(to - from < last - first ? [from, to] : null);
  }

  /** On paper a chart shows everything, whatever the reader has hidden or zoomed into. */
  print(begins) {
    this.printing = begins;
    this.renderPicture();
  }
}

/** Whether a value is one and has a band around it. */
function hasBand({ y, low, high }) {
  return isNumber(y) && isNumber(low) && isNumber(high);
}

function bandText({ low, high }) {
  return `${written(low)} to ${written(high)}`;
}
