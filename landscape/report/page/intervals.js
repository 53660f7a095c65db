// Where groups lie by each measure: the runs as marks, the centre with its interval as the tables have it.
const PLACE = { chosen: 0 };
const block = () => DATA.intervals[Math.min(PLACE.chosen, DATA.intervals.length - 1)] || null;

/** The value of a run where a block reads it. */
function valueIn(run, key, of) {
  const known = of && of.measures[key];
  if (known && known.runs) return run.name in known.runs ? known.runs[run.name] : null;
  return valueAt(run.last, key);
}

function intervalDomain(key, of, values) {
  const known = of && of.measures[key], isLog = known ? known.scale === "log" : isWide(values, 3);
  const inner = extent(values) || [0, 1], ends = known ? Object.values(known.groups).flatMap(g => [g[1], g[2]]) : [];
  let [low, high] = inner;
  if (isLog) {  // an interval may reach over decades, so the axis goes a factor beyond the runs and no further
    low = Math.max(Math.min(low, ...finite(ends)), low / 6);
    high = Math.min(Math.max(high, ...finite(ends)), high * 6);
    const pad = Math.max(0.08 * Math.log10(high / low), 0.06);
    return { isLog, low: low / 10 ** pad, high: high * 10 ** pad };
  }
  const wide = Math.max(high - low, 1e-12 + 0.02 * Math.abs(high));
  low = Math.max(Math.min(low, ...finite(ends)), low - 1.5 * wide);
  high = Math.min(Math.max(high, ...finite(ends)), high + 1.5 * wide);
  return { isLog, low: low - 0.1 * wide, high: high + 0.1 * wide };
}

function drawInterval(f, x, y, group, found, domain, unit) {
  const [centre, low, high, text] = found, color = `var(--g${group})`;
  const node = svg("g", { "data-tip": `${GROUPS[group].name}\n${unit === 100 ? `${(100 * centre).toFixed(1)} %` : text}\n${low === null ? "one run: no interval" : `95 % interval ${digits(unit * low)} … ${digits(unit * high)}`}` });
  if (low !== null && high !== null) {
    const a = Math.max(domain.low, low), b = Math.min(domain.high, high);
    node.append(svg("line", { x1: x(a), x2: x(b), y1: y, y2: y, stroke: color, "stroke-width": 2.2, "stroke-linecap": "round" }));
    const arrow = (tip, back) => node.append(svg("path", { d: `M${tip + back} ${y - 4}L${tip} ${y}L${tip + back} ${y + 4}`, fill: "none", stroke: color, "stroke-width": 2 }));
    if (low < domain.low) arrow(x(domain.low), 6);
    if (high > domain.high) arrow(x(domain.high), -6);
  }
  node.append(svg("line", { x1: x(centre), x2: x(centre), y1: y - 6, y2: y + 6, stroke: color, "stroke-width": 2.6 }));
  node.append(svg("rect", { x: f.left, y: y - 8, width: f.right - f.left, height: 16, fill: "transparent" }));
  f.node.append(node);
}

/** One measure: a row for each group. */
function dots(host, key, { of = block(), row = 42, values: withValues = false, isRanked = false } = {}) {
  const there = RUNS.filter(run => valueIn(run, key, of) !== null), unit = MEASURES[key].share ? 100 : 1;
  const known = of && of.measures[key], order = known ? Object.keys(known.groups) : [];
  const rank = g => order.includes(GROUPS[g].name) ? order.indexOf(GROUPS[g].name) : order.length;
  const groups = [...GROUPS.keys()].filter(g => there.some(run => run.group === g));
  if (isRanked) groups.sort((a, b) => rank(a) - rank(b));
  const high = groups.length > 12 ? 24 : groups.length > 7 ? 30 : row;
  const domain = intervalDomain(key, of, there.map(run => valueIn(run, key, of)));
  const names = groups.map(g => GROUPS[g].short), left = 20 + roomFor(names, 146);
  const texts = groups.map(g => known && known.groups[GROUPS[g].name] ? (unit === 100 ? `${(100 * known.groups[GROUPS[g].name][0]).toFixed(1)} %` : known.groups[GROUPS[g].name][3]) : "");
  const right = withValues ? Math.max(10, 6.9 * Math.max(...texts.map(t => t.length)) + 14) : 14;
  const f = frame(host, 10 + high * groups.length + 26, { left, right, top: 4, bottom: 26 },
    `${MEASURES[key].title}: ${groups.map((g, i) => `${GROUPS[g].name} ${texts[i] || "no interval"}`).join("; ")}`);
  const x = (domain.isLog ? V.scaleLog : V.scaleLinear)([domain.low, domain.high], [f.left, f.right]);
  axisX(f, x, ticksOf(x, domain.isLog, 3), v => tickText(+(unit * v).toPrecision(12)));
  groups.forEach((g, i) => {
    const y = f.top + high * (i + 0.5), isOn = STATE.groups.has(g);
    const label = svg("g", { opacity: isOn ? 1 : 0.4 }, words(20, y + 4, GROUPS[g].short, "lab"));
    label.prepend(svg("path", { d: SHAPES[GROUPS[g].mark], transform: `translate(8,${y})`, fill: `var(--g${g})` }));
    label.dataset.tip = GROUPS[g].name;
    f.node.append(label);
    if (!isOn) return;
    if (known && known.groups[GROUPS[g].name]) drawInterval(f, x, y + Math.min(6, high / 5), g, known.groups[GROUPS[g].name], domain, unit);
    for (const run of there.filter(run => run.group === g && isShown(run))) {
      const value = valueIn(run, key, of);
      const tip = `${run.name}\n${MEASURES[key].title}\n${known && known.runs ? `${digits(unit * value, 4)}, read between checkpoints` : entryText(run.last.values[key], key)}`;
      f.node.append(ofRun(mark(x(value), y - Math.min(7, high / 4.5), run), run, tip));
    }
    if (withValues) f.node.append(words(f.width, y + 8, texts[i], "lab", "end"));
  });
}

const intervalKeys = () => {
  const of = block();
  if (of) return Object.keys(of.measures).filter(key => MEASURES[key] && key !== "train_loss");
  return ["lambda_max", "trace", "sharpness_worst", "sharpness_adaptive_worst"].filter(key => RUNS.some(run => valueAt(run.last, key) !== null));
};
const centreRows = (keys, of) => [
  ["measure", "group or run", "value", "low", "high", "what"],
  ...keys.flatMap(key => [
    ...(of ? Object.entries(of.measures[key].groups).map(([name, g]) => [key, name, g[0], g[1], g[2], `centre, 95 % interval, ${of.title}`]) : []),
    ...shown().filter(run => valueIn(run, key, of) !== null).map(run => [key, run.name, valueIn(run, key, of), null, null, of ? of.title : "last checkpoint"]),
  ]),
];

FIGURES.verdict = {
  has: () => RUNS.some(run => valueAt(run.last, "lambda_max") !== null),
  draw(section) {
    const of = DATA.intervals.find(b => b.measures.lambda_max) || null;
    $(".where", section).textContent = of ? `${of.title}; seeds, and centre with its 95 % interval` : "at the last checkpoint of each run";
    dots($(".plot", section), "lambda_max", { of, values: true, isRanked: true });
  },
  rows: () => centreRows(["lambda_max"], DATA.intervals.find(b => b.measures.lambda_max) || null),
};

FIGURES.flatness = {
  has: () => intervalKeys().length > 1,
  setup(section) {
    if (DATA.intervals.length > 1) {
      $(".controls", section).append(segments("Where groups are read", DATA.intervals.map((b, i) => [i, b.place === "equal" ? "at equal loss" : "at the ends"]), 0, value => { PLACE.chosen = value; drawOne("flatness"); }));
    }
  },
  draw(section) {
    const of = block(), host = $(".plot", section);
    $(".where", section).textContent = of ? `Groups ${of.title}.` : "Runs at their last checkpoints.";
    host.replaceChildren();
    for (const key of intervalKeys()) {
      const plot = html("div"), m = MEASURES[key];
      const better = m.flatness ? (key.includes("radius") ? "larger is flatter" : "lower is flatter") : "";
      host.append(html("div", { class: "mini" }, html("h3", {}, m.title), html("div", { class: "unit" }, [m.unit, m.bound ? "lower bound" : "", better].filter(Boolean).join(" · ")), plot));
      dots(plot, key, { of, row: 34 });
    }
  },
  rows: () => centreRows(intervalKeys(), block()),
};
