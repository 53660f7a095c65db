// The minima side by side: panels with surfaces that turn together, or contour maps.
/** How a share of the scale is shaded in a map. */
const shadeOf = (run, share) => `color-mix(in oklab,${colorOf(run)} ${Math.round(100 - 92 * share)}%,var(--paper))`;
/** The scale of a map, upright at its left. */
function shadesOf(run, scale, size) {
  const steps = 24, bar = svg("g"), y = share => 12 + (1 - share) * (size - 24), high = (size - 24) / steps;
  for (let i = 0; i < steps; i++) bar.append(svg("rect", { x: 2, y: y((i + 1) / steps), width: 7, height: high + 0.4, fill: shadeOf(run, (i + 0.5) / steps) }));
  for (const [value, text] of scaleTicks(scale)) {
    const at = y((value - scale.low) / (scale.high - scale.low));
    bar.append(svg("line", { x1: 9, x2: 12, y1: at, y2: at, stroke: "var(--ink3)" }), words(14, at + 4, text));
  }
  return bar;
}
function contourMap(host, run, plane, scale) {
  const count = 97, grid = gridOf(plane, scale.isLog), values = [], disc = isDisc(plane), size = 300, cell = (size - 12) / count, id = `clip${run.index}`;
  for (let j = 0; j < count; j++) for (let i = 0; i < count; i++) values.push(valueOn(plane, grid, i / (count - 1) * 2 - 1, 1 - j / (count - 1) * 2));
  const node = svg("svg", { viewBox: `0 0 ${1.22 * size} ${size}`, class: "map", role: "img", "aria-label": `Contour map of the loss around ${run.name}` });
  const step = scale.isLog ? 0.25 : (scale.high - scale.low) / 20, levels = [];
  for (let v = scale.low; v <= scale.high + 1e-9; v += step) levels.push(v);
  const outline = disc ? svg("circle", { r: (size - 12) / 2 }) : svg("rect", { x: -(size - 12) / 2, y: -(size - 12) / 2, width: size - 12, height: size - 12 });
  const inner = svg("g", { "clip-path": `url(#${id})` }), lift = svg("g", { transform: `translate(${-(size - 12) / 2},${-(size - 12) / 2})` });
  for (const found of V.contours().size([count, count]).thresholds(levels)(values.map(v => Number.isNaN(v) ? -1e9 : v))) {
    const share = (found.value - scale.low) / (scale.high - scale.low), isMain = scale.isLog && Math.abs(found.value - Math.round(found.value)) < 0.01;
    const d = found.coordinates.map(part => part.map(ring => `M${ring.map(q => `${(q[0] * cell).toFixed(1)},${(q[1] * cell).toFixed(1)}`).join("L")}Z`).join("")).join("");
    lift.append(svg("path", { d, fill: shadeOf(run, share), stroke: "var(--ink)", "stroke-opacity": isMain ? 0.55 : 0.14, "stroke-width": isMain ? 0.9 : 0.6 }));
  }
  inner.append(lift);
  const frameOf = outline.cloneNode();
  for (const [key, value] of [["fill", "none"], ["stroke", "var(--rule)"]]) frameOf.setAttribute(key, value);
  const middle = svg("g", { transform: `translate(${0.61 * size},${size / 2})` }, svg("clipPath", { id }, outline), inner, frameOf);
  for (const path of plane.paths || []) {
    const points = [];
    for (let i = 0; i < path.points.length; i += 2) { const [u, v] = fromPlane(plane, path.points[i], path.points[i + 1]); points.push([u * (size - 12) / 2, -v * (size - 12) / 2]); }
    middle.append(svg("path", { d: `M${points.map(p => p.map(q => q.toFixed(1)).join(",")).join("L")}`, fill: "none", stroke: "var(--ink)", "stroke-width": 1.6 }));
    for (const p of points) middle.append(svg("circle", { cx: p[0], cy: p[1], r: 2, fill: "var(--ink)" }));
  }
  if (!plane.paths) middle.append(mark(0, 0, run));
  node.append(middle, shadesOf(run, scale, size));
  host.append(node);
}

const TILT = [0.12, 1.5];
const tilted = value => Math.min(TILT[1], Math.max(TILT[0], value));
/** Drag, arrow keys and double click turn all surfaces; a pointer reads the loss. */
function turnable(canvas, run) {
  let grip = null;
  canvas.addEventListener("pointerdown", event => { grip = [event.clientX, event.clientY, camera.turn, camera.tilt]; canvas.setPointerCapture(event.pointerId); tip(null); });
  canvas.addEventListener("pointermove", event => {
    if (grip) {
      camera.turn = grip[2] - (event.clientX - grip[0]) * 0.008;
      if (event.pointerType === "mouse") camera.tilt = tilted(grip[3] + (event.clientY - grip[1]) * 0.006);
      return repaint(canvas);
    }
    return readLoss(canvas, run, event);
  });
  for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, () => { grip = null; });
  canvas.addEventListener("pointerleave", () => tip(null));
  canvas.addEventListener("dblclick", () => { Object.assign(camera, VIEW); repaint(canvas); });
  canvas.addEventListener("keydown", event => {
    const move = { ArrowLeft: [0.12, 0], ArrowRight: [-0.12, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
    if (!move) return;
    camera.turn += move[0];
    camera.tilt = tilted(camera.tilt + move[1]);
    repaint(canvas);
    event.preventDefault();
  });
}
function readLoss(canvas, run, event) {
  const s = scene(), plane = planeOf(run), scale = heightScale(run.group), box = canvas.getBoundingClientRect();
  if (!s || !plane) return;
  fillMesh(s, plane, scale);
  aim(s, box.width / box.height);
  s.ray.setFromCamera(new V.Vector2((event.clientX - box.left) / box.width * 2 - 1, 1 - (event.clientY - box.top) / box.height * 2), s.camera);
  const hit = s.ray.intersectObject(s.mesh)[0], size = sizeOf(plane);
  if (!hit) return tip(null);
  const [u, v] = [hit.point.x / size, hit.point.y / size], value = valueOn(plane, gridOf(plane, scale.isLog), u, v), [x, y] = toPlane(plane, u, v);
  return tip(`${run.name}\nloss ${digits(scale.isLog ? 10 ** value : value)} at (${digits(x, 2)}, ${digits(y, 2)})`, event);
}

const surfaceLabel = (run, c) => `Loss surface of ${run.name} at step ${c.step}, training loss ${digits(valueAt(c, "train_loss"))} at its centre. Arrow keys turn all surfaces.`;
function panelOf(run) {
  const c = planeCheckpoint(run), plane = planeOf(run), scale = heightScale(run.group), box = html("div", { class: "panel", "data-panel": run.index });
  if (STAGE.height === "map" || !scene()) contourMap(box, run, plane, scale);
  else {
    const canvas = html("canvas", { "data-id": run.index, tabindex: 0, role: "img", "aria-label": surfaceLabel(run, c) });
    turnable(canvas, run);
    box.append(canvas);
  }
  box.append(...captionOf(run, c));
  return box;
}
function captionOf(run, c) {
  const facts = html("div", { class: "facts" });
  for (const [key, label] of [["lambda_max", "λ₁"], ["train_loss", "train loss"], ["test_accuracy", "test"]]) {
    if (valueAt(c, key) !== null) facts.append(html("span", { "data-tip": entryText(c.values[key], key) }, `${label} `, html("b", {}, key === "test_accuracy" ? `${(100 * valueAt(c, key)).toFixed(1)} %` : digits(valueAt(c, key)))));
  }
  return [html("div", { class: "cap" }, markIcon(run.group, isOpen(run)), html("b", { title: run.name }, GROUPS[run.group].short), html("span", {}, [seedWords(run), `step ${c.step}`].filter(Boolean).join(", "))), facts];
}
/** Panels of the same runs stay, so that a picture moves and is not made anew; their words follow. */
function placePanels(host, runs) {
  const panels = $$(".panel", host), stays = STAGE.height !== "map" && scene() && panels.length === runs.length && panels.every((panel, i) => Number(panel.dataset.panel) === runs[i].index && $("canvas", panel));
  if (!stays) return host.replaceChildren(...runs.map(panelOf));
  return panels.forEach((panel, i) => {
    const c = planeCheckpoint(runs[i]), canvas = $("canvas", panel);
    canvas.setAttribute("aria-label", surfaceLabel(runs[i], c));
    for (const words of $$(".cap, .facts", panel)) words.remove();
    panel.append(...captionOf(runs[i], c));
  });
}

FIGURES.surfaces = {
  has: () => planeNames().length > 0,
  setup(section) {
    const names = planeNames(), controls = $(".controls", section), redraw = () => drawOne("surfaces");
    STAGE.plane = names[0];
    if (names.length > 1) controls.append(segments("Plane", names.map(name => [name, PLANE_WORDS[name] || name.replaceAll("_", " ")]), names[0], value => { STAGE.plane = value; STAGE.page = 0; redraw(); }));
    if (RUNS.length > GROUPS.length) controls.append(segments("Runs that are drawn", [["first", `one of each ${DATA.word}`], ["all", "every run"]], "first", value => { STAGE.seeds = value; STAGE.page = 0; redraw(); }));
    const heights = [...(canBeLog() ? [["log", "log loss"]] : []), ["linear", "loss"], ["map", "map"]];
    if (ASKED.get("height") && heights.some(([value]) => value === ASKED.get("height"))) STAGE.height = ASKED.get("height");
    else if (!canBeLog()) STAGE.height = "linear";
    controls.append(segments("Height", heights, STAGE.height, value => { STAGE.height = value; redraw(); }));
    if (GROUPS.length > 1) controls.append(scaleSwitch("Scale of heights and shades", "one scale", `each ${DATA.word} its own`));
  },
  draw(section) {
    const all = stageRuns(), host = $("#panels"), pages = Math.ceil(all.length / MOST_PANELS) || 1;
    STAGE.page = Math.min(STAGE.page, pages - 1);
    const runs = all.slice(STAGE.page * MOST_PANELS, (STAGE.page + 1) * MOST_PANELS);
    $("#stamps").replaceChildren();
    $(".more", section).replaceChildren();
    if (!runs.length) return nothing(host, "No run of this choice has a plane.");
    $(".scaled", section).textContent = STATE.ownScale ? `every panel has the same view, each ${DATA.word} a height scale of its own` : "every panel has the same height scale and view";
    host.style.setProperty("--n", Math.max(2, Math.min(4, runs.length === 4 || runs.length > 6 ? 4 : runs.length > 3 ? 3 : runs.length)));
    placePanels(host, runs);
    $("#stamps").append(...stamps(runs).map(([text, warns]) => html("li", warns ? { class: "warn" } : {}, text)));
    if (pages > 1) $(".more", section).append(`Runs ${STAGE.page * MOST_PANELS + 1} to ${STAGE.page * MOST_PANELS + runs.length} of ${all.length}. `, html("button", { type: "button", class: "quiet", onclick: () => { STAGE.page = (STAGE.page + 1) % pages; drawOne("surfaces"); } }, "Next"));
    return repaint();
  },
  rows: () => [["run", "step", "x", "y", "loss"], ...stageRuns().flatMap(run => {
    const p = planeOf(run), step = planeCheckpoint(run).step;
    return p.loss.map((v, i) => [run.name, step, p.x[0] + (i % p.columns) / (p.columns - 1) * (p.x[1] - p.x[0]), p.y[0] + Math.floor(i / p.columns) / (p.rows - 1) * (p.y[1] - p.y[0]), v]);
  })],
  png: () => {
    const canvases = $$("#panels canvas");
    if (!canvases.length) return null;
    paint(true);
    const first = canvases[0], k = first.width / first.clientWidth, out = html("canvas"), columns = Math.min(4, canvases.length), rows = Math.ceil(canvases.length / columns);
    const tall = first.height + 34 * k, wide = columns * first.width, pen = out.getContext("2d"), lines = [""];
    pen.font = `${12 * k}px system-ui, sans-serif`;
    for (const text of $$("#stamps li").map(item => item.textContent)) {
      const longer = `${lines.at(-1)}${lines.at(-1) ? "   ·   " : ""}${text}`;
      if (lines.at(-1) && pen.measureText(longer).width > wide - 20 * k) lines.push(text); else lines[lines.length - 1] = longer;
    }
    out.width = wide;
    out.height = rows * tall + (20 + 18 * lines.length) * k;
    pen.fillStyle = cssColor("--paper");
    pen.fillRect(0, 0, out.width, out.height);
    canvases.forEach((canvas, i) => {
      const x = (i % columns) * first.width, y = Math.floor(i / columns) * tall, run = RUNS[canvas.dataset.id], c = planeCheckpoint(run);
      pen.drawImage(canvas, x, y);
      pen.fillStyle = cssColor("--ink");
      pen.font = `600 ${13 * k}px system-ui, sans-serif`;
      pen.fillText(`${nameOf(run)}, step ${c.step}: λ₁ ${digits(valueAt(c, "lambda_max"))}, loss ${digits(valueAt(c, "train_loss"), 2)}`, x + 10 * k, y + first.height + 18 * k, first.width - 14 * k);
    });
    pen.font = `${12 * k}px system-ui, sans-serif`;
    lines.forEach((line, i) => pen.fillText(line, 10 * k, rows * tall + (18 + 18 * i) * k));
    return out;
  },
};
