import { CurveSource, Source, seriesOf } from "./data.js";
import { Part, badge, element, table } from "./elements.js";
import { curveName, epochs, grouped, interval, kindOf, number, percent } from "./words.js";

/** The curves that are shown where the address names none. */
const USUAL = ["loss", "z_std", "cos_gg"];

/** With more runs than this, bands would hide the curves. */
const MOST_BANDS = 3;

/** Several runs: their curves in one chart each, their evaluations, and in what their settings differ. */
export class CompareView {
  /**
   * @param {string[]} ids
   * @param {URLSearchParams} parameters `curves`, the names of those that are shown; `x`, `epochs` or `steps`; `settings=all`.
   */
  constructor(ids, parameters) {
    this.ids = ids;
    this.title = `${ids.length} runs compared`;
    this.source = new Source(`/api/compare?runs=${ids.map(encodeURIComponent).join(",")}`);
    this.all = new Source("/api/runs");
    this.names = parameters.get("curves")?.split(",") ?? USUAL;
    this.byStep = parameters.get("x") === "steps";
    this.allSettings = parameters.get("settings") === "all";
    /** @type {CurveSource[]} */
    this.curves = [];
    this.charts = new Map();
    this.build();
    this.choose();
  }

  build() {
    const parts = ["chosen", "evaluations", "tools", "settings"];
    this.parts = Object.fromEntries(parts.map((name) => [name, new Part("section")]));
    const { chosen, evaluations, tools, settings } = this.parts;
    this.chartBox = element("div", { class: "charts" });
    const curves = element("section", {}, element("h2", {}, "Curves"), tools.element, this.chartBox);
    const eyebrow = element("p", { class: "eyebrow" }, element("a", { href: "#/" }, "All runs"));
    const head = element("h1", {}, "Comparison");
    this.element = element(
      "div",
      { class: "view" },
      eyebrow,
      head,
      chosen.element,
      evaluations.element,
      curves,
      settings.element,
    );
  }

  /** Asks for the curves that are chosen. */
  choose() {
    this.curves = this.ids.map((id) => new CurveSource(id, this.names));
  }

  async refresh() {
    const all = await this.all.get();
    if (this.ids.length === 0) {
      this.showChosen([], all.runs);
      return all.reading;
    }
    this.answer = await this.source.get();
    const { runs } = this.answer;
    this.showChosen(runs, all.runs);
    this.parts.evaluations.show(
      [runs.map(({ id, knn, floors, latest }) => [id, knn, floors, latest.loss]), runs.map(epochs)],
      () => evaluationsOf(runs),
    );
    this.showTools();
    this.showSettings();
    await this.drawCurves();
    return runs.some((run) => run.state === "running" || run.read < 1);
  }

  showChosen(runs, all) {
    const others = all.filter(({ id }) => !this.ids.includes(id)).map(({ id }) => id);
    const data = [runs.map((run) => [run.id, run.state, kindOf(run)]), others];
    this.parts.chosen.show(data, () => {
      const items = runs.map((run) => {
        const without = this.ids.filter((id) => id !== run.id);
        const link = element("a", { href: `#/run/${encodeURIComponent(run.id)}` }, run.id);
        const remove = element(
          "a",
          { class: "remove", href: addressOf(without), "aria-label": `leave out ${run.id}` },
          "×",
        );
        return element("li", {}, link, badge(run.state), remove);
      });
      return [element("ul", { class: "chips" }, ...items), others.length === 0 ? null : this.adder(others)];
    });
  }

  /** A list from which a further run is chosen. */
  adder(others) {
    const options = others.map((id) => element("option", { value: id }, id));
    const select = element("select", { id: "add" }, ...options);
    const add = () => {
      location.hash = addressOf([...this.ids, select.value]);
    };
    const label = element("label", { for: "add" }, "Add");
    return element(
      "div",
      { class: "tools" },
      element("div", { class: "field" }, label, select),
      element("button", { type: "button", click: add }, "Add the run"),
    );
  }

  showTools() {
    const names = [...new Set(this.answer.runs.flatMap(({ curves }) => curves))];
    this.parts.tools.show([names, this.canBeByEpoch()], () => {
      const toggles = names.map((name) => {
        const pressed = String(this.names.includes(name));
        return element(
          "button",
          {
            type: "button",
            class: "toggle",
            "aria-pressed": pressed,
            click: (event) => this.toggle(name, event.currentTarget),
          },
          curveName(name),
        );
      });
      const select = element(
        "select",
        { id: "axis", change: () => this.setAxis(select.value === "steps") },
        element("option", { value: "epochs" }, "epochs"),
        element("option", { value: "steps" }, "steps"),
      );
      select.value = this.byStep ? "steps" : "epochs";
      const field = element("div", { class: "field" }, element("label", { for: "axis" }, "Along"), select);
      return [
        element("div", { class: "toggles", role: "group", "aria-label": "Curves that are shown" }, ...toggles),
        this.canBeByEpoch() ? field : null,
      ];
    });
  }

  canBeByEpoch() {
    return this.answer.runs.every((run) => run.steps_per_epoch !== null);
  }

  toggle(name, button) {
    const shown = !this.names.includes(name);
    this.names = shown ? [...this.names, name] : this.names.filter((other) => other !== name);
    button.setAttribute("aria-pressed", String(shown));
    this.choose();
    this.keepAddress();
    this.drawCurves();
  }

  setAxis(byStep) {
    this.byStep = byStep;
    // What was zoomed into was a part of the other axis.
    this.charts.forEach((chart) => chart.remove());
    this.charts.clear();
    this.keepAddress();
    this.drawCurves();
  }

  keepAddress() {
    const parameters = new URLSearchParams({ curves: this.names.join(",") });
    if (this.byStep) parameters.set("x", "steps");
    if (this.allSettings) parameters.set("settings", "all");
    history.replaceState(null, "", `${addressOf(this.ids)}?${parameters}`);
  }

  async drawCurves() {
    const sources = this.curves;
    const curves = this.names.length === 0 ? [] : await Promise.all(sources.map((source) => source.get()));
    // Others were chosen meanwhile.
    if (sources !== this.curves) return;
    const { runs } = this.answer;
    const specs = [knnSpec(runs), ...this.names.map((name) => this.spec(name, curves))].filter((spec) => spec !== null);
    const titles = new Set(specs.map(({ title }) => title));
    for (const [title, chart] of this.charts) {
      if (!titles.has(title)) {
        chart.remove();
        this.charts.delete(title);
      }
    }
    specs.forEach((spec) => this.draw(spec));
  }

  spec(name, curves) {
    const { runs } = this.answer;
    const byStep = this.byStep || !this.canBeByEpoch();
    const band = runs.length <= MOST_BANDS;
    const series = runs.map((run, index) => {
      const perUnit = byStep ? 1 : run.steps_per_epoch;
      return seriesOf(run.id, curves[index].get(name), { perUnit, band });
    });
    if (series.every(({ points }) => points.length === 0)) return null;
    return { title: curveName(name), xLabel: byStep ? "step" : "epoch", yLabel: curveName(name), series };
  }

  draw(spec) {
    if (!this.charts.has(spec.title)) {
      const chart = element("div", { class: "card chart" });
      this.charts.set(spec.title, chart);
      this.chartBox.append(chart);
    }
    globalThis.LogoChart.draw(this.charts.get(spec.title), spec);
  }

  showSettings() {
    const { runs, settings } = this.answer;
    this.parts.settings.show([settings, this.allSettings], () => {
      const shown = settings.filter(({ differs }) => differs || this.allSettings);
      const rows = shown.map(({ key, values, differs }) => [
        settingName(key, differs),
        ...values.map((value) => element("code", { class: value !== values[0] && "other" }, value ?? "–")),
      ]);
      const box = element("input", { type: "checkbox", change: () => this.showAll(box.checked) });
      box.checked = this.allSettings;
      const same = settings.length - settings.filter(({ differs }) => differs).length;
      const heads = ["setting", ...runs.map(({ id }) => id)];
      const rowClass = (index) => (this.allSettings && shown[index].differs ? "differs" : "");
      return [
        element("h2", {}, "Settings"),
        element("label", { class: "check" }, box, ` Show also the ${same} settings that are the same`),
        rows.length === 0
          ? element("p", { class: "note" }, "Nothing differs.")
          : table("Settings side by side", heads, rows, rowClass),
      ];
    });
  }

  showAll(all) {
    this.allSettings = all;
    this.keepAddress();
    this.showSettings();
    this.parts.settings.element.querySelector("input").focus();
  }
}

/** The address of a comparison. */
function addressOf(ids) {
  return `#/compare/${ids.map(encodeURIComponent).join(",")}`;
}

/** A setting's key, marked where the runs differ in it. */
function settingName(key, differs) {
  const mark = differs
    ? element("span", { class: "mark" }, "≠", element("span", { class: "unseen" }, " differs:"), " ")
    : null;
  return element("span", {}, ...[mark, element("code", {}, key)].filter((part) => part !== null));
}

function evaluationsOf(runs) {
  const ks = [...new Set(runs.flatMap(({ knn }) => knn?.results.map(({ k }) => k) ?? []))];
  const heads = ["run", "epochs", "loss", ...ks.map((k) => `kNN, k = ${k}`), "over untrained"];
  const rows = runs.map((run) => [
    run.id,
    epochs(run),
    number(run.latest.loss),
    ...ks.map((k) => accuracyCell(run, k)),
    gain(run),
  ]);
  const images = [
    ...new Set(
      runs
        .filter(({ knn }) => knn !== null)
        .map(({ knn }) => `${grouped(knn.test_images)} test images, a bank of ${grouped(knn.train_images)}`),
    ),
  ];
  const comparable = images.length < 2 ? images[0] : `Not comparable, for the images are others: ${images.join("; ")}`;
  const note =
    comparable === undefined
      ? "No run has been evaluated yet."
      : `${comparable}. Below each accuracy is its 95 % interval (Wilson). Losses of different frameworks are no measure of each other.`;
  return [element("h2", {}, "Evaluations"), table("Evaluations", heads, rows), element("p", { class: "note" }, note)];
}

function accuracyCell(run, wanted) {
  const result = run.knn?.results.find(({ k }) => k === wanted);
  if (!result) return "–";
  return element("span", {}, percent(result.top1), element("span", { class: "under" }, interval(result.top1_interval)));
}

/** Points of accuracy at the first k above the untrained backbone. */
function gain(run) {
  const own = run.knn?.results[0];
  const floor = run.floors.find(({ source, evaluation }) => source === "untrained" && evaluation === "knn");
  const other = floor?.results.find(({ k }) => k === own?.k);
  if (!own || !other) return "–";
  const points = 100 * (own.top1 - other.top1);
  return `${points < 0 ? "−" : "+"}${Math.abs(points).toFixed(1)}`;
}

function knnSpec(runs) {
  const k = runs.find(({ knn }) => knn !== null)?.knn.results[0]?.k;
  if (k === undefined) return null;
  const series = runs.map(({ id, evaluations }) => {
    const measured = evaluations.filter(({ evaluation }) => evaluation === "knn");
    const at = measured.flatMap(({ epoch, results }) =>
      results.filter((result) => result.k === k).map((result) => [epoch, result]),
    );
    const points = at.map(([epoch, { top1 }]) => [epoch, 100 * top1]);
    const band = at.map(
      ([
        epoch,
        {
          top1_interval: [low, high],
        },
      ]) => [epoch, 100 * low, 100 * high],
    );
    return { name: id, points, band: runs.length <= MOST_BANDS ? band : undefined };
  });
  return { title: `kNN accuracy, k = ${k}`, xLabel: "epoch", yLabel: "top-1 (%)", series };
}
