const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

/** Colours there are in the style sheet; further curves take them again with other dashes. */
const COLOURS = 8;
const DASHES = ["", "7 4", "2 3", "9 3 2 3"];

/** With so few points, each is marked. */
const MOST_MARKERS = 40;

/** How far a mark reaches beyond its point, in pixels. */
const MARKER_ROOM = 5;

/** Space around the frame for the names of the axes and the numbers of x, in pixels. */
const MARGIN = { top: 30, right: 14, bottom: 46 };

/**
 * Makes an element of an HTML page.
 * @param {string} name
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
function html(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/**
 * Makes an element of an SVG picture.
 * @param {string} name
 * @param {Record<string, string | number>} [attributes]
 * @param {...(Node | string)} children
 * @returns {SVGElement}
 */
function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG_NAMESPACE, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * The colour and the dashes of curve number `index`, as attributes of an SVG element.
 * @param {number} index
 * @returns {Record<string, string>}
 */
function lookOf(index) {
  const colour = `var(--chart-${(index % COLOURS) + 1})`;
  const dashes = DASHES[Math.floor(index / COLOURS) % DASHES.length];
  return { style: `--series: ${colour}`, "stroke-dasharray": dashes };
}

/**
 * A short piece of a curve, to tell which it is.
 * @param {number} index
 * @returns {SVGElement}
 */
function swatch(index) {
  const line = svg("line", { class: "logo-chart-line", x1: 1, y1: 6, x2: 23, y2: 6, ...lookOf(index) });
  return svg("svg", { class: "logo-chart-swatch", viewBox: "0 0 24 12", "aria-hidden": "true" }, line);
}

/**
 * Where everything is: the frame within the picture, and the scales along its sides.
 * @typedef {object} Layout
 * @property {number} width Of the picture, in pixels.
 * @property {number} height
 * @property {number} left The frame's left edge.
 * @property {number} top
 * @property {number} frameWidth
 * @property {number} frameHeight
 * @property {Scale} x From 0 at the frame's left edge.
 * @property {Scale} y From 0 at the frame's upper edge.
 */

/**
 * Lays a picture out.
 * @param {number} width In pixels.
 * @param {[number, number]} xRange
 * @param {[number, number]} yRange
 * @param {{ counted: boolean, logarithmic: boolean }} axes Whether the x axis counts, and the y axis is logarithmic.
 * @returns {Layout}
 */
function layoutOf(width, xRange, yRange, { counted, logarithmic }) {
  const height = Math.round(Math.min(380, Math.max(240, 0.46 * width)));
  const frameHeight = height - MARGIN.top - MARGIN.bottom;
  const scale = logarithmic ? logarithmicScale : linearScale;
  const y = scale(yRange, [frameHeight, 0]);
  const longest = Math.max(...yTicks(y, frameHeight).map(({ text }) => text.length), 3);
  const left = Math.round(16 + 7.2 * longest);
  const frameWidth = Math.max(40, width - left - MARGIN.right);
  const x = linearScale(xRange, [0, frameWidth], counted ? 1 : 0);
  return { width, height, left, top: MARGIN.top, frameWidth, frameHeight, x, y };
}

function yTicks(y, frameHeight) {
  return y.ticks(Math.max(3, Math.round(frameHeight / 56)));
}

/**
 * Draws axes and curves.
 * @param {Layout} layout
 * @param {{ index: number, series: Series }[]} shown The curves, each with its place in the whole chart.
 * @param {string} xLabel
 * @returns {SVGElement[]} What the picture consists of, from back to front.
 */
function paint(layout, shown, xLabel) {
  const { left, top, frameWidth, frameHeight } = layout;
  // The first curve is the one that the chart is about, and lies on top.
  const fromBack = [...shown].reverse();
  const bands = fromBack.flatMap(({ index, series }) => bandOf(layout, index, series));
  const curves = fromBack.flatMap(({ index, series }) => curveOf(layout, index, series));
  // A picture within the picture cuts off what a zoomed axis leaves outside, but not half of the dots at its ends.
  const width = frameWidth + 2 * MARKER_ROOM;
  const size = { x: left - MARKER_ROOM, y: top, width, height: frameHeight };
  const viewBox = `${-MARKER_ROOM} 0 ${width} ${frameHeight}`;
  return [...axesOf(layout, xLabel), svg("svg", { ...size, viewBox }, ...bands, ...curves)];
}

function axesOf({ width, height, left, top, frameWidth, frameHeight, x, y }, xLabel) {
  const [right, bottom] = [left + frameWidth, top + frameHeight];
  const marks = [];
  for (const { value, text } of yTicks(y, frameHeight)) {
    const at = top + y.place(value);
    const kind = value === 0 ? "logo-chart-zero" : "logo-chart-grid";
    marks.push(svg("line", { class: kind, x1: left, y1: at, x2: right, y2: at }));
    marks.push(svg("text", { x: left - 8, y: at + 4, "text-anchor": "end" }, text));
  }
  for (const { value, text } of x.ticks(Math.max(2, Math.round(frameWidth / 110)))) {
    const at = left + x.place(value);
    marks.push(svg("line", { class: "logo-chart-grid", x1: at, y1: top, x2: at, y2: bottom }));
    // The outermost numbers stay within the picture.
    const room = 4 * text.length;
    const centre = Math.min(Math.max(at, room), width - room);
    marks.push(svg("text", { x: centre, y: bottom + 18, "text-anchor": "middle" }, text));
  }
  const name = { class: "logo-chart-label", x: left + frameWidth / 2, y: height - 6, "text-anchor": "middle" };
  return [...marks, svg("text", name, xLabel)];
}

/** The band of one curve, in as many parts as gaps leave of it. */
function bandOf(layout, index, { band = [] }) {
  const place = placeIn(layout);
  // A logarithmic axis has no place for 0: there the band goes on to the lower edge.
  const floor = (low) => (isShown(layout, low) ? low : layout.y.value(layout.frameHeight));
  return pieces(band, ([, low, high]) => isNumber(low) && isShown(layout, high)).map((piece) => {
    const there = piece.map(([x, , high]) => place(x, high));
    const back = piece.map(([x, low]) => place(x, floor(low))).reverse();
    const d = `M${[...there, ...back].join("L")}Z`;
    return svg("path", { class: "logo-chart-band", style: lookOf(index).style, d });
  });
}

/** The line and the marks of one curve. */
function curveOf(layout, index, { points }) {
  const [look, place] = [lookOf(index), placeIn(layout)];
  const lines = pieces(points, ([, y]) => isShown(layout, y));
  const d = lines.map((piece) => `M${piece.map(([x, y]) => place(x, y)).join("L")}`).join("");
  // A point between two gaps has no line to be seen by.
  const marked = points.length <= MOST_MARKERS ? lines.flat() : lines.filter(({ length }) => length === 1).flat();
  const dots = marked.map(([x, y]) => dotAt(layout, x, y, look.style));
  return [svg("path", { class: "logo-chart-line", d, ...look }), ...dots];
}

/** Whether there is a value, and a place for it on the y axis. */
function isShown({ y }, value) {
  return isNumber(value) && Number.isFinite(y.place(value));
}

/** How a point is written in a path. */
function placeIn({ x, y }) {
  return (at, value) => `${x.place(at).toFixed(1)} ${y.place(value).toFixed(1)}`;
}

function dotAt(layout, x, y, style) {
  return svg("circle", { class: "logo-chart-dot", cx: layout.x.place(x), cy: layout.y.place(y), r: 3.5, style });
}

/** The runs of neighbouring entries that are shown, without the gaps between them. */
function pieces(entries, isShown) {
  const found = [];
  let open = false;
  for (const entry of entries) {
    const shown = isShown(entry);
    if (shown && !open) found.push([]);
    if (shown) found[found.length - 1].push(entry);
    open = shown;
  }
  return found;
}
