// What was measured along the training, a panel for each measure; the curvature that decides for each optimizer beside
// the value at which a quadratic becomes unstable.
const PANELS = ["train_loss", "test_loss", "test_accuracy", "train_accuracy", "grad_norm", "lambda_max", "spectral_ratio", "lambda_min", "trace",
  "critical_sharpness", "batch_sharpness", "directional_sharpness", "stability_ratio", "noise_scale", "gradient_share", "update_share", "distance_from_start", "distance_from_end"];
const TRAINING = { fromEnd: false };
const MOST_MARKS = 30;
const hasSteps = key => RUNS.some(run => run.checkpoints.filter(c => valueAt(c, key) !== null).length > 1);
const hasEdge = () => RUNS.some(run => run.checkpoints.filter(c => c.edge).length > 1);
const stepOf = (run, c) => TRAINING.fromEnd ? c.step - run.last.step : c.step;

/** Steps that all runs of a group have: their mean (of positive values the geometric one), the lowest, the highest. */
function meanOf(runs, points) {
  const counts = new Map();
  for (const run of runs) for (const [step, value] of points(run)) counts.set(step, [...(counts.get(step) || []), value]);
  return [...counts].filter(([, values]) => values.length === runs.length).sort((a, b) => a[0] - b[0]).map(([step, values]) => {
    const isLog = values.every(v => v > 0);
    const mean = isLog ? Math.exp(values.reduce((sum, v) => sum + Math.log(v), 0) / values.length) : values.reduce((sum, v) => sum + v, 0) / values.length;
    return [step, mean, ...extent(values)];
  });
}

function trainingPanel(host, title, unit, points, thresholds, tipOf) {
  const plot = html("div"), box = html("div", { class: "mini" }, html("h3", {}, title), html("div", { class: "unit" }, unit), plot);
  host.append(box);
  const runs = shown().filter(run => points(run).length), every = RUNS.flatMap(run => [...points(run), ...thresholds(run)]);
  if (!runs.length) return nothing(plot, "Not measured for this choice.");
  const f = frame(plot, 214, { left: 48, right: 12, top: 12, bottom: 26 }, `${title} against the step: ${runs.slice(0, 12).map(run => `${run.name} ends at ${digits(points(run).at(-1)[1])}`).join("; ")}`);
  const isLog = isWide(every.map(p => p[1])), x = scaleFor(every.map(p => p[0]), [f.left, f.right], false, 0.02), y = scaleFor(every.map(p => p[1]), [f.bottom, f.top], isLog);
  axisX(f, x, x.ticks(f.width > 260 ? 5 : 3).filter(Number.isInteger), plain);
  axisY(f, y, ticksOf(y, isLog));
  if (!TRAINING.fromEnd && STEPS.length > 1) f.node.append(svg("line", { x1: x(STATE.step), x2: x(STATE.step), y1: f.top, y2: f.bottom, class: "now" }));
  const crowded = runs.length > 12;
  const bands = [...new Set(runs.map(run => run.group))].map(group => [group, runs.filter(run => run.group === group)]).filter(([, of]) => of.length > 2)
    .map(([group, of]) => [group, meanOf(of, points)]).filter(([, mean]) => mean.length > 1);
  for (const [group, mean] of bands) f.node.append(svg("path", { d: V.area().x(p => x(p[0])).y0(p => y(p[2])).y1(p => y(p[3]))(mean), fill: `var(--g${group})`, opacity: 0.14 }));
  for (const run of runs) {
    const mine = points(run), limits = thresholds(run);
    const node = curve(mine, x, y, run, run.name, { width: bands.some(([group]) => group === run.group) ? 0.7 : 1.6, bare: runs.length > 60 });
    if (limits.length) node.append(svg("path", { d: linePath(limits, x, y), fill: "none", stroke: colorOf(run), "stroke-width": 1.2, "stroke-dasharray": "2 3", opacity: 0.9 }));
    if (!crowded) {
      mine.forEach(([step, value, c], i) => {
        const size = mine.length > MOST_MARKS ? 0.35 : mine.length > 8 ? 0.55 : 0.85, m = mark(x(step), y(value), run, isOpen(run), size);
        m.dataset.tip = tipOf(run, c);
        node.append(m);
      });
    }
    // Where the run stands at the chosen step: the same checkpoint whose spectrum and surface are shown.
    const now = mine.find(([, , c]) => c === at(run));
    if (now && !crowded && STATE.step !== LAST) node.append(svg("circle", { cx: x(now[0]), cy: y(now[1]), r: 6.5, fill: "none", stroke: "var(--ink2)", "stroke-width": 0.9, class: "here" }));
    f.node.append(node);
  }
  for (const [group, mean] of bands) f.node.append(svg("path", { d: linePath(mean, x, y), fill: "none", stroke: `var(--g${group})`, "stroke-width": 2.4 }));
  f.node.addEventListener("click", event => {
    if (TRAINING.fromEnd) return;
    const place = f.node.getBoundingClientRect(), step = x.invert((event.clientX - place.left) * f.width / place.width);
    setStep(STEPS.reduce((best, s) => Math.abs(s - step) < Math.abs(best - step) ? s : best));
  });
}

/** How far the shown runs are from their thresholds at the chosen step. */
function edgeWords() {
  const shares = extent(shown().map(at).filter(c => c.edge).map(c => c.edge.value / c.edge.threshold)), [low, high] = shares ? shares.map(v => digits(v, 2)) : [];
  return `dotted: unstable above${shares ? `; at step ${STATE.step} at ${low === high ? low : `${low} … ${high}`} of it` : ""}`;
}

FIGURES.training = {
  has: () => PANELS.some(key => MEASURES[key] && hasSteps(key)) || hasEdge(),
  setup(section) {
    $(".controls", section).append(segments("Count steps", [["start", "from the start"], ["end", "from the end"]], "start", value => { TRAINING.fromEnd = value === "end"; drawOne("training"); }));
  },
  draw(section) {
    const host = $(".plot", section);
    host.replaceChildren();
    const panel = key => {
      const unit = MEASURES[key].share ? 100 : 1;
      trainingPanel(host, MEASURES[key].title, MEASURES[key].unit || MEASURES[key].symbol,
        run => run.checkpoints.filter(c => valueAt(c, key) !== null).map(c => [stepOf(run, c), unit * valueAt(c, key), c]), () => [],
        (run, c) => `${run.name}, step ${c.step}\n${MEASURES[key].title}\n${entryText(c.values[key], key)}`);
    };
    const keys = PANELS.filter(key => MEASURES[key] && hasSteps(key));
    keys.slice(0, 1).forEach(panel);
    if (hasEdge()) {
      trainingPanel(host, "Curvature and its threshold", edgeWords(),
        run => run.checkpoints.filter(c => c.edge).map(c => [stepOf(run, c), c.edge.value, c]), run => run.checkpoints.filter(c => c.edge).map(c => [stepOf(run, c), c.edge.threshold, c]),
        (run, c) => `${run.name}, step ${c.step}\n${c.edge.measure.replaceAll("_", " ")} ${withError(c.edge.value, c.edge.error)}\nthreshold ${digits(c.edge.threshold, 4)}: ${c.edge.rule}`);
    }
    keys.slice(1).forEach(panel);
  },
  rows: () => {
    const keys = PANELS.filter(key => MEASURES[key] && hasSteps(key));
    return [["run", "step", ...keys, "deciding curvature", "threshold"], ...shown().flatMap(run => run.checkpoints.map(c => [run.name, c.step, ...keys.map(key => valueAt(c, key)), c.edge ? c.edge.value : null, c.edge ? c.edge.threshold : null]))];
  },
};
