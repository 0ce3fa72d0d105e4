/**
 * One run, as `/api/runs` has it. The documentation of the crate logo-ssl-serve says what is what.
 * @typedef {object} Run
 * @property {string} id
 * @property {string | null} preset
 * @property {string | null} dataset
 * @property {string | null} framework
 * @property {boolean | null} logo
 * @property {number | null} seed
 * @property {number | null} images
 * @property {"running" | "finished" | "stale"} state
 * @property {number | null} written
 * @property {number} epochs_done
 * @property {number | null} epochs_total
 * @property {number} step
 * @property {number | null} steps_per_epoch
 * @property {number} read
 * @property {Record<string, number | null>} latest
 * @property {Evaluation | null} knn
 * @property {{ images_per_second: number, step_ms: number, left_seconds: number | null } | null} speed
 * @property {{ name: string, level: "good" | "warning" | "bad", says: string }[]} lights
 * @property {string | null} problem
 * @property {boolean} preview
 * @property {boolean} report
 */

/**
 * One evaluation.
 * @typedef {object} Evaluation
 * @property {string} evaluation
 * @property {number} epoch
 * @property {"trained" | "untrained" | "pixels"} source
 * @property {number} train_images
 * @property {number} test_images
 * @property {{ k: number, weighted: boolean, top1: number, top1_interval: [number, number], top5: number }[]} results
 * @property {Record<string, number | null | { value: number, low: number, high: number }> | null} scores
 */

/**
 * A curve as the server thinned it.
 * @typedef {object} Curve
 * @property {number} width
 * @property {number} gaps
 * @property {number[]} steps
 * @property {(number | null)[]} mean
 * @property {(number | null)[]} low
 * @property {(number | null)[]} high
 */

/** What the server does not have. */
export class Absent extends Error {}

/** Something on the server that is asked for again and again. */
export class Source {
  /** @param {string} address */
  constructor(address) {
    this.address = address;
    this.tag = null;
    /** What the server said last; undefined before it said anything. */
    this.value = undefined;
  }

  /**
   * Asks again.
   * @returns {Promise<any>} What the server says, the same object as before where nothing is new.
   * @throws {Absent} Where there is no such thing any more.
   */
  async get() {
    const headers = this.tag === null ? {} : { "If-None-Match": this.tag };
    const response = await fetch(this.address, { cache: "no-store", headers });
    if (response.status === 404) throw new Absent((await response.text()).trim());
    if (response.status === 304) return this.value;
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    this.tag = response.headers.get("ETag");
    this.value = await response.json();
    return this.value;
  }
}

/** The curves of a run, of which only what is new is asked for. */
export class CurveSource {
  /**
   * @param {string} id The run.
   * @param {string[] | null} names Those that are wanted, all where this is null.
   */
  constructor(id, names = null) {
    const of = names === null ? "" : `names=${names.map(encodeURIComponent).join(",")}&`;
    this.base = `/api/runs/${encodeURIComponent(id)}/curves?${of}since=`;
    this.generation = -1;
    /** @type {Map<string, Curve>} */
    this.curves = new Map();
    this.source = null;
  }

  /**
   * Asks for what is new.
   * @returns {Promise<Map<string, Curve>>}
   */
  async get() {
    const since = this.since();
    const address = this.base + since;
    if (this.source?.address !== address) this.source = new Source(address);
    const before = this.source.value;
    const answer = await this.source.get();
    if (answer === before) return this.curves;
    const fits = since > 0 && answer.generation === this.generation && this.join(answer.curves);
    if (!fits && since > 0) {
      this.curves = new Map();
      return this.get();
    }
    if (!fits) this.curves = new Map(Object.entries(answer.curves));
    this.generation = answer.generation;
    return this.curves;
  }

  /** The step from which on something may be new: where the last bucket of the shortest curve begins. */
  since() {
    const ends = [...this.curves.values()].map(({ steps }) => steps[steps.length - 1] ?? 0);
    return ends.length === 0 ? 0 : Math.min(...ends);
  }

  /**
   * Puts what is new behind what is there.
   * @param {Record<string, Curve>} fresh
   * @returns {boolean} Whether it fits; not where buckets have become wider, or curves have come.
   */
  join(fresh) {
    const entries = Object.entries(fresh);
    if (entries.some(([name, curve]) => this.curves.get(name)?.width !== curve.width)) return false;
    for (const [name, curve] of entries) {
      const known = this.curves.get(name);
      const end = known.steps.findIndex((step) => step >= (curve.steps[0] ?? Infinity));
      const keep = end < 0 ? known.steps.length : end;
      for (const column of ["steps", "mean", "low", "high"]) {
        known[column] = known[column].slice(0, keep).concat(curve[column]);
      }
      known.gaps = curve.gaps;
    }
    return true;
  }
}

/**
 * A curve as a chart takes it.
 * @param {string} name
 * @param {Curve | undefined} curve
 * @param {{ perUnit: number, band: boolean }} how Steps in one unit of the x axis, and whether the least and the greatest value
 *   are shown where steps share a bucket.
 */
export function seriesOf(name, curve, { perUnit, band }) {
  if (curve === undefined) return { name, points: [] };
  const at = curve.steps.map((step) => (step + (curve.width - 1) / 2) / perUnit);
  const points = at.map((x, index) => [x, curve.mean[index]]);
  const wide = band && curve.width > 1;
  return { name, points, band: wide ? at.map((x, index) => [x, curve.low[index], curve.high[index]]) : undefined };
}
