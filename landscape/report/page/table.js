// The table of runs: it is in the page without any script; here it learns to sort, to filter, to show other columns and
// to follow the choice. Its cells keep the words of the tables on disk.
const TABLE = { key: null, up: true, query: "" };

/** The number behind a cell, for sorting. */
function sortValue(row, key) {
  if (key === "run") return Number(row.dataset.order);
  const run = RUNS[INDEX.get(row.dataset.name)];
  return run ? valueAt(run.last, key) : null;
}
function sortTable(key, up) {
  const body = $("#runs tbody"), rows = $$("tr", body);
  Object.assign(TABLE, { key, up });
  const before = (a, b) => a === null ? 1 : b === null ? -1 : a - b;
  rows.sort((a, b) => { const [x, y] = [sortValue(a, key), sortValue(b, key)]; return x === null || y === null ? before(x, y) : (up ? 1 : -1) * (x - y); });
  body.append(...rows);
  for (const heading of $$("#runs thead th")) {
    if (heading.dataset.key === key) heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    else heading.removeAttribute("aria-sort");
  }
}
function addColumn(key) {
  const heading = html("th", { scope: "col", "data-key": key }, MEASURES[key].words);
  $("#runs thead tr").append(heading);
  sortable(heading);
  for (const row of $$("#runs tbody tr")) {
    const run = RUNS[INDEX.get(row.dataset.name)];
    row.append(html("td", { "data-key": key, "data-label": MEASURES[key].words }, run ? entryText(run.last.values[key], key).replace(/ \((standard error|bound)\)/, "") : "—"));
  }
}
function sortable(heading) {
  const words = heading.textContent, button = html("button", { type: "button", onclick: () => sortTable(heading.dataset.key, TABLE.key === heading.dataset.key ? !TABLE.up : true) }, words);
  heading.replaceChildren(button);
}
function columnChooser(controls) {
  const list = html("div", { class: "columns" });
  for (const key of Object.keys(MEASURES)) {
    const there = $(`#runs th[data-key="${key}"]`);
    const box = html("input", {
      type: "checkbox", checked: Boolean(there), onchange: event => {
        if (event.target.checked && !$(`#runs th[data-key="${key}"]`)) addColumn(key);
        for (const cell of $$(`#runs [data-key="${key}"]`)) cell.hidden = !event.target.checked;
      },
    });
    list.append(html("label", {}, box, MEASURES[key].words));
  }
  controls.append(html("details", { class: "pick" }, html("summary", {}, "Columns"), list));
}

FIGURES.runs = {
  has: () => RUNS.length > 0,
  setup(section) {
    const controls = $(".controls", section);
    controls.append(html("input", { type: "search", placeholder: "Filter runs", "aria-label": "Filter runs by name", oninput: event => { TABLE.query = event.target.value.toLowerCase(); drawOne("runs"); } }));
    const sort = html("select", { "aria-label": "Sort by", class: "sort-by", onchange: event => sortTable(event.target.value, true) });
    for (const heading of $$("#runs thead th")) sort.append(html("option", { value: heading.dataset.key }, `sort by ${heading.textContent}`));
    controls.append(sort);
    $$("#runs thead th").forEach(sortable);
    columnChooser(controls);
    for (const row of $$("#runs tbody tr")) {
      const run = RUNS[INDEX.get(row.dataset.name)];
      if (!run) continue;
      row.setAttribute("data-run", run.index);
      const cell = row.cells[0], button = html("button", { type: "button", class: "name", "aria-pressed": "false" }, markIcon(run.group, isOpen(run)), html("span", {}, cell.textContent));
      cell.replaceChildren(button);
      row.addEventListener("click", () => focusOn(STATE.focus === run.index ? null : run.index));
    }
  },
  draw(section) {
    let count = 0;
    for (const row of $$("tbody tr", section)) {
      const run = RUNS[INDEX.get(row.dataset.name)], is = (!run || isShown(run)) && row.dataset.name.toLowerCase().includes(TABLE.query);
      row.hidden = !is;
      count += is;
      if (run) { row.classList.toggle("pin", STATE.focus === run.index); $("button.name", row)?.setAttribute("aria-pressed", String(STATE.focus === run.index)); }
    }
    $(".more", section).textContent = count < $$("tbody tr", section).length ? `${count} of ${$$("tbody tr", section).length} runs shown.` : "";
  },
  rows: () => {
    const keys = Object.keys(MEASURES);
    return [["run", DATA.word, "seed", "step", ...keys.flatMap(key => [key, `${key}_error`])], ...shown().map(run => [run.name, GROUPS[run.group].name, run.seed, run.last.step, ...keys.flatMap(key => { const e = run.last.values[key] || []; return [e[0] ?? null, e[1] ?? null]; })])];
  },
};
