// Numbers as text, and the ticks of axes.
const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const power = e => `10${e < 0 ? "⁻" : ""}${[...String(Math.abs(e))].map(c => SUPERSCRIPT[c]).join("")}`;
const minus = text => text.replace("-", "−");

function digits(value, count = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) {
    const [mantissa, e] = value.toExponential(count - 1).split("e");
    return `${minus(mantissa)}·${power(Number(e))}`;
  }
  return minus(size >= 10 ** count ? String(Math.round(value)) : String(+value.toPrecision(count)));
}
/** The value to the digits that its error leaves, and the error with two. */
function withError(value, error) {
  if (!error || !Number.isFinite(error)) return digits(value, 4);
  const places = Math.min(12, Math.max(0, 1 - Math.floor(Math.log10(error))));
  if (Math.abs(value) >= 1e6 || (Math.abs(value) < 1e-3 && error < 1e-3)) return `${digits(value, 4)} ± ${digits(error, 2)}`;
  return error < 1e-5 * Math.abs(value) ? digits(value, 5) : `${minus(value.toFixed(places))} ± ${error.toFixed(places)}`;
}
/** An entry [value, error, what it is] of a measure, as a person would write it. */
function entryText(entry, key) {
  if (!entry) return "–";
  const [value, error, kind = ""] = entry, isShare = MEASURES[key] && MEASURES[key].share;
  const text = isShare ? `${(100 * value).toFixed(1)} %` : withError(value, error);
  const what = error && kind.includes("s") ? " (standard error)" : error && kind.includes("b") ? " (bound)" : "";
  return `${kind.includes("l") ? "≥ " : ""}${text}${what}${kind.includes("!") ? ", not converged" : ""}${kind.includes("w") ? ", as training saved it" : ""}`;
}
const plain = value => minus(String(+value.toPrecision(6)));
const tickText = value => {
  const size = Math.abs(value);
  if (size === 0) return "0";
  const e = Math.log10(size), whole = Math.round(e);
  if (Math.abs(e - whole) < 1e-9) return (value < 0 ? "−" : "") + (whole >= -3 && whole <= 4 ? String(+`1e${whole}`) : power(whole));
  return size >= 1e-3 && size < 1e5 ? plain(value) : digits(value, 2);
};
/** Powers of ten between two numbers, at most so many; within two decades 1, 2 and 5 of each. */
function logTicks([low, high], most = 6) {
  const decades = Math.log10(high / low), found = [];
  const steps = decades < 1.2 ? [1, 2, 3, 5] : decades < 2.6 ? [1, 3] : [1];
  const stride = Math.max(1, Math.ceil(decades / most));
  for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high) + 1e-9; e++) {
    if (((e % stride) + stride) % stride) continue;
    for (const m of steps) { const v = +`${m}e${e}`; if (v >= low * (1 - 1e-9) && v <= high * (1 + 1e-9)) found.push(v); }
  }
  return found.length > 1 ? found : V.scaleLinear([low, high], [0, 1]).ticks(3);
}
const finite = values => values.filter(v => v !== null && v !== undefined && Number.isFinite(v));
function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) if (v !== null && Number.isFinite(v)) { if (v < low) low = v; if (v > high) high = v; }
  return low <= high ? [low, high] : null;
}
/** Whether an axis of these is logarithmic: all are positive and they span more than a factor. */
function isWide(values, factor = 20) {
  const found = extent(values);
  return Boolean(found && found[0] > 0 && found[1] > factor * found[0]);
}
/** A scale for an axis with a margin; logarithmic where asked and possible. */
function scaleFor(values, range, isLog, margin = 0.06) {
  const found = extent(isLog ? values.filter(v => v > 0) : values) || (isLog ? [0.1, 1] : [0, 1]);
  let [low, high] = found;
  if (isLog) {
    const pad = Math.max(margin * Math.log10(high / low), 0.03);
    return V.scaleLog([low / 10 ** pad, high * 10 ** pad], range);
  }
  const pad = high > low ? margin * (high - low) : Math.abs(high) * 0.01 || 1;
  return V.scaleLinear([low - pad, high + pad], range);
}
const ticksOf = (scale, isLog, count = 5) => isLog ? logTicks(scale.domain(), count) : scale.ticks(count);
