// Spectra as ridges over one axis, linear near zero and logarithmic beyond; minima as ellipses of their two sharpest
// directions.
const MOST_RIDGES = 24;
const AXIS = DATA.axis;
const toAxis = value => Math.asinh(value / AXIS.turn);

function eigenvalueTip(run, step, entry) {
  return `${run.name}, step ${step}\nλ = ${withError(entry[0], entry[1])}${entry[2] ? "" : "\nnot converged"}`;
}
/** Ticks in λ: zero, and powers of ten on both sides of it. */
function spectrumTicks(f, u) {
  const ends = [AXIS.low, AXIS.high].map(v => AXIS.turn * Math.sinh(v)), found = [0];
  for (const sign of [1, -1]) {
    const most = sign > 0 ? ends[1] : -ends[0];
    for (let e = Math.ceil(Math.log10(AXIS.turn)); 10 ** e <= most; e++) found.push(sign * 10 ** e);
  }
  return found.sort((a, b) => a - b).filter(v => u(toAxis(v)) >= f.left - 1 && u(toAxis(v)) <= f.right + 1);
}

function ridge(f, u, run, base, height, top) {
  const c = at(run), density = c.density, eigen = c.eigenvalues || [];
  const tip = `${run.name}, step ${c.step}\n${entryText(c.values.lambda_max, "lambda_max") !== "–" ? `λ_max ${entryText(c.values.lambda_max, "lambda_max")}` : ""}${density ? "" : "\nno density at this step"}`;
  const group = ofRun(svg("g"), run, tip);
  if (density) {
    const count = density.counts.length - 1;
    const points = density.counts.map((n, i) => [AXIS.low + (AXIS.high - AXIS.low) * i / count, Math.log10(1 + n) / top]);
    group.append(
      svg("path", { d: V.area().x(p => u(p[0])).y0(base).y1(p => base - height * p[1])(points), fill: colorOf(run), opacity: 0.17 }),
      svg("path", { d: V.line().defined(p => p[1] > 0.012).x(p => u(p[0])).y(p => base - height * p[1])(points), fill: "none", stroke: colorOf(run), "stroke-width": 1.5, "stroke-dasharray": dashOf(run) }));
  }
  for (const entry of eigen) {
    const x = u(toAxis(entry[0])), [a, b] = [entry[0] - entry[1], entry[0] + entry[1]].map(v => u(toAxis(v)));
    const stick = svg("g", { "data-tip": eigenvalueTip(run, c.step, entry) },
      svg("line", { x1: x, x2: x, y1: base, y2: base - 18, stroke: colorOf(run), "stroke-width": 1.4 }),
      svg("circle", { cx: x, cy: base - 18, r: 2.7, fill: entry[2] ? colorOf(run) : "var(--paper)", stroke: colorOf(run), "stroke-width": 1.2 }));
    if (b - a > 5) stick.append(svg("line", { x1: a, x2: b, y1: base - 18, y2: base - 18, stroke: "var(--ink)", "stroke-width": 1.3 }));
    stick.append(svg("rect", { x: x - 7, y: base - 24, width: 14, height: 26, fill: "transparent" }));
    group.append(stick);
  }
  const label = words(0, base - 4, nameOf(run), "lab");
  group.append(svg("line", { x1: f.left, x2: f.right, y1: base, y2: base, class: "axis" }), label);
  f.node.append(group);
}

FIGURES.spectrum = {
  has: () => Boolean(AXIS) && RUNS.some(run => run.checkpoints.some(c => c.density || c.eigenvalues)),
  draw(section) {
    const all = shown().filter(run => at(run).density || at(run).eigenvalues), runs = all.slice(0, MOST_RIDGES), host = $(".plot", section);
    $(".more", section).textContent = all.length > runs.length ? `The first ${runs.length} of ${all.length} runs; choose fewer above.` : "";
    if (!runs.length) return nothing(host, "No run of this choice has a spectrum at this step.");
    const row = runs.length > 12 ? 36 : Math.max(46, Math.min(72, Math.round(420 / runs.length))), left = roomFor(runs.map(nameOf), 140) - 8;
    const f = frame(host, 40 + row * runs.length + 46, { left, right: 12, top: 40, bottom: 46 },
      `Spectra: ${runs.map(run => `${run.name} largest eigenvalue ${digits(valueAt(at(run), "lambda_max"))}`).join("; ")}`);
    const u = V.scaleLinear([AXIS.low, AXIS.high], [f.left, f.right]);
    const ticks = spectrumTicks(f, u);
    const scale = value => u(toAxis(value));
    ticks.sort((a, b) => (b === 0) - (a === 0) || Math.abs(b) - Math.abs(a));
    const free = [];  // zero first, then the largest: near zero ticks crowd
    for (const v of ticks) if (free.every(w => Math.abs(scale(w) - scale(v)) > 40)) free.push(v);
    axisX(f, scale, free.sort((a, b) => a - b), tickText, f.width < NARROW ? "eigenvalue λ (asinh axis)" : "eigenvalue λ; the axis is linear near 0 and logarithmic beyond");
    const most = Math.max(0, ...RUNS.flatMap(run => run.checkpoints.map(c => c.density ? Math.max(...c.density.counts) : 0)));
    const top = Math.log10(1 + most) || 1;
    runs.forEach((run, i) => ridge(f, u, run, f.top + row * (i + 1) - 8, row * 1.2, top));
  },
  rows: () => [
    ["run", "step", "kind", "eigenvalue", "bound or count per unit of the axis", "converged"],
    ...shown().flatMap(run => {
      const c = at(run), n = c.density ? c.density.counts.length - 1 : 0;
      return [
        ...(c.eigenvalues || []).map(e => [run.name, c.step, "eigenvalue", e[0], e[1], e[2]]),
        ...(c.density ? c.density.counts.map((v, i) => [run.name, c.step, "density", AXIS.turn * Math.sinh(AXIS.low + (AXIS.high - AXIS.low) * i / n), v, null]) : []),
      ];
    }),
  ],
};

/** λ₁ and λ₂ of a run, where both are positive. */
function twoSharpest(run) {
  const c = nearest(run, q => q.eigenvalues && q.eigenvalues.length > 1);
  if (!c) return null;
  const [a, b] = c.eigenvalues.map(e => e[0]).sort((x, y) => y - x);
  return b > 0 ? { step: c.step, first: a, second: b } : null;
}

FIGURES.ellipses = {
  has: () => RUNS.some(twoSharpest),
  draw(section) {
    const runs = shown().map(run => [run, twoSharpest(run)]).filter(([, found]) => found), host = $(".plot", section);
    if (!runs.length) return nothing(host, "No run of this choice has two positive eigenvalues.");
    const wide = Math.max(...RUNS.map(twoSharpest).filter(Boolean).map(q => 1 / Math.sqrt(q.second)));
    const tall = Math.max(...RUNS.map(twoSharpest).filter(Boolean).map(q => 1 / Math.sqrt(q.first)));
    const width = host.clientWidth || 320, unit = Math.min((width / 2 - 24) / wide, 130 / tall);
    const height = Math.max(120, 2 * tall * unit + 20);
    const f = frame(host, height + 46, { left: 4, right: 4, top: 10, bottom: 46 }, `Ellipses: ${runs.map(([run, q]) => `${run.name} half axes ${digits(1 / Math.sqrt(q.second))} and ${digits(1 / Math.sqrt(q.first))}`).join("; ")}`);
    const cx = f.width / 2, cy = (f.top + f.bottom) / 2;
    const x = V.scaleLinear([-(cx - 8) / unit, (cx - 8) / unit], [8, f.width - 8]);
    axisX(f, x, x.ticks(5), tickText, "distance along u₂; upwards, in the same unit, along u₁");
    for (const [run, q] of runs) {
      const tip = `${run.name}, step ${q.step}\nhalf axes ${digits(1 / Math.sqrt(q.second))} along u₂ (λ₂ ${digits(q.second)})\nand ${digits(1 / Math.sqrt(q.first))} along u₁ (λ₁ ${digits(q.first)})`;
      f.node.append(ofRun(svg("ellipse", { cx, cy, rx: unit / Math.sqrt(q.second), ry: unit / Math.sqrt(q.first), fill: "none", "pointer-events": "stroke", stroke: colorOf(run), "stroke-width": 1.8, "stroke-dasharray": dashOf(run) }), run, tip));
    }
    f.node.append(svg("circle", { cx, cy, r: 2, fill: "var(--ink2)" }));
  },
  rows: () => [["run", "step", "λ₁", "λ₂", "half axis along u₁", "half axis along u₂"], ...shown().map(run => [run, twoSharpest(run)]).filter(([, q]) => q).map(([run, q]) => [run.name, q.step, q.first, q.second, 1 / Math.sqrt(q.first), 1 / Math.sqrt(q.second)])],
};
