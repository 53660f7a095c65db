// Between the ends of two runs: the loss on the line, and every pair in one matrix.
const BETWEEN = { isLog: true };
const shownPairs = () => DATA.pairs.filter(pair => isShown(RUNS[pair.a]) && isShown(RUNS[pair.b]));
const LINED = DATA.pairs.filter(pair => pair.loss.length > 0);
const PAIR_WORDS = Object.fromEntries(DATA.pairMeasures);
const pairValue = (pair, key) => pair.values[key] ? pair.values[key][0] : null;
const pairTip = pair => `${RUNS[pair.a].name} → ${RUNS[pair.b].name}${pair.loss.length ? `\nhighest loss ${digits(Math.max(...finite(pair.loss)))}` : ""}${DATA.pairMeasures.filter(([key]) => pair.values[key]).map(([key, words]) => `\n${words}: ${key === "barrier" && pair.values[key][1] ? `${digits(pair.values[key][0])}, between its points up to ${digits(pair.values[key][0] + pair.values[key][1])}` : digits(pair.values[key][0])}`).join("")}`;

FIGURES.between = {
  has: () => LINED.length > 0,
  setup(section) {
    if (isWide(LINED.flatMap(pair => pair.loss), 1)) $(".controls", section).append(segments("Scale of the loss", [["log", "log"], ["linear", "linear"]], "log", value => { BETWEEN.isLog = value === "log"; drawOne("between"); }));
  },
  draw(section) {
    const pairs = shownPairs().filter(pair => pair.loss.length), host = $(".plot", section);
    if (!pairs.length) return nothing(host, "No pair of this choice was measured.");
    const losses = LINED.flatMap(pair => pair.loss), isLog = BETWEEN.isLog && isWide(losses, 1);
    const f = frame(host, 300, { left: 46, right: 16, top: 24, bottom: 46 }, `Loss between minima: ${pairs.slice(0, 12).map(pair => `${RUNS[pair.a].name} to ${RUNS[pair.b].name}, highest ${digits(Math.max(...finite(pair.loss)))}`).join("; ")}`);
    const x = scaleFor(LINED.flatMap(pair => pair.t), [f.left, f.right], false, 0.02), y = scaleFor(losses, [f.bottom, f.top], isLog, 0.04);
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
  rows: () => [["from", "to", "t", "loss", "barrier at least", "distance"], ...shownPairs().flatMap(pair => pair.t.map((t, i) => [RUNS[pair.a].name, RUNS[pair.b].name, t, pair.loss[i], pairValue(pair, "barrier"), pairValue(pair, "distance")]))],
};

const MATRIX = { key: null };
const MOST_IN_MATRIX = 40;
const matrixKeys = () => DATA.pairMeasures.map(([key]) => key).filter(key => new Set(DATA.pairs.filter(p => p.values[key]).flatMap(p => [p.a, p.b])).size > 2);
/** What shades stand for: of all pairs, or of those that are shown; in factors where all are positive and spread. */
function matrixScale(pairs, key) {
  const values = (STATE.ownScale ? pairs : DATA.pairs).map(pair => pairValue(pair, key)), positive = values.filter(v => v > 0), isLog = key.includes("barrier") && isWide(positive, 3);
  const [low, high] = extent(isLog ? positive : values) || [0, 1];
  const share = v => high === low ? 1 : isLog ? (v > 0 ? Math.log(v / low) / Math.log(high / low) : 0) : (v - low) / (high - low);
  return { isLog, low, high, share: v => Math.min(1, Math.max(0, share(v))) };
}
const greyOf = share => `color-mix(in oklab, var(--ink) ${Math.round(8 + 70 * share)}%, var(--paper))`;
/** The scale of shades, below a matrix. */
function greys(f, scale, left, width, y) {
  const steps = 24;
  for (let i = 0; i < steps; i++) f.node.append(svg("rect", { x: left + i * width / steps, y, width: width / steps + 0.3, height: 8, fill: greyOf((i + 0.5) / steps) }));
  f.node.append(words(left, y + 22, digits(scale.low, 2)), words(left + width, y + 22, digits(scale.high, 2), null, "end"));
  if (width > 150) f.node.append(words(left + width / 2, y + 22, `${scale.isLog ? "in factors" : "linear"}, ${STATE.ownScale ? "pairs shown" : "all pairs"}`, null, "middle"));
}

FIGURES.matrix = {
  has: () => matrixKeys().length > 0,
  setup(section) {
    const keys = matrixKeys(), controls = $(".controls", section);
    MATRIX.key = keys[0];
    if (keys.length > 1) {
      const choice = html("select", { "aria-label": "What the matrix shows", onchange: event => { MATRIX.key = event.target.value; drawOne("matrix"); } });
      choice.append(...keys.map(key => html("option", { value: key }, PAIR_WORDS[key])));
      controls.append(choice);
    }
    controls.append(scaleSwitch("Scale of the shades", "all pairs", "pairs shown"));
  },
  draw(section) {
    const key = MATRIX.key, pairs = shownPairs().filter(pair => pair.values[key]), host = $(".plot", section);
    const runs = RUNS.filter(run => pairs.some(pair => pair.a === run.index || pair.b === run.index)).slice(0, MOST_IN_MATRIX);
    $(".where", section).textContent = key.includes("barrier") ? "The highest rise above the chord between two ends, at the points that were evaluated: at least so high." : `${PAIR_WORDS[key][0].toUpperCase()}${PAIR_WORDS[key].slice(1)}.`;
    if (!runs.length) return nothing(host, "No pair of this choice was measured.");
    const left = 16 + roomFor(runs.map(nameOf), 130), width = host.clientWidth || 320, cell = Math.min(56, (width - left - 4) / runs.length);
    const f = frame(host, cell * runs.length + 70, { left, right: 0, top: 4, bottom: 0 }, `${PAIR_WORDS[key]}: ${pairs.slice(0, 20).map(pair => `${RUNS[pair.a].name} and ${RUNS[pair.b].name} ${digits(pairValue(pair, key))}`).join("; ")}`);
    const scale = matrixScale(pairs, key), between = new Map(pairs.map(pair => [`${Math.max(pair.a, pair.b)} ${Math.min(pair.a, pair.b)}`, pair]));
    const symbol = (run, x, y) => svg("path", { d: SHAPES[GROUPS[run.group].mark], transform: `translate(${x},${y})`, fill: isOpen(run) ? "var(--paper)" : colorOf(run), stroke: colorOf(run), "stroke-width": 1.5 });
    runs.forEach((row, i) => {
      const label = svg("g", {}, words(20, 4 + cell * (i + 0.5) + 4, nameOf(row), "lab"), symbol(row, 8, 4 + cell * (i + 0.5)));
      f.node.append(ofRun(label, row, row.name));
      f.node.append(symbol(row, left + cell * (i + 0.5), cell * runs.length + 18));
      runs.slice(0, i).forEach((column, j) => {
        const pair = between.get(`${row.index} ${column.index}`), box = { x: left + cell * j + 1, y: 4 + cell * i + 1, width: cell - 2, height: cell - 2, rx: 2 };
        if (!pair) { f.node.append(svg("rect", { ...box, fill: "none", stroke: "var(--grid)" })); return; }
        const value = pairValue(pair, key), share = scale.share(value);
        const node = svg("g", { "data-tip": pairTip(pair), "data-run": row.index, "data-other": column.index }, svg("rect", { ...box, fill: greyOf(share) }));
        if (cell > 36) { const text = words(box.x + cell / 2 - 1, box.y + cell / 2 + 3, digits(value, 2), null, "middle"); text.setAttribute("style", `fill:${share > 0.45 ? "var(--paper)" : "var(--ink)"}`); node.append(text); }
        f.node.append(node);
      });
    });
    greys(f, scale, left, Math.max(110, Math.min(cell * runs.length, width - left - 4)), cell * runs.length + 36);
  },
  rows: () => [["run", "other run", ...DATA.pairMeasures.map(([, words]) => words), "barrier between the points, at most"], ...shownPairs().map(pair => [RUNS[pair.a].name, RUNS[pair.b].name, ...DATA.pairMeasures.map(([key]) => pairValue(pair, key)), pair.values.barrier ? pair.values.barrier[0] + (pair.values.barrier[1] || 0) : null])],
};
