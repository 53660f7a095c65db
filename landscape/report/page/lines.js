// The loss on lines: along a direction of each run, and between the ends of two runs.
const LINES = { name: null, isLog: null };
const lineNames = () => {
  const names = new Set(RUNS.flatMap(run => run.checkpoints.flatMap(c => Object.keys(c.lines || {}))));
  return [...names].sort((a, b) => (a.includes("eigenvector") ? 0 : 1) - (b.includes("eigenvector") ? 0 : 1) || a.localeCompare(b, undefined, { numeric: true }));
};
function lineWords(name) {
  const number = /eigenvector_(\d+)/.exec(name);
  if (number) return `along u${[...number[1]].map(c => "₀₁₂₃₄₅₆₇₈₉"[c]).join("")}`;
  return name.replace(/^line_/, "").replaceAll("_", " ");
}
const lineOf = run => { const c = nearest(run, q => q.lines && q.lines[LINES.name]); return c && { step: c.step, ...c.lines[LINES.name] }; };

FIGURES.slices = {
  has: () => lineNames().length > 0,
  setup(section) {
    const names = lineNames(), losses = RUNS.flatMap(run => run.checkpoints.flatMap(c => Object.values(c.lines || {}).flatMap(line => line.loss)));
    LINES.name = names[0];
    LINES.isLog = isWide(losses, 30);
    if (names.length > 1) {
      const choice = html("select", { "aria-label": "Direction of the slices", onchange: event => { LINES.name = event.target.value; drawOne("slices"); } });
      choice.append(...names.map(name => html("option", { value: name }, lineWords(name))));
      $(".controls", section).append(choice);
    }
    if (isWide(losses, 1)) $(".controls", section).append(segments("Scale of the loss", [["log", "log"], ["linear", "linear"]], LINES.isLog ? "log" : "linear", value => { LINES.isLog = value === "log"; drawOne("slices"); }));
  },
  draw(section) {
    const runs = shown().map(run => [run, lineOf(run)]).filter(([, line]) => line), host = $(".plot", section);
    if (!runs.length) return nothing(host, "No run of this choice has this slice.");
    const every = RUNS.map(lineOf).filter(Boolean);  // axes stay where they are when runs are chosen
    const f = frame(host, 340, { left: 46, right: roomFor(GROUPS.map(g => g.short), 96), top: 24, bottom: 46 }, `Loss ${lineWords(LINES.name)} of ${runs.map(([run, line]) => `${run.name}, lowest ${digits(Math.min(...finite(line.loss)))}`).join("; ")}`);
    const isLog = LINES.isLog && isWide(every.flatMap(line => line.loss), 1);
    const x = scaleFor(every.flatMap(line => [line.t[0], line.t.at(-1)]), [f.left, f.right], false, 0);
    const y = scaleFor(every.flatMap(line => line.loss), [f.bottom, f.top], isLog, 0.03);
    axisX(f, x, x.ticks(5), tickText, LINES.name.includes("eigenvector") ? "distance in parameter space" : "t, in lengths of the direction");
    axisY(f, y, ticksOf(y, isLog), tickText, `loss${isLog ? "" : ", linear"}`);
    for (const [run, line] of runs) {
      const middle = line.loss[line.t.reduce((best, t, i) => Math.abs(t) < Math.abs(line.t[best]) ? i : best, 0)];
      const agrees = line.agrees === false ? "\nDISAGREES with the Hessian at its centre" : "";
      const tip = `${run.name}, step ${line.step}\n${line.direction}\nloss ${digits(middle)} at the centre, dᵀHd ${digits(line.curvature, 4)}${line.error ? `\nerror of the losses ${digits(line.error, 2)}` : ""}${agrees}`;
      f.node.append(curve(line.t.map((t, i) => [t, line.loss[i]]), x, y, run, tip, { smooth: true }));
      if (middle !== null) f.node.append(ofRun(mark(x(0), y(middle), run), run, tip));
      if (STATE.focus === run.index && line.curvature !== null && middle !== null) {
        const bowl = line.t.map(t => [t, middle + line.curvature * t * t / 2]).filter(p => p[1] > 0 || !isLog);
        f.node.append(svg("path", { d: linePath(bowl.filter(p => y(p[1]) >= f.top), x, y, true), fill: "none", stroke: "var(--ink)", "stroke-width": 1.4, "stroke-dasharray": "1.5 3" }));
      }
    }
    endLabels(f, runs.map(([run]) => run), run => y(finite(lineOf(run).loss).at(-1)), f.right + 8);
  },
  rows: () => [["run", "step", "direction", "t", "loss"], ...shown().map(run => [run, lineOf(run)]).filter(([, line]) => line).flatMap(([run, line]) => line.t.map((t, i) => [run.name, line.step, line.direction, t, line.loss[i]]))],
};

const BETWEEN = { isLog: true };
const shownPairs = () => DATA.pairs.filter(pair => isShown(RUNS[pair.a]) && isShown(RUNS[pair.b]));
const pairTip = pair => `${RUNS[pair.a].name} → ${RUNS[pair.b].name}\nhighest loss ${digits(Math.max(...finite(pair.loss)))}${pair.barrier === null ? "" : `\nbarrier ≥ ${digits(pair.barrier)}`}\ndistance ${digits(pair.distance)}`;

FIGURES.between = {
  has: () => DATA.pairs.length > 0,
  setup(section) {
    if (isWide(DATA.pairs.flatMap(pair => pair.loss), 1)) $(".controls", section).append(segments("Scale of the loss", [["log", "log"], ["linear", "linear"]], "log", value => { BETWEEN.isLog = value === "log"; drawOne("between"); }));
  },
  draw(section) {
    const pairs = shownPairs(), host = $(".plot", section);
    if (!pairs.length) return nothing(host, "No pair of this choice was measured.");
    const losses = DATA.pairs.flatMap(pair => pair.loss), isLog = BETWEEN.isLog && isWide(losses, 1);
    const f = frame(host, 300, { left: 46, right: 16, top: 24, bottom: 46 }, `Loss between minima: ${pairs.slice(0, 12).map(pair => `${RUNS[pair.a].name} to ${RUNS[pair.b].name}, highest ${digits(Math.max(...finite(pair.loss)))}`).join("; ")}`);
    const x = scaleFor(DATA.pairs.flatMap(pair => pair.t), [f.left, f.right], false, 0.02), y = scaleFor(losses, [f.bottom, f.top], isLog, 0.04);
    axisX(f, x, [0, 0.25, 0.5, 0.75, 1].filter(v => x(v) <= f.right), v => ["one run", "¼", "½", "¾", "other run"][v * 4], "share of the way");
    axisY(f, y, ticksOf(y, isLog), tickText, "training loss");
    for (const pair of pairs) {
      const [a, b] = [RUNS[pair.a], RUNS[pair.b]], points = pair.t.map((t, i) => [t, pair.loss[i]]);
      const same = a.group === b.group, node = curve(points, x, y, b, pairTip(pair), { smooth: true, color: same ? colorOf(b) : "var(--ink3)", width: same ? 1.8 : 1.3 });
      node.setAttribute("data-other", a.index);
      for (const [run, t, loss] of [[a, points[0][0], points[0][1]], [b, points.at(-1)[0], points.at(-1)[1]]]) if (loss !== null) node.append(mark(x(t), y(loss), run));
      f.node.append(node);
    }
  },
  rows: () => [["from", "to", "t", "loss", "barrier at least", "distance"], ...shownPairs().flatMap(pair => pair.t.map((t, i) => [RUNS[pair.a].name, RUNS[pair.b].name, t, pair.loss[i], pair.barrier, pair.distance]))],
};

const MOST_IN_MATRIX = 40;
FIGURES.matrix = {
  has: () => new Set(DATA.pairs.filter(p => p.barrier !== null).flatMap(p => [p.a, p.b])).size > 2,
  draw(section) {
    const pairs = shownPairs().filter(pair => pair.barrier !== null), host = $(".plot", section);
    const runs = RUNS.filter(run => pairs.some(pair => pair.a === run.index || pair.b === run.index)).slice(0, MOST_IN_MATRIX);
    if (!runs.length) return nothing(host, "No pair of this choice was measured.");
    const left = 16 + roomFor(runs.map(nameOf), 130), width = host.clientWidth || 320, cell = Math.min(56, (width - left - 4) / runs.length);
    const f = frame(host, cell * runs.length + 34, { left, right: 0, top: 4, bottom: 0 }, `Barriers between minima: ${pairs.slice(0, 20).map(pair => `${RUNS[pair.a].name} and ${RUNS[pair.b].name} ${digits(pair.barrier)}`).join("; ")}`);
    const heights = DATA.pairs.map(pair => pair.barrier).filter(v => v > 0), [low, high] = extent(heights) || [1, 1];
    const symbol = (run, x, y) => svg("path", { d: SHAPES[GROUPS[run.group].mark], transform: `translate(${x},${y})`, fill: isOpen(run) ? "var(--paper)" : colorOf(run), stroke: colorOf(run), "stroke-width": 1.5 });
    runs.forEach((row, i) => {
      const label = svg("g", {}, words(20, 4 + cell * (i + 0.5) + 4, nameOf(row), "lab"), symbol(row, 8, 4 + cell * (i + 0.5)));
      f.node.append(ofRun(label, row, row.name));
      f.node.append(symbol(row, left + cell * (i + 0.5), cell * runs.length + 18));
      runs.forEach((column, j) => {
        if (j >= i) return;
        const pair = pairs.find(p => (p.a === row.index && p.b === column.index) || (p.a === column.index && p.b === row.index));
        const box = { x: left + cell * j + 1, y: 4 + cell * i + 1, width: cell - 2, height: cell - 2, rx: 2 };
        if (!pair) { f.node.append(svg("rect", { ...box, fill: "none", stroke: "var(--grid)" })); return; }
        const share = pair.barrier > 0 ? (high > low ? Math.log(pair.barrier / low) / Math.log(high / low) : 1) : 0;
        const node = svg("g", { "data-tip": pairTip(pair), "data-run": row.index, "data-other": column.index }, svg("rect", { ...box, fill: `color-mix(in oklab, var(--ink) ${Math.round(8 + 70 * share)}%, var(--paper))` }));
        if (cell > 36) { const text = words(box.x + cell / 2 - 1, box.y + cell / 2 + 3, digits(pair.barrier, 2), null, "middle"); text.setAttribute("style", `fill:${share > 0.45 ? "var(--paper)" : "var(--ink)"}`); node.append(text); }
        f.node.append(node);
      });
    });
  },
  rows: () => [["run", "other run", "barrier at least", "distance"], ...shownPairs().map(pair => [RUNS[pair.a].name, RUNS[pair.b].name, pair.barrier, pair.distance])],
};
