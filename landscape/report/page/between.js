// Between the ends of two runs: the loss on the line, and every pair in one matrix.
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
