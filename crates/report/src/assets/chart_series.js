/** How many rows the table of a chart has at most; its ends are always among them. */
const TABLE_ROWS = 25;

/**
 * One curve of a chart.
 * @typedef {object} Series
 * @property {string} name It tells the curve from the others, and stands in the legend.
 * @property {[number, number | null][]} points The curve as (x, y), x ascending; a y of null is a gap.
 * @property {[number, number | null, number | null][]} [band] The band around it as (x, low, high), x ascending.
 */

/**
 * The index of the entry whose x is nearest.
 * @template Entry
 * @param {Entry[]} entries Not empty, x ascending.
 * @param {number} x
 * @param {(entry: Entry) => number} [xOf] The x of an entry; its first part where nothing else is said.
 * @returns {number}
 */
function nearestIndex(entries, x, xOf = ([first]) => first) {
  let [low, high] = [0, entries.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xOf(entries[middle]) < x) low = middle + 1;
    else high = middle;
  }
  const before = Math.max(0, low - 1);
  return x - xOf(entries[before]) < xOf(entries[low]) - x ? before : low;
}

/**
 * What a curve is at x: its nearest point, with its band where there is one. A curve is nothing before its first and
 * behind its last point.
 * @param {Series} series
 * @param {number} x
 * @returns {{ y: number | null, low?: number | null, high?: number | null } | null}
 */
function valueAt({ points, band }, x) {
  if (points.length === 0 || x < points[0][0] || x > points[points.length - 1][0]) return null;
  const [at, y] = points[nearestIndex(points, x)];
  if (!band || band.length === 0) return { y };
  const [bandAt, low, high] = band[nearestIndex(band, at)];
  return bandAt === at ? { y, low, high } : { y };
}

/**
 * All places at which any of the curves has a point, ascending, each once.
 * @param {Series[]} series
 * @param {[number, number]} range Places outside of it are left out.
 * @returns {number[]}
 */
function placesOf(series, [from, to]) {
  const places = new Set();
  for (const { points } of series) {
    for (const [x] of points) if (from <= x && x <= to) places.add(x);
  }
  return [...places].sort((a, b) => a - b);
}

/**
 * The lowest and the highest x of all points.
 * @param {Series[]} series
 * @returns {[number, number] | null} Nothing where there are no points.
 */
function extentOfX(series) {
  const filled = series.filter(({ points }) => points.length > 0);
  if (filled.length === 0) return null;
  const low = Math.min(...filled.map(({ points }) => points[0][0]));
  const high = Math.max(...filled.map(({ points }) => points[points.length - 1][0]));
  return low < high ? [low, high] : [low - 0.5, high + 0.5];
}

/**
 * Whether the x of all points are whole numbers, as those of steps and epochs are.
 * @param {Series[]} series
 * @returns {boolean}
 */
function isCounted(series) {
  return series.every(({ points }) => points.every(([x]) => Number.isInteger(x)));
}

/**
 * The lowest and the highest of what is drawn between two x, bands included.
 * @param {Series[]} series
 * @param {[number, number]} range
 * @param {boolean} positive Whether only values above 0 count, as on a logarithmic axis.
 * @returns {[number, number] | null} Nothing where nothing is drawn.
 */
function extentOfY(series, [from, to], positive) {
  let [low, high] = [Infinity, -Infinity];
  for (const { points, band = [] } of series) {
    for (const [x, ...values] of [...points, ...band]) {
      if (x < from || x > to) continue;
      for (const value of values) {
        if (!isNumber(value) || (positive && value <= 0)) continue;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    }
  }
  return low <= high ? [low, high] : null;
}

/**
 * How many points a logarithmic axis cannot show.
 * @param {Series[]} series
 * @returns {number}
 */
function countOfNotPositive(series) {
  const isLost = ([, y]) => isNumber(y) && y <= 0;
  return series.reduce((sum, { points }) => sum + points.filter(isLost).length, 0);
}

/**
 * The curves in words, for who does not see them: where each begins and ends, and its extremes.
 * @param {{ title: string, xLabel: string, yLabel: string, series: Series[] }} spec
 * @returns {string}
 */
function summaryOf({ title, xLabel, yLabel, series }) {
  const unit = unitOf(yLabel);
  const sentences = series.map(({ name, points, band }) => {
    const known = points.filter(([, y]) => isNumber(y));
    if (known.length === 0) return `${name}: no values.`;
    const [first, last] = [known[0], known[known.length - 1]];
    const [low, high] = extentOfY([{ name, points, band }], [first[0], last[0]], false);
    const ends = `${written(first[1])}${unit} at ${written(first[0])}, ${written(last[1])}${unit} at ${written(last[0])}`;
    return `${name}: ${ends}; between ${written(low)} and ${written(high)}${unit}.`;
  });
  return [`${title}. ${yLabel} over ${xLabel}.`, ...sentences].join(" ");
}

/**
 * The rows of a chart's table: some of all places, the first and the last among them, with every curve's value there.
 * @param {Series[]} series
 * @returns {{ x: number, values: (number | null)[] }[]}
 */
function tableRows(series) {
  const places = placesOf(series, [-Infinity, Infinity]);
  const count = Math.min(TABLE_ROWS, places.length);
  const chosen = Array.from({ length: count }, (_, i) => {
    return places[Math.round((i * (places.length - 1)) / Math.max(1, count - 1))];
  });
  return chosen.map((x) => ({ x, values: series.map((one) => valueAt(one, x)?.y ?? null) }));
}
