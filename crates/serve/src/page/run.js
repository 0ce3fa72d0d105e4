import { CurveSource, Source, seriesOf } from "./data.js";
import { Part, badge, element, progressBar, table } from "./elements.js";
import { ago, curveName, duration, epochs, grouped, interval, kindOf, number, percent, shortName } from "./words.js";

/** Which curves share a chart; a curve of no group has one of its own. */
const GROUPS = [
  { title: "Loss", unit: "loss", names: ["loss"] },
  { title: "Spread of the embeddings", unit: "standard deviation of z", names: ["z_std"] },
  { title: "Cosines of an image's embeddings", unit: "cosine", names: ["cos_gg", "cos_lg", "cos_ll"] },
  { title: "Terms between views", unit: "loss", names: ["global_global", "local_global"] },
  { title: "Affinity of local views", unit: "f_d", names: ["affinity_same", "affinity_different"] },
  { title: "L_ll, which local views minimise", unit: "loss", names: ["local_local"] },
  { title: "Ω, which the affinity maximises", unit: "Ω", names: ["omega"] },
  { title: "Gradient", unit: "norm", names: ["grad_norm"] },
  { title: "Learning rate", unit: "rate", names: ["lr"] },
  { title: "Throughput", unit: "images a second", names: ["images_per_second"] },
  { title: "Time of a step", unit: "time (ms)", names: ["step_ms", "views_wait_ms", "bookkeeping_ms", "views_cpu_ms"] },
];

/** What lights are called. */
const LIGHTS = { collapse: "Collapse", numbers: "Numbers", throughput: "Throughput", views: "Waiting for views" };

/** What is measured, by source. */
const SOURCES = { untrained: "the untrained backbone", pixels: "raw pixels" };

/** Evaluations that are listed; further ones are in the curve. */
const LISTED = 6;

/** One run: how far it is, whether it goes well, its curves, evaluations, picture and settings. */
export class RunView {
  /** @param {string} id */
  constructor(id) {
    this.id = id;
    this.title = id;
    this.source = new Source(`/api/runs/${encodeURIComponent(id)}`);
    this.curves = new CurveSource(id);
    this.drawn = null;
    /** @type {Map<string, HTMLElement>} */
    this.charts = new Map();
    this.parts = Object.fromEntries(
      ["head", "progress", "tiles", "lights", "evaluations", "settings", "picture"].map((name) => [name, new Part()]),
    );
    this.chartBox = element("div", { class: "charts" });
    const { head, progress, tiles, lights, evaluations, settings, picture } = this.parts;
    const curves = element("section", {}, element("h2", {}, "Curves"), this.chartBox);
    const above = [head, progress, tiles, lights].map((part) => part.element);
    const below = [evaluations, settings, picture].map((part) => part.element);
    this.element = element("div", { class: "view" }, ...above, curves, ...below);
  }

  async refresh() {
    const run = await this.source.get();
    this.showParts(run);
    const curves = await this.curves.get();
    this.drawCharts(run, curves);
    return run.state === "running" || run.read < 1;
  }

  showParts(run) {
    const { head, progress, tiles, lights, evaluations, settings, picture } = this.parts;
    // What changes at every look holds nothing that can have the focus.
    head.show([run.state, kindOf(run), run.problem, run.report], () => headOf(run));
    progress.show([run.step, run.epochs_done, run.read, run.speed, ago(run.written)], () => progressOf(run));
    tiles.show([run.knn, run.floors, run.latest, run.speed], () => tilesOf(run));
    lights.show(run.lights, () => lightsOf(run));
    evaluations.show([run.evaluations, run.floors], () => evaluationsOf(run));
    settings.show([run.settings, run.of_preset, run.changes], () => settingsOf(run));
    picture.show([run.preview, run.report], () => pictureOf(run));
  }

  drawCharts(run, curves) {
    const perUnit = run.steps_per_epoch ?? 1;
    const xLabel = run.steps_per_epoch === null ? "step" : "epoch";
    // A whole curve is as long as its last step says; that, and what shares a bucket, tells whether it is new.
    const state = JSON.stringify([run.evaluations, run.step, run.read, xLabel, curves.size]);
    if (state === this.drawn) return;
    this.drawn = state;
    if (run.evaluations.some(({ results }) => results.length > 0)) this.draw(knnChart(run));
    const grouped = new Set(GROUPS.flatMap(({ names }) => names));
    const others = [...curves.keys()].filter((name) => !grouped.has(name));
    const groups = [...GROUPS, ...others.map((name) => ({ title: name, unit: name, names: [name] }))];
    for (const { title, unit, names } of groups) {
      const there = names.filter((name) => curves.has(name));
      if (there.length === 0) continue;
      const nameOf = names.length > 1 ? shortName : curveName;
      const series = there.map((name) => seriesOf(nameOf(name), curves.get(name), { perUnit, band: true }));
      const levels = names.includes("z_std") ? collapseLine(run, series[0].points) : [];
      this.draw({ title, xLabel, yLabel: unit, series: [...series, ...levels] });
    }
  }

  draw(spec) {
    if (!this.charts.has(spec.title)) {
      const chart = element("div", { class: "card chart" });
      this.charts.set(spec.title, chart);
      this.chartBox.append(chart);
    }
    globalThis.LogoChart.draw(this.charts.get(spec.title), spec);
  }
}

/** Where a run counts as collapsed, a tenth of an even spread, as a level line. */
function collapseLine(run, points) {
  const dim = Number(run.settings.find(([key]) => key === "model.projector.dim")?.[1]);
  if (!(dim > 0) || points.length === 0) return [];
  const ends = [points[0], points[points.length - 1]];
  return [{ name: "collapsed below", points: ends.map(([x]) => [x, 0.1 / Math.sqrt(dim)]) }];
}

function headOf(run) {
  const address = encodeURIComponent(run.id);
  const kind = [
    kindOf(run),
    run.preset === null ? null : `preset ${run.preset}`,
    run.seed === null ? null : `seed ${run.seed}`,
    run.images === null ? null : `${grouped(run.images)} images`,
  ];
  return [
    element("p", { class: "eyebrow" }, element("a", { href: "#/" }, "All runs")),
    element("h1", {}, run.id),
    element("p", { class: "facts" }, badge(run.state), " · ", kind.filter((word) => word !== null).join(" · ")),
    run.problem === null ? null : element("p", { class: "banner" }, `${run.problem}. What could be read is shown.`),
    element(
      "p",
      { class: "links" },
      run.report ? element("a", { href: `/runs/${address}/report.html` }, "Report") : null,
      element("a", { href: `#/compare/${address}` }, "Compare with others"),
    ),
  ];
}

function progressOf(run) {
  const left = run.speed?.left_seconds ?? null;
  const facts = [
    `epoch ${epochs(run)}`,
    `step ${grouped(run.step)}`,
    left === null ? null : `${duration(left)} of training left`,
    `last wrote ${ago(run.written)}`,
    run.read < 1 ? `${Math.floor(100 * run.read)} % of its logs read so far` : null,
  ];
  const words = facts.filter((fact) => fact !== null).join(" · ");
  return [element("div", { class: "progress" }, progressBar(run), element("p", {}, words))];
}

function tilesOf(run) {
  const nearest = run.knn?.results[0];
  const floor = (source) =>
    run.floors
      .find((found) => found.source === source && found.evaluation === "knn")
      ?.results.find(({ k }) => k === nearest?.k);
  const over = (source) => {
    const other = floor(source);
    if (!nearest || !other) return null;
    const points = 100 * (nearest.top1 - other.top1);
    return [`${points < 0 ? "−" : "+"}${Math.abs(points).toFixed(1)}`, `points over ${SOURCES[source]}`];
  };
  const tiles = [
    nearest ? [percent(nearest.top1), `kNN top-1, k = ${nearest.k}`] : null,
    over("pixels"),
    over("untrained"),
    run.latest.loss === undefined
      ? null
      : [number(run.latest.loss), run.epochs_done > 0 ? "loss, last epoch" : "loss, last step"],
    run.speed ? [grouped(run.speed.images_per_second), "images a second"] : null,
  ];
  const made = tiles
    .filter((tile) => tile !== null)
    .map(([value, label]) => element("div", { class: "tile" }, element("b", {}, value), element("span", {}, label)));
  return made.length === 0 ? [] : [element("div", { class: "tiles" }, ...made)];
}

function lightsOf(run) {
  if (run.lights.length === 0) return [];
  const words = { good: "good", warning: "look at it", bad: "bad" };
  const items = run.lights.map(({ name, level, says }) => {
    const light = element(
      "span",
      { class: `light ${level}` },
      element("span", { class: "unseen" }, `${words[level]}: `),
    );
    return element("li", {}, light, element("span", {}, element("b", {}, `${LIGHTS[name] ?? name}. `), says));
  });
  return [element("h2", {}, "Health"), element("ul", { class: "card lights" }, ...items)];
}

function knnChart(run) {
  const measured = run.evaluations.filter(({ evaluation }) => evaluation === "knn");
  const ks = [...new Set(measured.flatMap(({ results }) => results.map(({ k }) => k)))];
  const ends = measured.map(({ epoch }) => epoch);
  const at = (k) =>
    measured.flatMap(({ epoch, results }) =>
      results.filter((result) => result.k === k).map((result) => [epoch, result]),
    );
  const curves = ks.map((k) => ({
    name: `k = ${k}`,
    points: at(k).map(([epoch, { top1 }]) => [epoch, 100 * top1]),
    band: at(k).map(
      ([
        epoch,
        {
          top1_interval: [low, high],
        },
      ]) => [epoch, 100 * low, 100 * high],
    ),
  }));
  const floors = run.floors
    .filter(({ evaluation }) => evaluation === "knn")
    .map(({ source, results }) => {
      const top1 = 100 * (results.find(({ k }) => k === ks[0])?.top1 ?? NaN);
      const points = [0, Math.max(1, ...ends)].map((epoch) => [epoch, Number.isNaN(top1) ? null : top1]);
      return { name: `${SOURCES[source]}, k = ${ks[0]}`, points };
    });
  return { title: "kNN accuracy", xLabel: "epoch", yLabel: "top-1 (%)", series: [...curves, ...floors] };
}

function evaluationsOf(run) {
  const all = [...run.evaluations, ...run.floors];
  const names = [...new Set(all.map(({ evaluation }) => evaluation))];
  if (names.length === 0) return [];
  const tables = names.map((name) => evaluationTable(name, run));
  return [element("h2", {}, "Evaluations"), ...tables];
}

function evaluationTable(name, run) {
  const [trained, floors] = [run.evaluations, run.floors].map((list) =>
    list.filter(({ evaluation }) => evaluation === name),
  );
  const listed = [...trained].reverse().slice(0, LISTED);
  const rows = [...listed, ...floors];
  const columns = [
    ...new Set(rows.flatMap((row) => (row.scores === null ? row.results.map(({ k }) => k) : Object.keys(row.scores)))),
  ];
  const heads = ["features", ...columns.map((column) => (typeof column === "number" ? `k = ${column}` : column))];
  const cells = rows.map((row) => {
    const label = row.source === "trained" ? `epoch ${row.epoch}` : SOURCES[row.source];
    return [label, ...columns.map((column) => scoreCell(row, column))];
  });
  const { train_images: bank, test_images: test } = rows[0];
  const more = trained.length > LISTED ? ` The last ${LISTED} of ${grouped(trained.length)} are listed.` : "";
  const intervals = rows[0].scores === null ? " Below each accuracy is its 95 % interval (Wilson)." : "";
  const note = `${grouped(test)} test images, ${grouped(bank)} labelled images to learn from.${intervals}${more}`;
  const own = (index) => (index === 0 && listed.length > 0 ? "own" : "");
  return element(
    "div",
    {},
    table(name === "knn" ? "kNN, top-1" : name, heads, cells, own),
    element("p", { class: "note" }, `${name === "knn" ? "kNN, top-1: " : `${name}: `}${note}`),
  );
}

function scoreCell(row, column) {
  if (row.scores !== null) return foundCell(row.scores[column]);
  const result = row.results.find(({ k }) => k === column);
  return result ? shareCell(result.top1, result.top1_interval) : "–";
}

/** A number, or a share with its interval. */
function foundCell(score) {
  if (score === null || typeof score !== "object") return number(score);
  return shareCell(score.value, [score.low, score.high]);
}

function shareCell(share, ends) {
  return element("span", {}, percent(share), element("span", { class: "under" }, interval(ends)));
}

function settingsOf(run) {
  if (run.settings.length === 0) return [];
  const changes = run.of_preset ?? [];
  const differing = changes.map(({ key, before, now }) => [
    element("code", {}, key),
    element("code", {}, now),
    element("code", {}, before),
  ]);
  const none = run.of_preset === null ? "This version has no preset of that name." : "Nothing differs from the preset.";
  const later = run.changes.map(([step, list]) => {
    const words = list.map(({ key, before, now }) => `${key} = ${now} instead of ${before}`).join(", ");
    return element("p", { class: "note" }, `From step ${grouped(step)} on: ${words}.`);
  });
  const all = run.settings.map(([key, value]) => [element("code", {}, key), element("code", {}, value)]);
  return [
    element("h2", {}, "Settings"),
    differing.length > 0
      ? table("Settings that differ from the preset", ["setting", "this run", `preset ${run.preset}`], differing)
      : element("p", { class: "note" }, none),
    ...later,
    element(
      "details",
      {},
      element("summary", {}, `All ${run.settings.length} settings`),
      table("All settings", ["setting", "value"], all),
    ),
  ];
}

function pictureOf(run) {
  if (!run.preview) return [];
  const source = `/runs/${encodeURIComponent(run.id)}/preview.png`;
  const image = element("img", {
    src: source,
    alt: "Training images, each with its global and local views",
    loading: "lazy",
  });
  const caption = "Training images, each with its global and local views as they enter the network.";
  return [
    element("h2", {}, "What the network sees"),
    element("figure", { class: "card" }, element("a", { href: source }, image), element("figcaption", {}, caption)),
  ];
}
