// Figures as SVG: frames, axes, marks. One colour and one mark belong to a group everywhere; the first seed is filled
// and solid, others are open and dashed.
const SVG = "http://www.w3.org/2000/svg";
const SHAPES = {
  o: "M-4.4 0A4.4 4.4 0 1 0 4.4 0A4.4 4.4 0 1 0-4.4 0Z", D: "M0-5.2L5.2 0L0 5.2L-5.2 0Z", "^": "M0-5L5 4H-5Z",
  s: "M-4-4H4V4H-4Z", v: "M0 5L5-4H-5Z", P: "M-1.8-5H1.8V-1.8H5V1.8H1.8V5H-1.8V1.8H-5V-1.8H-1.8Z",
  X: "M-2.4-5L0-2.4L2.4-5L5-2.4L2.4 0L5 2.4L2.4 5L0 2.4L-2.4 5L-5 2.4L-2.4 0L-5-2.4Z", h: "M0-5L4.4-2.5V2.5L0 5L-4.4 2.5V-2.5Z",
};
const DASHES = [null, "5 3", "1.5 3", "9 3 2 3"];
const colorOf = run => `var(--g${run.group})`;
const dashOf = run => DASHES[run.place % DASHES.length];
const isOpen = run => run.place > 0;

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
const words = (x, y, text, cls, anchor = "start") => svg("text", { x, y, class: cls, "text-anchor": anchor }, String(text));

/** A frame in a host: where its axes are, in pixels. */
function frame(host, height, margin, label) {
  const width = Math.max(140, host.clientWidth || 320);
  const node = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  host.replaceChildren(node);
  return { node, width, height, left: margin.left, right: width - margin.right, top: margin.top, bottom: height - margin.bottom };
}
function axisX(f, scale, ticks, text = tickText, title = "") {
  let free = -Infinity;
  for (const v of ticks) {
    const x = scale(v), label = text(v), half = 3.6 * label.length;
    f.node.append(svg("line", { x1: x, x2: x, y1: f.top, y2: f.bottom, class: "gridline" }));
    if (x - half < free) continue;  // no two numbers over each other
    const anchor = x + half > f.width ? "end" : x - half < 0 ? "start" : "middle";
    f.node.append(words(anchor === "end" ? Math.min(x + half, f.width) : Math.max(x, 0), f.bottom + 16, label, null, anchor));
    free = x + half + 6;
  }
  f.node.append(svg("line", { x1: f.left, x2: f.right, y1: f.bottom, y2: f.bottom, class: "axis" }));
  if (title) f.node.append(words(f.right, f.bottom + 34, title, null, "end"));
}
function axisY(f, scale, ticks, text = tickText, title = "") {
  for (const v of ticks) {
    f.node.append(svg("line", { x1: f.left, x2: f.right, y1: scale(v), y2: scale(v), class: "gridline" }), words(f.left - 8, scale(v) + 4, text(v), null, "end"));
  }
  if (title) f.node.append(words(0, f.top - 10, title));
}
const linePath = (points, x, y, curve) => {
  const line = V.line().defined(p => p[1] !== null && Number.isFinite(y(p[1]))).x(p => x(p[0])).y(p => y(p[1]));
  return (curve ? line.curve(V.curveMonotoneX) : line)(points);
};
/** What belongs to a run: it follows the choice of a run, and tells its numbers. */
function ofRun(node, run, tip) {
  node.setAttribute("data-run", run.index);
  if (tip) node.dataset.tip = tip;
  return node;
}
function mark(x, y, run, open = isOpen(run), size = 1) {
  const color = colorOf(run);
  return svg("path", {
    d: SHAPES[GROUPS[run.group].mark], transform: `translate(${x.toFixed(1)},${y.toFixed(1)}) scale(${size})`,
    fill: open ? "var(--paper)" : color, stroke: open ? color : "var(--paper)", "stroke-width": open ? 1.7 : 0.9,
  });
}
/** A curve of a run, with room for a pointer around it. */
function curve(points, x, y, run, tip, options = {}) {
  const d = linePath(points, x, y, options.smooth), group = ofRun(svg("g"), run, tip);
  if (!d) return group;
  if (!options.bare) group.append(svg("path", { d, fill: "none", stroke: "transparent", "stroke-width": 12 }));
  group.append(svg("path", {
    d, fill: "none", stroke: options.color || colorOf(run), "stroke-width": options.width || 1.7,
    "stroke-dasharray": dashOf(run), "stroke-linejoin": "round",
  }));
  return group;
}
function markIcon(group, open = false) {
  const color = `var(--g${group})`;
  const shape = svg("path", { d: SHAPES[GROUPS[group].mark], fill: open ? "none" : color, stroke: color, "stroke-width": 1.4 });
  return svg("svg", { width: 13, height: 13, viewBox: "-6.5 -6.5 13 13", "aria-hidden": "true", class: "icon" }, shape);
}
/** Names of groups at the ends of their curves, pushed apart. */
function endLabels(f, runs, yOf, x) {
  const places = new Map();
  for (const run of runs) { const y = yOf(run); if (Number.isFinite(y)) places.set(run.group, [...(places.get(run.group) || []), y]); }
  const gap = 15, items = [...places].map(([group, ys]) => ({ group, y: ys.reduce((a, b) => a + b) / ys.length + 4 })).sort((a, b) => a.y - b.y);
  if (items.length * gap > f.bottom - f.top) return;  // too many to name: chips and tips do
  for (let k = 0; k < 60; k++) for (let i = 1; i < items.length; i++) {
    const over = gap - (items[i].y - items[i - 1].y);
    if (over > 0) { items[i].y += over / 2; items[i - 1].y -= over / 2; }
  }
  const below = items.length ? items.at(-1).y - f.bottom : 0;
  for (const item of items) {
    const label = words(x, item.y - Math.max(0, below), GROUPS[item.group].short, "lab");
    label.setAttribute("style", `fill:var(--t${item.group})`);
    f.node.append(label);
  }
}
/** Pixels that the longest of some names needs. */
const roomFor = (names, most) => Math.min(most, 26 + 7.1 * Math.max(0, ...names.map(name => name.length)));
const nothing = (host, text) => host.replaceChildren(html("p", { class: "sub none" }, text));
