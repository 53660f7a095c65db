// What is chosen once and followed by every figure: groups, seeds, one run, a step; theme, print, keys and links.
const ASKED = new URLSearchParams(location.search);

function drawOne(name) {
  const section = $(`[data-fig="${name}"]`);
  if (section && !section.hidden) FIGURES[name].draw(section);
  const numbers = section && $(".numbers:not([hidden])", section);
  if (numbers) numbers.replaceChildren(numbersTable(FIGURES[name].rows()));
  if (section) dim(section);
}
// What is in sight is drawn at once, the rest one by one behind it: with hundreds of runs a choice is seen at once.
const PENDING = new Set();
let drawing = null, dimming = null;
function drawMany(names, all = false) {
  for (const name of names) {
    const section = $(`[data-fig="${name}"]`);
    if (all || (section && isNear(section))) { PENDING.delete(name); drawOne(name); } else PENDING.add(name);
  }
  if (PENDING.size && drawing === null) drawing = setTimeout(drawNext);
}
function drawNext() {
  const name = [...PENDING].find(one => { const section = $(`[data-fig="${one}"]`); return section && isNear(section); }) || [...PENDING][0];
  drawing = null;
  if (name) settle(name);
  if (PENDING.size) drawing = setTimeout(drawNext);
}
function settle(name) { if (PENDING.delete(name)) drawOne(name); }
const drawAll = (all = false) => drawMany(Object.keys(FIGURES), all);

/** The run in focus, or under the pointer, stays; others step back. */
function dim(section) {
  const run = STATE.focus ?? STATE.hover, key = run === null ? null : String(run);
  if (key === null && !section.dataset.dimmed) return;
  section.dataset.dimmed = key === null ? "" : "yes";
  for (const node of $$("[data-run]", section)) node.classList.toggle("dim", key !== null && node.dataset.run !== key && node.dataset.other !== key);
}
function dimAll() {
  const sections = $$("[data-fig]");
  sections.filter(isNear).forEach(dim);
  clearTimeout(dimming);
  dimming = setTimeout(() => sections.forEach(dim), 150);
}
function focusOn(index) {
  STATE.focus = index;
  STATE.hover = null;
  const select = $("#focus");
  if (select) select.value = index === null ? "" : String(index);
  drawAll();
  say(index === null ? "no run in focus" : `${RUNS[index].name} in focus`);
}
function setStep(step) {
  if (step === STATE.step) return;
  STATE.step = step;
  const slider = $("#step");
  slider.value = STEPS.indexOf(step);
  slider.setAttribute("aria-valuetext", `step ${step}`);
  $("#stepout").textContent = step;
  drawMany(["surfaces", "spectrum", "ellipses", "slices", "training"]);
  say(`step ${step}`);
}

const tipBox = $("#tip");
function tip(text, event) {
  tipBox.hidden = !text;
  if (!text) return;
  tipBox.textContent = text;
  const [w, h] = [tipBox.offsetWidth, tipBox.offsetHeight], above = event.clientY - h - 12;
  tipBox.style.left = `${Math.min(innerWidth - w - 8, Math.max(8, event.clientX + 14))}px`;
  tipBox.style.top = `${above < 4 ? event.clientY + 16 : above}px`;
}
document.addEventListener("pointerover", event => {
  if (!event.target.closest) return;
  const told = event.target.closest("[data-tip]"), of = event.target.closest("[data-run]"), run = of ? Number(of.dataset.run) : null;
  tip(told ? told.dataset.tip : null, event);
  if (run !== STATE.hover && STATE.focus === null) { STATE.hover = run; dimAll(); }
});
document.addEventListener("keydown", event => { if (event.key === "Escape") { tip(null); if (STATE.focus !== null) focusOn(null); } });

function chip(set, value, label, icon, title) {
  const press = chips => { for (const other of chips.children) other.setAttribute("aria-pressed", String(set.has(other.value_))); };
  return html("button", {
    type: "button", class: "chip", "aria-pressed": "true", title,
    onclick: event => {
      // What alone is left brings all back: nothing chosen would be nothing to see.
      if (!set.has(value)) set.add(value); else if (set.size > 1) set.delete(value); else for (const v of set === STATE.groups ? GROUPS.keys() : SEEDS) set.add(v);
      press(event.currentTarget.parentNode);
      STAGE.page = 0;
      drawAll();
      say(`${shown().length} of ${RUNS.length} runs shown`);
    },
    ondblclick: event => {
      set.clear();
      set.add(value);
      press(event.currentTarget.parentNode);
      drawAll();
    },
  }, icon, html("span", {}, label));
}
function seedIcon(place) {
  const line = svg("path", { d: "M0 4H20", stroke: "currentColor", "stroke-width": 1.8, "stroke-dasharray": DASHES[place % DASHES.length] });
  return svg("svg", { width: 20, height: 8, viewBox: "0 0 20 8", "aria-hidden": "true" }, line);
}
function fillBar() {
  const add = (host, set, value, ...rest) => { const node = chip(set, value, ...rest); node.value_ = value; host.append(node); };
  GROUPS.forEach((group, i) => add($("#groups"), STATE.groups, i, group.short, markIcon(i), `${group.name}: show or hide; double click to see it alone`));
  $("#groups").hidden = GROUPS.length < 2;
  SEEDS.forEach((seed, i) => add($("#seeds"), STATE.seeds, seed, seed === null ? "no seed" : String(seed), seedIcon(seed === null ? 0 : i), `${seed === null ? "runs without a seed" : `seed ${seed}`}: show or hide`));
  $("#seeds").hidden = SEEDS.length < 2;
  $("#seedword").hidden = SEEDS.length < 2;
  const select = $("#focus");
  select.append(html("option", { value: "" }, `all ${RUNS.length} runs`), ...RUNS.map(run => html("option", { value: run.index }, run.short)));
  select.addEventListener("change", () => focusOn(select.value === "" ? null : Number(select.value)));
  $("#onerun").hidden = RUNS.length < 2;
  const slider = $("#step");
  Object.assign(slider, { min: 0, max: STEPS.length - 1, value: STEPS.length - 1 });
  slider.addEventListener("input", () => setStep(STEPS[slider.value]));
  slider.setAttribute("aria-valuetext", `step ${LAST}`);
  $("#stepout").textContent = LAST;
  $(".steps").hidden = STEPS.length < 2;
  let timer = null;
  const play = $("#play");
  const stop = () => { clearInterval(timer); timer = null; play.textContent = "▶"; play.setAttribute("aria-label", "Play the steps of training"); };
  play.addEventListener("click", () => {
    if (timer) return stop();
    let i = STATE.step === LAST ? 0 : STEPS.indexOf(STATE.step);
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "Stop");
    setStep(STEPS[i]);
    timer = setInterval(() => { if (++i >= STEPS.length) stop(); else setStep(STEPS[i]); }, 700);
    return undefined;
  });
  $("#bar").hidden = RUNS.length < 2 && STEPS.length < 2;
}

/** Colours of groups: as in the figures for papers, lighter on dark paper; darker as text. */
function setColors() {
  const mix = (hex, other, share) => `#${[1, 3, 5].map(i => Math.round(parseInt(hex.slice(i, i + 2), 16) * (1 - share) + other * share).toString(16).padStart(2, "0")).join("")}`;
  const light = hex => [1, 3, 5].reduce((sum, i, k) => sum + parseInt(hex.slice(i, i + 2), 16) * [0.299, 0.587, 0.114][k], 0) / 255;
  // On dark paper the dark ones must be seen, and the light ones stay lighter than they.
  const lift = (l) => l < 0.2 ? 0.6 : l < 0.45 ? Math.max(0, 0.42 - l) / (1 - l) : 0.3;
  for (const group of GROUPS) group.shade = [group.color, mix(group.color, 255, lift(light(group.color)))];
  const root = document.documentElement.style;
  GROUPS.forEach((group, i) => {
    root.setProperty(`--g${i}`, group.shade[Number(isDark())]);
    root.setProperty(`--t${i}`, `color-mix(in oklab, ${group.shade[Number(isDark())]} 72%, var(--ink))`);
  });
}
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  setColors();
}
function followTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  setTheme(ASKED.get("theme") === "dark" || (!ASKED.get("theme") && dark.matches) ? "dark" : "light");
  dark.addEventListener("change", event => { setTheme(event.matches ? "dark" : "light"); drawAll(); });
  $("#theme").addEventListener("click", () => { setTheme(isDark() ? "light" : "dark"); drawAll(); });
  let before = "light";
  addEventListener("beforeprint", () => {
    before = document.documentElement.dataset.theme;
    setTheme("light");
    drawAll(true);
    paint(true);  // at once: print does not wait for a frame
  });
  addEventListener("afterprint", () => { setTheme(before); drawAll(); });
}

/** Sections without a figure leave, with the links to them; headings can be linked to. */
function fillPage() {
  for (const [name, figure] of Object.entries(FIGURES)) {
    const section = $(`[data-fig="${name}"]`);
    if (!section) continue;
    section.hidden = !figure.has();
    if (section.hidden) continue;
    figure.setup?.(section);
    addTools(section);
  }
  // Sections that stand in one row share it: those that are there.
  for (const row of [["spectrum", "slices"], ["between", "matrix", "ellipses"]]) {
    const there = row.map(name => $(`[data-fig="${name}"]`)).filter(section => section && !section.hidden);
    if (there.length < row.length) for (const section of there) section.className = `fig ${there.length === 1 ? "w12" : "w6"}`;
  }
  for (const link of $$(".contents a")) {
    const target = $(link.getAttribute("href"));
    if (!target || target.hidden) link.parentNode.remove();
  }
}

function start() {
  followTheme();
  fillPage();
  fillBar();
  $("#print").addEventListener("click", () => print());
  $("#copyall").addEventListener("click", event => copyText(csvOf(FIGURES.runs.rows()), event.currentTarget));
  const asked = Number(ASKED.get("step")), step = STEPS.reduce((best, s) => Math.abs(s - asked) < Math.abs(best - asked) ? s : best, LAST), run = RUNS.findIndex(r => r.name === ASKED.get("run"));
  if (ASKED.has("step") && Number.isFinite(asked)) { STATE.step = step; $("#step").value = STEPS.indexOf(step); $("#stepout").textContent = step; }
  if (run >= 0) { STATE.focus = run; $("#focus").value = String(run); }
  if (ASKED.get("scale") === "own" && GROUPS.length > 1) $('button[data-value="own"]')?.click();
  drawAll();
  let width = document.documentElement.clientWidth;
  addEventListener("resize", () => {
    if (document.documentElement.clientWidth === width) return;
    width = document.documentElement.clientWidth;
    requestAnimationFrame(drawAll);
  });
  document.documentElement.dataset.ready = "true";
  if (location.hash) drawMany([...PENDING], true);  // what is above must have its height
  if (location.hash) $(`[id="${CSS.escape(location.hash.slice(1))}"]`)?.scrollIntoView({ behavior: "instant" });
}
start();
