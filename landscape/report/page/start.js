// What the page knows, what is chosen, and how elements are made. The files of this folder stand in one function, in
// the order that assets.py gives; names of one are seen by all.
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = (selector, of = document) => of.querySelector(selector);
const $$ = (selector, of = document) => [...of.querySelectorAll(selector)];

const RUNS = DATA.runs, GROUPS = DATA.groups, MEASURES = DATA.measures;
RUNS.forEach((run, index) => { run.index = index; run.last = run.checkpoints.at(-1); });
const SEEDS = [...new Set(RUNS.map(run => run.seed))].sort((a, b) => a - b);
const STEPS = [...new Set(RUNS.flatMap(run => run.checkpoints.map(c => c.step)))].sort((a, b) => a - b);
const LAST = STEPS.at(-1);
const INDEX = new Map(RUNS.map(run => [run.name, run.index]));

const STATE = {
  groups: new Set(GROUPS.keys()), seeds: new Set(SEEDS), step: LAST,
  focus: null,  // the run that was chosen, by its place
  hover: null,
  ownScale: false,  // whether each group has a scale of its own, of heights and of shades
};

const isShown = run => STATE.groups.has(run.group) && STATE.seeds.has(run.seed);
const shown = () => RUNS.filter(isShown);
/** The checkpoint of a run at the chosen step: the last that is not behind it, else its first. */
const at = run => run.checkpoints.findLast(c => c.step <= STATE.step) || run.checkpoints[0];
/** The checkpoint nearest to the chosen step that has something. */
function nearest(run, has) {
  let best = null;
  for (const c of run.checkpoints) {
    if (has(c) && (!best || Math.abs(c.step - STATE.step) <= Math.abs(best.step - STATE.step))) best = c;
  }
  return best;
}
const valueAt = (checkpoint, key) => checkpoint.values[key] ? checkpoint.values[key][0] : null;
const seedWords = run => run.seed === null ? "" : `seed ${run.seed}`;
/** How a figure calls a run: its group and seed where these are enough, else its name. */
const NAMED = (() => {
  const words = RUNS.map(run => `${GROUPS[run.group].short}${run.seed === null ? "" : ` ${run.seed}`}`);
  return RUNS.map((run, i) => words.filter(other => other === words[i]).length === 1 ? words[i] : run.short);
})();
const nameOf = run => NAMED[run.index];

const FIGURES = {};  // name → {has, draw, rows, scale}, in the order in which they are drawn
const NARROW = 560;

/** An element of HTML; text is only ever text. */
function html(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter(child => child !== null));
  return node;
}

/** Buttons of which one is pressed. */
function segments(label, options, chosen, choose) {
  const box = html("div", { class: "seg", role: "group", "aria-label": label });
  for (const [value, words] of options) {
    box.append(html("button", {
      type: "button", "aria-pressed": String(value === chosen), "data-value": value,
      onclick: event => {
        for (const other of box.children) other.setAttribute("aria-pressed", String(other === event.currentTarget));
        choose(value);
      },
    }, words));
  }
  return box;
}

/** One scale for all groups, or one for each: the same switch wherever shades stand for numbers. */
function scaleSwitch(label, shared, own) {
  return segments(label, [["shared", shared], ["own", own]], STATE.ownScale ? "own" : "shared", value => {
    STATE.ownScale = value === "own";
    for (const button of $$('button[data-value="shared"], button[data-value="own"]')) button.setAttribute("aria-pressed", String(button.dataset.value === value));
    for (const name of ["surfaces", "matrix"]) drawOne(name);
    say(STATE.ownScale ? `each ${DATA.word} has a scale of its own` : "one scale for all");
  });
}

const say = text => { $("#say").textContent = text; };
const isDark = () => document.documentElement.dataset.theme === "dark";
const cssColor = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
