/**
 * Makes an element. Text is only ever set as text, so that no name of a run and no setting is read as HTML.
 * @param {string} tag
 * @param {Record<string, string | number | boolean | EventListener>} attributes One that is `false` is left out, one that is a
 *   function listens to the event of that name.
 * @param {...(Node | string | null)} children Those that are null are left out.
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false) made.setAttribute(name, String(value));
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/**
 * A part of a page that is built again only when what it shows has changed, so that focus, selection and open
 * details stay while other parts change.
 */
export class Part {
  /** @param {string} [tag] */
  constructor(tag = "div") {
    this.element = element(tag);
    this.shown = undefined;
  }

  /**
   * @param {unknown} data What the part shows; plain data.
   * @param {() => (Node | string | null)[]} build
   */
  show(data, build) {
    const text = JSON.stringify(data);
    if (text === this.shown) return;
    this.shown = text;
    this.element.replaceChildren(...build().filter((child) => child !== null));
  }
}

/**
 * A table in a box that scrolls by itself where it is too wide, also by keys.
 * @param {string} label What the table is of.
 * @param {(Node | string)[]} heads
 * @param {(Node | string)[][]} rows The first cell of each names it.
 * @param {(index: number) => string} [classOf] The class of a row.
 * @returns {HTMLElement}
 */
export function table(label, heads, rows, classOf = () => "") {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  const body = rows.map(([name, ...cells], index) =>
    element(
      "tr",
      { class: classOf(index) || false },
      element("th", { scope: "row" }, name),
      ...cells.map((cell) => element("td", {}, cell)),
    ),
  );
  return element(
    "div",
    { class: "card scroll", role: "region", "aria-label": label, tabindex: 0 },
    element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)),
  );
}

/**
 * The state of a run, as a word with a mark.
 * @param {string} state
 * @returns {HTMLElement}
 */
export function badge(state) {
  const mark = { running: "●", finished: "✓", stale: "○" }[state] ?? "";
  return element("span", { class: `badge ${state}` }, element("span", { "aria-hidden": "true" }, mark), ` ${state}`);
}

/**
 * How far a run has come.
 * @param {import("./data.js").Run} run
 * @returns {HTMLElement}
 */
export function progressBar(run) {
  const total = run.epochs_total ?? 0;
  const steps = total * (run.steps_per_epoch ?? 0);
  const share = steps > 0 ? run.step / steps : total > 0 ? run.epochs_done / total : 0;
  return element("progress", { max: 1, value: Math.min(share, 1), "aria-label": `progress of ${run.id}` });
}
