/** How many digits a written value has that is no whole number. */
const SIGNIFICANT_DIGITS = 4;

/**
 * Tells whether a value can be drawn; gaps are null, and NaN or an infinity is no place on an axis.
 * @param {unknown} value
 * @returns {boolean}
 */
function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/**
 * Writes a number for people: grouped thousands, a typographic minus, an exponent where it is very small or very large.
 * @param {number | null | undefined} value
 * @returns {string} The number, or a dash where there is none.
 */
function written(value) {
  if (!isNumber(value)) return "–";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e15) return minus(value.toLocaleString("en"));
  if (size < 1e-3 || size >= 1e7) return minus(value.toExponential(SIGNIFICANT_DIGITS - 2));
  return minus(value.toLocaleString("en", { maximumSignificantDigits: SIGNIFICANT_DIGITS }));
}

/**
 * Writes the number at a tick with as many decimals as all its neighbours have.
 * @param {number} value
 * @param {number} step The distance between two ticks.
 * @returns {string}
 */
function writtenTick(value, step) {
  const decimals = Math.max(0, -Math.floor(Math.log10(step * 1.001)));
  if (decimals > 4 || Math.abs(value) >= 1e7) return value === 0 ? "0" : minus(value.toExponential(1));
  return minus(value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));
}

/** A hyphen is shorter than a digit is wide, a minus is not. */
function minus(text) {
  return text.replace(/-/g, "\u2212");
}

/**
 * The unit that a label names at its end in brackets, such as the percent sign of "accuracy (%)".
 * @param {string} label
 * @returns {string} The unit with a space before it, or nothing.
 */
function unitOf(label) {
  const unit = /\(([^()]+)\)$/.exec(label);
  return unit ? `\u00a0${unit[1]}` : "";
}

/**
 * The range of an axis with some air around the values, so that no curve lies on the frame.
 * @param {number[]} range The lowest and the highest value, on a logarithmic axis both above 0.
 * @param {boolean} logarithmic
 * @returns {[number, number]}
 */
function withAir([low, high], logarithmic) {
  if (logarithmic) {
    const factor = high > low ? (high / low) ** 0.05 : 2;
    return [low / factor, high * factor];
  }
  const air = high > low ? 0.06 * (high - low) : 0.1 * (Math.abs(low) || 1);
  return [low - air, high + air];
}

/**
 * A scale turns values into places along an axis and back, and knows where its ticks are.
 * @typedef {object} Scale
 * @property {(value: number) => number} place Pixels from the start of the axis.
 * @property {(place: number) => number} value The value at so many pixels.
 * @property {(count: number) => { value: number, text: string }[]} ticks About so many round values with how they are written.
 */

/**
 * A scale on which equal differences are equally long.
 * @param {[number, number]} range The values at the two ends, the lower first.
 * @param {[number, number]} pixels The places of the two ends.
 * @param {number} [leastStep] How far apart ticks are at least, which is 1 where only whole numbers make sense.
 * @returns {Scale}
 */
function linearScale([low, high], [from, to], leastStep = 0) {
  return {
    place: (value) => from + ((value - low) / (high - low)) * (to - from),
    value: (place) => low + ((place - from) / (to - from)) * (high - low),
    ticks: (count) => {
      const step = Math.max(roundStep((high - low) / count), leastStep);
      // A hair of slack, so that rounding does not cost the tick at either end.
      const first = Math.ceil(low / step - 1e-9);
      const last = Math.floor(high / step + 1e-9);
      const values = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
      return values.map((value) => ({ value, text: writtenTick(value, step) }));
    },
  };
}

/**
 * A scale on which equal ratios are equally long; both ends of its range are above 0.
 * @param {[number, number]} range
 * @param {[number, number]} pixels
 * @returns {Scale}
 */
function logarithmicScale([low, high], pixels) {
  const exponents = linearScale([Math.log10(low), Math.log10(high)], pixels);
  return {
    place: (value) => exponents.place(Math.log10(value)),
    value: (place) => 10 ** exponents.value(place),
    ticks: (count) => {
      const decades = Math.log10(high / low);
      if (decades < 1) return linearScale([low, high], pixels).ticks(count);
      const every = Math.ceil(decades / count);
      const factors = decades < 3 ? [1, 2, 5] : [1];
      const ticks = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
        if (power % every !== 0) continue;
        ticks.push(...factors.map((factor) => factor * 10 ** power));
      }
      const shown = ticks.filter((value) => low <= value && value <= high);
      return shown.map((value) => ({ value, text: written(value) }));
    },
  };
}

/** The round number of 1, 2 or 5 times a power of ten that is nearest to a step. */
function roundStep(step) {
  const power = 10 ** Math.floor(Math.log10(step));
  const factor = [1.5, 3.5, 7.5].findIndex((limit) => step / power < limit);
  return power * [10, 1, 2, 5][factor + 1];
}
