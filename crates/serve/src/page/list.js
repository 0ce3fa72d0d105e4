import { Source } from "./data.js";
import { badge, element, progressBar } from "./elements.js";
import { ago, epochs, grouped, interval, kindOf, number, percent } from "./words.js";

/**
 * A column of the list.
 * @typedef {object} Column
 * @property {string} key
 * @property {string} head
 * @property {(run: import("./data.js").Run) => number | string | null} value What is sorted by; null comes last.
 * @property {(run: import("./data.js").Run) => (Node | string)[]} cell
 * @property {boolean} [falling] Whether the highest comes first when the column is chosen.
 */

/** @type {Column[]} */
const COLUMNS = [
  { key: "name", head: "Run", value: (run) => run.id, cell: nameCell },
  { key: "kind", head: "Data, framework", value: kindOf, cell: kindCell },
  { key: "progress", head: "Epochs", value: (run) => run.epochs_done, cell: progressCell, falling: true },
  { key: "loss", head: "Loss", value: (run) => run.latest.loss ?? null, cell: (run) => [number(run.latest.loss)] },
  { key: "knn", head: "kNN top-1", value: accuracy, cell: knnCell, falling: true },
  {
    key: "speed",
    head: "Images/s",
    value: (run) => run.speed?.images_per_second ?? null,
    cell: speedCell,
    falling: true,
  },
  { key: "written", head: "Last wrote", value: (run) => run.written, cell: (run) => [ago(run.written)], falling: true },
];

const collator = new Intl.Collator("en", { numeric: true });

/** All runs of the folder, as a table that is sorted and filtered, and from which runs are chosen to compare. */
export class ListView {
  /**
   * @param {URLSearchParams} parameters `sort`, a column, with a `-` before it for the highest first; `filter`.
   * @param {Set<string>} chosen The runs that are chosen, kept by the caller.
   */
  constructor(parameters, chosen) {
    this.title = "Runs";
    this.source = new Source("/api/runs");
    this.chosen = chosen;
    const sort = parameters.get("sort") ?? "-written";
    this.falling = sort.startsWith("-");
    this.sort = COLUMNS.find(({ key }) => key === sort.replace(/^-/, "")) ?? COLUMNS[0];
    /** @type {Map<string, Row>} */
    this.rows = new Map();
    this.build(parameters.get("filter") ?? "");
  }

  build(filter) {
    this.filter = element("input", {
      type: "search",
      id: "filter",
      value: filter,
      autocomplete: "off",
      input: () => this.arrange(),
    });
    this.count = element("p", { class: "count", role: "status" });
    this.compare = element("a", { class: "button main" });
    this.clear = element("button", { type: "button", click: () => this.chooseNone() }, "None");
    this.choice = element("div", { class: "choice" }, this.compare, this.clear);
    this.notes = element("div");
    this.heads = COLUMNS.map((column) => {
      const button = element("button", { type: "button", click: () => this.sortBy(column) }, column.head);
      return element("th", { scope: "col", class: column.key }, button);
    });
    const first = element("th", { scope: "col", class: "choose" }, element("span", { class: "unseen" }, "Compare"));
    this.body = element("tbody");
    const table = element(
      "table",
      { class: "runs" },
      element("thead", {}, element("tr", {}, first, ...this.heads)),
      this.body,
    );
    const label = element("label", { for: "filter" }, "Filter");
    this.element = element(
      "div",
      { class: "view" },
      element("h1", {}, "Runs"),
      this.notes,
      element(
        "div",
        { class: "tools" },
        element("div", { class: "field" }, label, this.filter),
        this.count,
        this.choice,
      ),
      element("div", { class: "card scroll", role: "region", "aria-label": "All runs", tabindex: 0 }, table),
    );
    this.showChoice();
  }

  async refresh() {
    const answer = await this.source.get();
    this.update(answer);
    return answer.reading || answer.runs.some(({ state }) => state === "running");
  }

  update(answer) {
    this.showNotes(answer);
    const there = new Set(answer.runs.map(({ id }) => id));
    for (const [id, row] of this.rows) {
      if (!there.has(id)) {
        row.element.remove();
        this.rows.delete(id);
        this.chosen.delete(id);
      }
    }
    for (const run of answer.runs) {
      if (!this.rows.has(run.id)) this.rows.set(run.id, new Row(run.id, this));
      this.rows.get(run.id).show(run);
    }
    this.showChoice();
    this.arrange();
  }

  showNotes(answer) {
    const notes = answer.refused.map(({ path, why }) =>
      element("p", { class: "banner" }, element("b", {}, path), ` ${why}.`),
    );
    if (answer.reading) {
      const share = answer.runs.reduce((sum, run) => sum + run.read, 0) / Math.max(1, answer.runs.length);
      notes.push(element("p", { class: "note" }, `Reading the logs, ${Math.floor(100 * share)} % so far.`));
    }
    if (answer.runs.length === 0 && !answer.reading) {
      const command = element("code", {}, "logo-ssl pretrain");
      notes.push(
        element(
          "p",
          { class: "banner" },
          "There is no run in this folder yet. ",
          command,
          " makes one, and it appears here.",
        ),
      );
    }
    this.notes.replaceChildren(...notes);
  }

  /** Sorts by a column, or the other way round where it is sorted by it already. */
  sortBy(column) {
    this.falling = this.sort === column ? !this.falling : column.falling === true;
    this.sort = column;
    this.arrange();
  }

  /** Puts the rows in order, hides those that are filtered out, and says so in the address. */
  arrange() {
    const words = this.filter.value
      .toLowerCase()
      .split(/\s+/)
      .filter((word) => word !== "");
    const rows = [...this.rows.values()].sort((a, b) => this.order(a.run, b.run));
    rows.forEach((row, index) => {
      row.element.hidden = !words.every((word) => row.text.includes(word));
      // Only what is out of place is moved, for moving takes the focus away.
      if (this.body.children[index] !== row.element)
        this.body.insertBefore(row.element, this.body.children[index] ?? null);
    });
    const shown = rows.filter(({ element: row }) => !row.hidden).length;
    const all = `${grouped(rows.length)} ${rows.length === 1 ? "run" : "runs"}`;
    this.count.textContent = shown === rows.length ? all : `${grouped(shown)} of ${all}`;
    this.heads.forEach((head, index) => {
      const order = COLUMNS[index] !== this.sort ? "none" : this.falling ? "descending" : "ascending";
      head.setAttribute("aria-sort", order);
    });
    this.keepAddress();
  }

  order(a, b) {
    const [left, right] = [this.sort.value(a), this.sort.value(b)];
    if (left === null || right === null)
      return Number(left === null) - Number(right === null) || collator.compare(a.id, b.id);
    const rising = typeof left === "number" ? left - right : collator.compare(left, right);
    return (this.falling ? -rising : rising) || collator.compare(a.id, b.id);
  }

  keepAddress() {
    const parameters = new URLSearchParams({ sort: (this.falling ? "-" : "") + this.sort.key });
    if (this.filter.value !== "") parameters.set("filter", this.filter.value);
    // Another view may have been asked for while this one waited for the server.
    if (/^#?\/?(\?|$)/.test(location.hash)) history.replaceState(null, "", `#/?${parameters}`);
  }

  /** Adds a run to those that are compared, or takes it away. */
  choose(id, wanted) {
    if (wanted) this.chosen.add(id);
    else this.chosen.delete(id);
    this.showChoice();
  }

  chooseNone() {
    this.chosen.clear();
    this.rows.forEach((row) => (row.box.checked = false));
    this.showChoice();
    this.filter.focus();
  }

  showChoice() {
    const runs = [...this.chosen];
    this.choice.hidden = runs.length === 0;
    this.compare.textContent = runs.length === 1 ? "Compare 1 run with others" : `Compare ${runs.length} runs`;
    this.compare.setAttribute("href", `#/compare/${runs.map(encodeURIComponent).join(",")}`);
  }
}

/** A run's row, whose cells are made again only where they say something else. */
class Row {
  /**
   * @param {string} id
   * @param {ListView} list
   */
  constructor(id, list) {
    const choose = () => list.choose(id, this.box.checked);
    this.box = element("input", { type: "checkbox", "aria-label": `compare ${id}`, change: choose });
    this.box.checked = list.chosen.has(id);
    this.cells = COLUMNS.map(({ key }) =>
      element(key === "name" ? "th" : "td", { class: key, ...(key === "name" && { scope: "row" }) }),
    );
    this.element = element("tr", {}, element("td", { class: "choose" }, element("label", {}, this.box)), ...this.cells);
    this.shown = COLUMNS.map(() => "");
  }

  /** @param {import("./data.js").Run} run */
  show(run) {
    this.run = run;
    this.text = [run.id, run.preset, kindOf(run), run.state].join(" ").toLowerCase();
    COLUMNS.forEach((column, index) => {
      const parts = column.cell(run);
      const text = parts.map((part) => part.outerHTML ?? part).join("");
      if (text === this.shown[index]) return;
      this.shown[index] = text;
      this.cells[index].replaceChildren(...parts);
    });
  }
}

function nameCell(run) {
  const marks = [badge(run.state)];
  // That a finished run was slow is of interest on its own page only.
  const levels = run.state === "running" ? ["bad", "warning"] : ["bad"];
  const bad = run.lights.find(({ level }) => levels.includes(level));
  if (run.problem !== null) marks.push(element("span", { class: "badge bad", title: run.problem }, "⚠ not read whole"));
  else if (bad) marks.push(element("span", { class: `badge ${bad.level}`, title: bad.says }, `⚠ ${bad.name}`));
  const link = element("a", { href: `#/run/${encodeURIComponent(run.id)}` }, run.id);
  return [link, element("span", { class: "marks" }, ...marks)];
}

function kindCell(run) {
  const preset = run.preset === null ? "" : `preset ${run.preset}, seed ${run.seed}`;
  return [kindOf(run), element("span", { class: "under" }, preset)];
}

function progressCell(run) {
  return [element("span", {}, epochs(run)), progressBar(run)];
}

function accuracy(run) {
  return run.knn?.results[0]?.top1 ?? null;
}

function knnCell(run) {
  const result = run.knn?.results[0];
  if (!result) return ["–"];
  const title = `95 % interval ${interval(result.top1_interval)} %, ${grouped(run.knn.test_images)} test images, bank of ${grouped(run.knn.train_images)}`;
  return [
    element("span", { title }, percent(result.top1)),
    element("span", { class: "under" }, `k = ${result.k}, epoch ${run.knn.epoch}`),
  ];
}

function speedCell(run) {
  return [run.speed === null ? "–" : grouped(run.speed.images_per_second)];
}
