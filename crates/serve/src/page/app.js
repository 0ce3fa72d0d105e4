import { CompareView } from "./compare.js";
import { Absent, Source } from "./data.js";
import { element } from "./elements.js";
import { ListView } from "./list.js";
import { RunView } from "./run.js";

/** Milliseconds between two looks while something runs. */
const WHILE_RUNNING = 2000;

/** Milliseconds between two looks while nothing runs; a run may begin. */
const WHILE_QUIET = 15000;

/**
 * What is shown at an address.
 * @typedef {object} View
 * @property {string} title
 * @property {HTMLElement} element
 * @property {() => Promise<boolean>} refresh Asks the server what is new and shows it; whether something is running.
 */

const main = document.getElementById("main");
const connection = document.getElementById("connection");

/** @type {View | null} */
let view = null;
let timer = 0;
/** Runs that are chosen in the list stay so while others are looked at. */
const chosen = new Set();

/**
 * The view of an address behind the #: `/`, `/run/ID`, `/compare/ID,ID?curves=a,b&x=steps`. An ID is percent-encoded.
 * @param {string} hash
 * @returns {View}
 */
function viewOf(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [kind, rest = ""] = path.split("/");
  const parameters = new URLSearchParams(query);
  if (kind === "run") return new RunView(decodeURIComponent(rest));
  if (kind === "compare") {
    const runs = rest
      .split(",")
      .filter((id) => id !== "")
      .map(decodeURIComponent);
    return new CompareView(runs, parameters);
  }
  return new ListView(parameters, chosen);
}

/** Shows what the address says. */
function navigate() {
  const first = view === null;
  try {
    view = viewOf(location.hash);
  } catch {
    // An address that is not well encoded is none.
    location.replace("#/");
    return;
  }
  document.title = `${view.title} · logo-ssl`;
  main.replaceChildren(view.element);
  window.scrollTo(0, 0);
  // Who navigates by keys or by ear begins at the new content.
  if (!first) main.focus({ preventScroll: true });
  refresh();
}

/** Asks what is new, and again after a while. */
async function refresh() {
  clearTimeout(timer);
  const asked = view;
  let running = true;
  try {
    running = await asked.refresh();
    connection.textContent = "";
  } catch (error) {
    if (asked === view) tell(error);
  }
  if (asked !== view) return;
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, running ? WHILE_RUNNING : WHILE_QUIET);
}

/**
 * Says what went wrong.
 * @param {Error} error
 */
function tell(error) {
  if (error instanceof Absent) {
    const back = element("a", { href: "#/" }, "all runs");
    view.element.replaceChildren(element("p", { class: "banner" }, `${error.message}. Go to `, back, "."));
  } else if (error instanceof TypeError) {
    connection.textContent = "The server does not answer. What is shown is as it was.";
  } else {
    connection.textContent = error.message;
  }
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", navigate);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});
navigate();
new Source("/api/runs").get().then(
  ({ folder }) => (document.getElementById("folder").textContent = folder),
  // The view says it where the server does not answer.
  () => {},
);
