// The loss on lines through the ends of runs: along one direction of each, or over several random ones as a band.
const LINES = { view: null, isLog: null };
const RANDOM = "random";
const lineNames = () => {
  const names = new Set(RUNS.flatMap(run => run.checkpoints.flatMap(c => Object.keys(c.lines || {}))));
  return [...names].sort((a, b) => (a.includes("eigenvector") ? 0 : 1) - (b.includes("eigenvector") ? 0 : 1) || a.localeCompare(b, undefined, { numeric: true }));
};
const isRandom = name => name.startsWith("line_random_");
function lineWords(name) {
  const number = /eigenvector_(\d+)/.exec(name);
  if (number) return `along u${[...number[1]].map(c => "₀₁₂₃₄₅₆₇₈₉"[c]).join("")}`;
  if (name === RANDOM) return "random directions, median and band";
  if (isRandom(name)) return `random direction ${Number(name.replace("line_random_", "")) + 1}`;
  return name.replace(/^line_/, "").replaceAll("_", " ");
}
/** What can be shown: [how it is called, the lines or bands that stand beside each other]. */
function lineViews() {
  const names = lineNames(), random = names.filter(isRandom), first = names.find(name => name.includes("eigenvector")), views = [];
  if (first && random.length > 1) views.push([`${lineWords(first).replace("along ", "")} beside random`, [first, RANDOM]]);
  if (random.length > 1 && !first) views.push([lineWords(RANDOM), [RANDOM]]);
  views.push(...names.filter(name => !isRandom(name)).map(name => [lineWords(name), [name]]));
  if (random.length > 1 && first) views.push([lineWords(RANDOM), [RANDOM]]);
  return [...views, ...random.map(name => [lineWords(name), [name]])];
}
const lineView = () => lineViews()[LINES.view][1];
/** Lines of a run under a name, at the checkpoint nearest to the step that has them. */
function linesOf(run, name) {
  const wanted = c => Object.keys(c.lines || {}).filter(key => name === RANDOM ? isRandom(key) : key === name);
  const c = nearest(run, q => wanted(q).length > 0);
  return c ? wanted(c).map(key => ({ step: c.step, ...c.lines[key] })) : [];
}
/** Median, lowest and highest of several lines on the t that all cover; a gap of one is a gap of all. */
function bandOf(lines) {
  const low = Math.max(...lines.map(line => line.t[0])), high = Math.min(...lines.map(line => line.t.at(-1)));
  const t = lines.every(line => line.t.join() === lines[0].t.join()) ? lines[0].t : V.scaleLinear([low, high], [0, 1]).ticks(40);
  return t.map(place => {
    const values = lines.map(line => lossAt(line, place));
    if (values.some(v => v === null)) return [place, null, null, null];
    values.sort((a, b) => a - b);
    const half = values.length >> 1;
    return [place, values.length % 2 ? values[half] : (values[half - 1] + values[half]) / 2, values[0], values.at(-1)];
  });
}
function lossAt(line, place) {
  const k = line.t.findIndex(t => t >= place), after = line.loss[k], before = line.loss[k - 1];
  if (line.t[k] === place || k < 1) return after ?? null;
  return before === null || after === null ? null : before + (after - before) * (place - line.t[k - 1]) / (line.t[k] - line.t[k - 1]);
}
const middleOf = line => line.loss[line.t.reduce((best, t, i) => Math.abs(t) < Math.abs(line.t[best]) ? i : best, 0)];
function lineTip(run, line) {
  const agrees = line.agrees === false ? "\nDISAGREES with the Hessian at its centre" : "";
  return `${run.name}, step ${line.step}\n${line.direction}\nloss ${digits(middleOf(line))} at the centre, dᵀHd ${digits(line.curvature, 4)}${line.error ? `\nerror of the losses ${digits(line.error, 2)}` : ""}${agrees}`;
}

function drawLine(f, x, y, isLog, run, line) {
  const middle = middleOf(line), tip = lineTip(run, line);
  f.node.append(curve(line.t.map((t, i) => [t, line.loss[i]]), x, y, run, tip, { smooth: true }));
  if (middle !== null) f.node.append(ofRun(mark(x(0), y(middle), run), run, tip));
  if (STATE.focus === run.index && line.curvature !== null && middle !== null) {
    const bowl = line.t.map(t => [t, middle + line.curvature * t * t / 2]).filter(p => p[1] > 0 || !isLog);
    f.node.append(svg("path", { d: linePath(bowl.filter(p => y(p[1]) >= f.top), x, y, true), fill: "none", stroke: "var(--ink)", "stroke-width": 1.4, "stroke-dasharray": "1.5 3" }));
  }
}
/** Over all directions of the runs of a group a band; of each run the median, and with it in focus each direction. */
function drawBands(f, x, y, found) {
  for (const group of new Set(found.map(([run]) => run.group))) {
    const mine = found.filter(([run]) => run.group === group), lines = mine.flatMap(([, of]) => of);
    const area = V.area().defined(p => p[2] !== null && Number.isFinite(y(p[2]))).x(p => x(p[0])).y0(p => y(p[2])).y1(p => y(p[3])).curve(V.curveMonotoneX);
    const band = svg("path", { d: area(bandOf(lines)), fill: `var(--g${group})`, opacity: 0.16, class: "band" });
    f.node.append(mine.length === 1 ? ofRun(band, mine[0][0]) : band);
    for (const [run, of] of mine) {
      const middle = bandOf(of), lengths = extent(of.map(line => line.norm));
      const tip = `${run.name}, step ${of[0].step}\nmedian of ${of.length} ${of[0].direction.replace(/\s*\(?\d+\)?$/, "")} directions, of length ${digits(lengths[0])} to ${digits(lengths[1])}\nat the ends ${digits(middle[0][1])} and ${digits(middle.at(-1)[1])}`;
      if (STATE.focus === run.index) for (const line of of) f.node.append(curve(line.t.map((t, i) => [t, line.loss[i]]), x, y, run, lineTip(run, line), { smooth: true, width: 0.8 }));
      f.node.append(curve(middle.map(p => [p[0], p[1]]), x, y, run, tip, { smooth: true }));
    }
  }
}

function drawSlices(host, name, height, isLog, losses) {
  const found = shown().map(run => [run, linesOf(run, name)]).filter(([, lines]) => lines.length);
  if (!found.length) return nothing(host, `No run of this choice has a slice ${lineWords(name)}.`);
  const every = RUNS.flatMap(run => linesOf(run, name)), isBand = name === RANDOM, perRun = extent(found.map(([, lines]) => lines.length));
  const f = frame(host, height, { left: 46, right: roomFor(GROUPS.map(g => g.short), 96), top: 24, bottom: 46 },
    `Loss ${lineWords(name)} of ${found.map(([run, lines]) => `${run.name}, lowest ${digits(Math.min(...lines.flatMap(line => finite(line.loss))))}`).join("; ")}`);
  const x = scaleFor(every.flatMap(line => [line.t[0], line.t.at(-1)]), [f.left, f.right], false, 0), y = scaleFor(losses, [f.bottom, f.top], isLog, 0.03);
  axisX(f, x, x.ticks(5), tickText, name.includes("eigenvector") ? "distance in parameter space" : "t, in lengths of the direction");
  const what = isBand ? `, over ${perRun[0] === perRun[1] ? perRun[0] : perRun.join(" to ")} random directions` : ` ${lineWords(name)}`;
  axisY(f, y, ticksOf(y, isLog), tickText, `loss${what}${isLog ? "" : ", linear"}`);
  if (isBand) drawBands(f, x, y, found);
  else for (const [run, lines] of found) drawLine(f, x, y, isLog, run, lines[0]);
  return endLabels(f, found.map(([run]) => run), run => y(isBand ? bandOf(linesOf(run, name)).at(-1)[1] : finite(linesOf(run, name)[0].loss).at(-1)), f.right + 8);
}

FIGURES.slices = {
  has: () => lineNames().length > 0,
  setup(section) {
    const views = lineViews(), losses = RUNS.flatMap(run => run.checkpoints.flatMap(c => Object.values(c.lines || {}).flatMap(line => line.loss)));
    LINES.view = 0;
    LINES.isLog = isWide(losses, 30);
    if (views.length > 1) {
      const choice = html("select", { "aria-label": "Direction of the slices", onchange: event => { LINES.view = Number(event.target.value); drawOne("slices"); } });
      choice.append(...views.map(([words], i) => html("option", { value: i }, words)));
      $(".controls", section).append(choice);
    }
    if (isWide(losses, 1)) $(".controls", section).append(segments("Scale of the loss", [["log", "log"], ["linear", "linear"]], LINES.isLog ? "log" : "linear", value => { LINES.isLog = value === "log"; drawOne("slices"); }));
  },
  draw(section) {
    const names = lineView(), host = $(".plot", section);
    // Axes stay where they are when runs are chosen, and are one for what stands beside each other.
    const losses = names.flatMap(name => RUNS.flatMap(run => linesOf(run, name).flatMap(line => line.loss))), isLog = LINES.isLog && isWide(losses, 1);
    const plots = names.map(() => html("div"));
    host.replaceChildren(...plots);
    host.classList.toggle("beside", names.length > 1);
    names.forEach((name, i) => drawSlices(plots[i], name, names.length > 1 ? 250 : 340, isLog, losses));
  },
  rows: () => [["run", "step", "direction", "t", "loss"], ...lineView().flatMap(name => shown().flatMap(run => linesOf(run, name).flatMap(line => line.t.map((t, i) => [run.name, line.step, line.direction, t, line.loss[i]]))))],
};
