/** How curves are called on the page, with what they are counted in; others keep the name that the log has. */
const CURVES = {
  loss: "loss",
  global_global: "L_gg, global with global",
  local_global: "L_lg, local with global",
  local_local: "L_ll, local with local",
  affinity_same: "affinity, one image",
  affinity_different: "affinity, two images",
  omega: "Ω",
  z_std: "standard deviation of z",
  cos_gg: "cosine, global–global",
  cos_lg: "cosine, local–global",
  cos_ll: "cosine, local–local",
  grad_norm: "norm of the gradient",
  lr: "learning rate",
  images_per_second: "images a second",
  step_ms: "time (ms), whole step",
  views_wait_ms: "time (ms), waiting for views",
  bookkeeping_ms: "time (ms), logs and checkpoints",
  views_cpu_ms: "time (ms), making views on all threads",
};

/**
 * How a curve is called.
 * @param {string} name
 * @returns {string}
 */
export function curveName(name) {
  return CURVES[name] ?? name;
}

/**
 * How a curve is called among its like, in a chart whose title says what they have in common.
 * @param {string} name
 * @returns {string}
 */
export function shortName(name) {
  return curveName(name).replace(/^[^,]*, /, "");
}

const whole = new Intl.NumberFormat("en-GB");

/**
 * A count with its thousands parted.
 * @param {number} count
 * @returns {string}
 */
export function grouped(count) {
  return whole.format(Math.round(count));
}

/**
 * A number with a few digits; a dash where there is none.
 * @param {number | null | undefined} value
 * @returns {string}
 */
export function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : value.toPrecision(4);
  return text.replace("-", "−");
}

/**
 * A share from 0 to 1 in percent.
 * @param {number | null | undefined} share
 * @returns {string}
 */
export function percent(share) {
  return share === null || share === undefined ? "–" : `${(100 * share).toFixed(2)} %`;
}

/**
 * An interval of shares in percent.
 * @param {[number, number]} interval
 * @returns {string}
 */
export function interval([low, high]) {
  return `${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)}`;
}

/**
 * A duration in its two largest units.
 * @param {number} seconds
 * @returns {string}
 */
export function duration(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/**
 * How long ago a time was.
 * @param {number | null} time Seconds since 1970.
 * @returns {string}
 */
export function ago(time) {
  if (time === null) return "–";
  const seconds = Date.now() / 1000 - time;
  return seconds < 10 ? "just now" : `${duration(seconds)} ago`;
}

/**
 * What a run is of, in one line.
 * @param {import("./data.js").Run} run
 * @returns {string}
 */
export function kindOf(run) {
  const framework = run.framework === null ? null : run.framework + (run.logo ? " + LoGo" : "");
  return [run.dataset, framework].filter((word) => word !== null).join(" · ") || "settings unknown";
}

/**
 * How many epochs of how many are done.
 * @param {import("./data.js").Run} run
 * @returns {string}
 */
export function epochs(run) {
  return `${grouped(run.epochs_done)} of ${run.epochs_total === null ? "?" : grouped(run.epochs_total)}`;
}
