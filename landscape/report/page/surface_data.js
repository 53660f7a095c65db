// The planes around runs: which is shown, the loss between its points, and the common scale of heights.
const STAGE = { plane: null, seeds: "first", height: "log", page: 0 };
const MOST_PANELS = 12;
const PLANE_WORDS = { plane: "random directions", plane_eigen: "u₁ and u₂", plane_pca: "the path of training" };
const planeNames = () => {
  const names = new Set(RUNS.flatMap(run => run.checkpoints.flatMap(c => Object.keys(c.planes || {}))));
  return [...names].sort((a, b) => Object.keys(PLANE_WORDS).indexOf(a) - Object.keys(PLANE_WORDS).indexOf(b));
};
const planeCheckpoint = run => nearest(run, c => c.planes && c.planes[STAGE.plane]);
function planeOf(run) { const c = planeCheckpoint(run); return c && c.planes[STAGE.plane]; }
const everyPlane = (group = null) => RUNS.filter(run => group === null || run.group === group).flatMap(run => run.checkpoints.map(c => c.planes && c.planes[STAGE.plane]).filter(Boolean));
/** Of what a height can be a logarithm: where the loss of every plane is positive, and spans a factor of 30. */
const canBeLog = () => everyPlane().every(p => finite(p.loss).every(v => v > 0)) && everyPlane().some(p => isWide(p.loss, 30));

const stageRuns = () => {
  const runs = shown().filter(planeOf);
  if (STAGE.seeds === "all") return runs;
  const first = new Map();
  for (const run of runs) if (!first.has(run.group) || run.index === STATE.focus) first.set(run.group, run);
  return [...first.values()];
};

const SCALES = new Map();
/** The scale of heights and shades, of all surfaces or of those of a group, whatever else is chosen: {low, high} in
 * log₁₀ of the loss, or in the loss. It is that of all steps, so that a surface moves and not its axis. */
function heightScale(group) {  // asked for by every frame and every move of a pointer
  const of = STATE.ownScale ? group : null, key = `${STAGE.plane} ${STAGE.height} ${of}`;
  if (!SCALES.has(key)) SCALES.set(key, scaleOfPlanes(everyPlane(of)));
  return SCALES.get(key);
}
function scaleOfPlanes(planes) {
  const losses = planes.map(p => extent(p.loss));
  const low = Math.min(...losses.map(e => e[0])), high = Math.max(...losses.map(e => e[1]));
  if (STAGE.height !== "linear" && canBeLog()) {
    return { isLog: true, low: Math.floor(2 * Math.log10(low)) / 2, high: Math.ceil(2 * Math.log10(high) - 0.3) / 2 };
  }
  // The lowest of the highest: above it a bowl leaves the picture, below it all bowls are seen whole.
  const cut = Math.min(...losses.map(e => e[1]));
  return { isLog: false, low: Math.min(low, 0), high: cut > low ? cut : high, cut: cut < high };
}
const HEIGHT = 1.42, FLOOR = -0.8;
const heightOf = (value, scale) => (Math.min(Math.max(value, scale.low), scale.high) - scale.low) / (scale.high - scale.low) * HEIGHT + FLOOR;

/** Ticks of such a scale: the place on it, and the loss in words. */
function scaleTicks({ isLog, low, high }) {
  if (!isLog) return V.scaleLinear([low, high], [0, 1]).ticks(5).map(v => [v, tickText(v)]);
  const first = Math.ceil(low - 1e-9), whole = Array.from({ length: Math.floor(high + 1e-9) - first + 1 }, (_, i) => [first + i, tickText(10 ** (first + i))]);
  return whole.length > 1 ? whole : logTicks([10 ** low, 10 ** high]).map(v => [Math.log10(v), tickText(v)]);
}

const GRIDS = new WeakMap();
/** The values that are interpolated: log₁₀ of the loss, or the loss. */
function gridOf(plane, isLog) {
  const known = GRIDS.get(plane) || {};
  if (!known[isLog]) { known[isLog] = plane.loss.map(v => v === null ? NaN : isLog ? Math.log10(v) : v); GRIDS.set(plane, known); }
  return known[isLog];
}
const cubic = (a, b, c, d, t) => b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
/** The value at (u, v) in [−1, 1]², bicubic (Catmull and Rom) between the points; NaN beside a gap. */
function valueOn(plane, grid, u, v) {
  const { columns, rows } = plane, mx = columns - 1, my = rows - 1;
  const x = Math.min(mx - 1e-9, Math.max(0, (u + 1) / 2 * mx)), y = Math.min(my - 1e-9, Math.max(0, (v + 1) / 2 * my));
  const i = Math.floor(x), j = Math.floor(y), s = x - i, t = y - j;
  const point = (a, b) => grid[Math.min(my, Math.max(0, b)) * columns + Math.min(mx, Math.max(0, a))];
  if (Number.isNaN(point(i, j) + point(i + 1, j) + point(i, j + 1) + point(i + 1, j + 1))) return NaN;
  const known = (a, b, or) => { const p = point(a, b); return Number.isNaN(p) ? or : p; };
  const row = b => cubic(known(i - 1, b, known(i, b, point(i, j))), known(i, b, point(i, j)), known(i + 1, b, point(i + 1, j)), known(i + 2, b, known(i + 1, b, point(i + 1, j))), s);
  return cubic(row(j - 1), row(j), row(j + 1), row(j + 2), t);
}
/** A plane through the path of a training is shown whole, another within its largest circle. */
const isDisc = plane => !plane.paths;
/** Half the side of a square, whose corners reach farther than the disc of radius 1. */
const SQUARE = 0.86;
const sizeOf = plane => isDisc(plane) ? 1 : SQUARE;
const toPlane = (plane, u, v) => [plane.x[0] + (u + 1) / 2 * (plane.x[1] - plane.x[0]), plane.y[0] + (v + 1) / 2 * (plane.y[1] - plane.y[0])];
const fromPlane = (plane, x, y) => [2 * (x - plane.x[0]) / (plane.x[1] - plane.x[0]) - 1, 2 * (y - plane.y[0]) / (plane.y[1] - plane.y[0]) - 1];

/** What must be known of these pictures: [text, whether it may mislead most]. */
function stamps(runs) {
  const planes = runs.map(planeOf), scales = runs.map(run => heightScale(run.group)), found = [], counts = new Set(DATA.parameters);
  if (counts.size) found.push([`2 of ${[...counts].map(n => n.toLocaleString("en")).join(" or ")} directions`, true]);
  const losses = runs.map(run => valueAt(planeCheckpoint(run), "train_loss")).filter(v => v > 0), fold = losses.length > 1 ? Math.max(...losses) / Math.min(...losses) : 1;
  if (losses.length > 1) found.push([fold < 1.1 ? "training losses alike" : `training losses differ ${digits(fold, 2)}-fold`, fold >= 1.1]);
  for (const [run, plane] of runs.map((run, i) => [run, planes[i]])) if (plane.share) found.push([`${runs.length > 1 ? `${nameOf(run)}: ` : ""}this plane holds ${Math.round(100 * plane.share)} % of the path`, plane.share < 0.9]);
  const away = runs.filter(run => planeCheckpoint(run).step !== at(run).step);
  if (away.length) found.push([`surfaces of step ${[...new Set(away.map(run => planeCheckpoint(run).step))].join(", ")}: none at the chosen step`, true]);
  const cuts = new Set(scales.filter(scale => scale.cut).map(scale => digits(scale.high)));
  if (STATE.ownScale && new Set(runs.map(run => run.group)).size > 1) found.push([`a scale for each ${DATA.word}: neither heights nor shades compare`, true]);
  found.push([scales[0].isLog ? "log height: depth is loss, not curvature" : cuts.size ? `loss cut at ${[...cuts].join(", ")}` : "linear height", false]);
  const grids = new Set(planes.map(p => `${p.measured[0]} × ${p.measured[1]}`)), read = planes.some(p => p.read || p.columns < p.measured[0]);
  found.push([`${[...grids].join(", ")} losses, ${read ? "thinned and " : ""}smoothed`, false]);
  const error = Math.max(0, ...planes.map(p => p.error_log10 || 0)), drawn = planes.find(p => p.drawn);
  if (error) found.push([`error of the plane: up to ${digits(error, 2)} of log₁₀ loss`, error > 0.05]);
  if (drawn) found.push([`loss of ${drawn.drawn[0]} of ${drawn.drawn[1]} examples, drawn`, true]);
  const odd = runs.filter((run, i) => planes[i].agrees === false);
  if (odd.length) found.push([`centre bends otherwise than the Hessian says: ${odd.map(nameOf).join(", ")}`, true]);
  if (planes.some(p => p.directions.some(d => d.includes("filter-normalised")))) found.push(["filter-normalised: 1 = as long as the weights", false]);
  const gaps = planes.reduce((sum, p) => sum + p.loss.filter(v => v === null).length, 0);
  if (gaps) found.push([`${gaps} point${gaps > 1 ? "s" : ""} not finite: gap`, true]);
  return found;
}
