"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const [map, card, large] = ["map", "card", "large"].map((id) => document.getElementById(id));
const told = document.getElementById("told");
const dark = matchMedia("(prefers-color-scheme: dark)");
const atlas = new Image();
const hidden = new Set();
const RADIUS = 4;
const TILE = 30;
const MARGIN = 24;
const NEAR = 14;
const KEY_STEP = 60;

// From the map's square of side 1 to the page: times scale, then moved.
const view = { scale: 1, x: 0, y: 0 };
let chosen = null;
let showsPictures = false;
let waiting = false;

// Marks lie in an order that is no class's, so that none hides all others.
const order = data.points.map((_, at) => at).sort((a, b) => hash(a) - hash(b));

function hash(at) {
  return Math.imul(at + 1, 0x9e3779b1) >>> 0;
}

function size() {
  return [map.clientWidth, map.clientHeight];
}

function fit() {
  const [width, height] = size();
  view.scale = Math.max(Math.min(width, height) - 2 * MARGIN, 10);
  view.x = (width - view.scale) / 2;
  view.y = (height - view.scale) / 2;
  redraw();
}

function place(at) {
  const [x, y] = data.points[at];
  return [view.x + x * view.scale, view.y + y * view.scale];
}

function isShown(at) {
  return !hidden.has(data.points[at][2]);
}

// On a dark page the darker colours are lightened.
function color(kind) {
  const share = dark.matches ? 0.3 : 0;
  return `rgb(${kind.color.map((value) => Math.round(value + (255 - value) * share)).join(" ")})`;
}

function ground() {
  return getComputedStyle(document.documentElement).getPropertyValue("--ground");
}

function outline(pen, kind, x, y, radius) {
  pen.beginPath();
  if (kind.corners.length === 0) {
    pen.arc(x, y, radius, 0, 2 * Math.PI);
  }
  for (const [dx, dy] of kind.corners) {
    pen.lineTo(x + radius * dx, y + radius * dy);
  }
  pen.closePath();
}

function mark(pen, kind, x, y, radius) {
  outline(pen, kind, x, y, radius);
  pen.fillStyle = color(kind);
  pen.fill();
  pen.lineWidth = 0.2 * radius;
  pen.strokeStyle = ground();
  pen.stroke();
}

function picture(pen, at, x, y, side) {
  const [column, row] = [at % data.columns, Math.floor(at / data.columns)];
  pen.drawImage(atlas, column * data.side, row * data.side, data.side, data.side, x, y, side, side);
}

function drawPoint(pen, at) {
  const [x, y] = place(at);
  const kind = data.classes[data.points[at][2]];
  if (!showsPictures) {
    mark(pen, kind, x, y, RADIUS);
    return;
  }
  picture(pen, at, x - TILE / 2, y - TILE / 2, TILE);
  pen.lineWidth = 2;
  pen.strokeStyle = color(kind);
  pen.strokeRect(x - TILE / 2, y - TILE / 2, TILE, TILE);
  mark(pen, kind, x - TILE / 2, y - TILE / 2, RADIUS);
}

function draw() {
  waiting = false;
  const [width, height] = size();
  const ratio = window.devicePixelRatio || 1;
  if (map.width !== Math.round(width * ratio) || map.height !== Math.round(height * ratio)) {
    map.width = Math.round(width * ratio);
    map.height = Math.round(height * ratio);
  }
  const pen = map.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  for (const at of order) {
    const [x, y] = place(at);
    const inside = x > -TILE && y > -TILE && x < width + TILE && y < height + TILE;
    if (isShown(at) && inside) drawPoint(pen, at);
  }
  if (chosen !== null) {
    drawPoint(pen, chosen);
    const [x, y] = place(chosen);
    pen.beginPath();
    pen.arc(x, y, showsPictures ? 0.8 * TILE : 2.5 * RADIUS, 0, 2 * Math.PI);
    pen.lineWidth = 2;
    pen.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--ink");
    pen.stroke();
  }
}

function redraw() {
  if (!waiting) {
    waiting = true;
    requestAnimationFrame(draw);
  }
  placeCard();
}

function zoom(factor, x = map.clientWidth / 2, y = map.clientHeight / 2) {
  const least = 0.5 * (Math.min(...size()) - 2 * MARGIN);
  const scale = Math.min(Math.max(view.scale * factor, least), 200 * Math.max(...size()));
  view.x = x - ((x - view.x) * scale) / view.scale;
  view.y = y - ((y - view.y) * scale) / view.scale;
  view.scale = scale;
  redraw();
}

function nearest(x, y) {
  let best = null;
  let least = showsPictures ? TILE / 2 : NEAR;
  data.points.forEach((_, at) => {
    const [px, py] = place(at);
    const distance = Math.max(Math.abs(px - x), Math.abs(py - y));
    if (isShown(at) && distance <= least) [best, least] = [at, distance];
  });
  return best;
}

function choose(at, says) {
  if (at === chosen) return;
  chosen = at;
  card.hidden = at === null;
  if (at !== null) {
    const [, , kind, name] = data.points[at];
    document.getElementById("name").textContent = name;
    document.getElementById("class").textContent = data.classes[kind].name;
    const pen = large.getContext("2d");
    pen.imageSmoothingEnabled = false;
    picture(pen, at, 0, 0, large.width);
    if (says) told.textContent = `${data.classes[kind].name}: ${name}`;
  }
  redraw();
}

function placeCard() {
  if (chosen === null) return;
  const [width, height] = size();
  const [x, y] = place(chosen);
  const [wide, high] = [card.offsetWidth, card.offsetHeight];
  const left = x + 16 + wide > width ? x - 16 - wide : x + 16;
  card.style.left = `${Math.min(Math.max(left, 0), Math.max(width - wide, 0))}px`;
  card.style.top = `${Math.min(Math.max(y - high / 2, 0), Math.max(height - high, 0))}px`;
}

// The next image of those that are shown, class by class; it is moved into sight.
function step(by) {
  const shown = data.points.map((_, at) => at).filter(isShown);
  if (shown.length === 0) return;
  shown.sort((a, b) => data.points[a][2] - data.points[b][2] || a - b);
  const now = shown.indexOf(chosen);
  const next = now < 0 ? (by > 0 ? 0 : shown.length - 1) : (now + by + shown.length) % shown.length;
  const [x, y] = place(shown[next]);
  const [width, height] = size();
  if (x < 0 || x > width) view.x += width / 2 - x;
  if (y < 0 || y > height) view.y += height / 2 - y;
  choose(shown[next], true);
}

const keys = {
  ArrowLeft: () => (view.x += KEY_STEP),
  ArrowRight: () => (view.x -= KEY_STEP),
  ArrowUp: () => (view.y += KEY_STEP),
  ArrowDown: () => (view.y -= KEY_STEP),
  "+": () => zoom(1.4),
  "=": () => zoom(1.4),
  "-": () => zoom(1 / 1.4),
  0: fit,
  n: () => step(1),
  p: () => step(-1),
  Escape: () => choose(null),
};

map.addEventListener("keydown", (event) => {
  const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
  redraw();
});

map.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0015)), event.offsetX, event.offsetY);
}, { passive: false });

// Fingers or the mouse: one moves, two zoom.
const held = new Map();

map.addEventListener("pointerdown", (event) => {
  map.setPointerCapture(event.pointerId);
  held.set(event.pointerId, [event.offsetX, event.offsetY]);
  map.classList.add("held");
  choose(nearest(event.offsetX, event.offsetY));
});

map.addEventListener("pointermove", (event) => {
  const here = [event.offsetX, event.offsetY];
  const before = held.get(event.pointerId);
  if (!before) {
    choose(nearest(...here));
    return;
  }
  const other = [...held].find(([id]) => id !== event.pointerId);
  if (other) {
    const apart = ([x, y]) => Math.hypot(x - other[1][0], y - other[1][1]);
    zoom(apart(here) / Math.max(apart(before), 1), ...other[1]);
  } else {
    view.x += here[0] - before[0];
    view.y += here[1] - before[1];
  }
  held.set(event.pointerId, here);
  redraw();
});

for (const name of ["pointerup", "pointercancel"]) {
  map.addEventListener(name, (event) => {
    held.delete(event.pointerId);
    if (held.size === 0) map.classList.remove("held");
  });
}

map.addEventListener("pointerleave", () => {
  if (held.size === 0) choose(null);
});

function entry(kind, at) {
  const button = document.createElement("button");
  const sign = document.createElement("canvas");
  [sign.width, sign.height] = [36, 36];
  button.type = "button";
  button.setAttribute("aria-pressed", "true");
  button.append(sign, kind.name);
  button.addEventListener("click", () => {
    hidden.has(at) ? hidden.delete(at) : hidden.add(at);
    button.setAttribute("aria-pressed", String(!hidden.has(at)));
    if (chosen !== null && !isShown(chosen)) choose(null);
    redraw();
  });
  return button;
}

const legend = document.getElementById("legend");
legend.append(...data.classes.map(entry));

function drawSigns() {
  legend.querySelectorAll("canvas").forEach((sign, at) => {
    const pen = sign.getContext("2d");
    pen.clearRect(0, 0, sign.width, sign.height);
    mark(pen, data.classes[at], 18, 18, 11);
  });
}

document.getElementById("in").addEventListener("click", () => zoom(1.4));
document.getElementById("out").addEventListener("click", () => zoom(1 / 1.4));
document.getElementById("fit").addEventListener("click", fit);
document.getElementById("pictures").addEventListener("change", (event) => {
  showsPictures = event.target.checked;
  redraw();
});
document.getElementById("all").addEventListener("click", () => {
  hidden.clear();
  legend.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", "true"));
  redraw();
});
dark.addEventListener("change", () => {
  drawSigns();
  redraw();
});

atlas.addEventListener("load", redraw);
atlas.src = data.atlas;
drawSigns();

let last = [0, 0];
new ResizeObserver(() => {
  const [width, height] = size();
  if (last[0] === 0) {
    fit();
  } else {
    view.x += (width - last[0]) / 2;
    view.y += (height - last[1]) / 2;
    redraw();
  }
  last = [width, height];
}).observe(map);
