// Each figure as CSV, SVG or PNG, and its numbers as a table.
const FORMULA = /^\s*[=+\-@＝＋－＠]/;
const csvCell = v => {
  if (v === null || v === undefined) return "";
  if (typeof v === "number") return String(v);
  const text = FORMULA.test(v) ? `'${v}` : String(v);  // a spreadsheet would run it
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const csvOf = rows => `${rows.map(row => row.map(csvCell).join(",")).join("\n")}\n`;
function save(name, blob) {
  const link = html("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 4000);
}
async function copyText(text, button) {
  let done = true;
  try { await navigator.clipboard.writeText(text); } catch {
    const area = html("textarea", { class: "sr" });
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
  }
  const words = button.textContent;
  button.textContent = done ? "Copied" : "Could not copy";
  say(button.textContent);
  setTimeout(() => { button.textContent = words; }, 1400);
}

const STYLED = ["fill", "stroke", "stroke-opacity", "stroke-width", "stroke-dasharray", "font-size", "font-weight", "opacity"];
/** A figure that looks the same without this page: what its style sheet says stands in its elements. */
function standalone(node) {
  const copy = node.cloneNode(true), from = [node, ...$$("*", node)], to = [copy, ...$$("*", copy)];
  from.forEach((element, i) => {
    const style = getComputedStyle(element);
    if (element.tagName !== "svg") for (const name of STYLED) to[i].style.setProperty(name, style.getPropertyValue(name));
    if (element.tagName === "text") to[i].style.fontFamily = "Helvetica, Arial, sans-serif";
    to[i].classList.remove("dim");
    to[i].removeAttribute("data-tip");
  });
  copy.setAttribute("xmlns", SVG);
  copy.style.background = cssColor("--paper");
  return copy;
}
const figuresIn = section => $$("svg[role=img]", section);
function saveSvg(section) {
  const nodes = figuresIn(section);
  nodes.forEach((node, i) => save(`${section.id}${nodes.length > 1 ? `-${i + 1}` : ""}.svg`, new Blob([standalone(node).outerHTML], { type: "image/svg+xml" })));
}
/** PNG of the first figure of a section, at twice its size; of surfaces what their canvases show. */
function savePng(section) {
  const made = FIGURES[section.dataset.fig].png?.();
  if (made) { made.toBlob(blob => save(`${section.id}.png`, blob)); return; }
  figuresIn(section).forEach((node, i, all) => {
    const box = node.viewBox.baseVal, image = new Image(), canvas = html("canvas", { width: 2 * box.width, height: 2 * box.height });
    image.onload = () => {
      const pen = canvas.getContext("2d");
      pen.fillStyle = cssColor("--paper");
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob(blob => save(`${section.id}${all.length > 1 ? `-${i + 1}` : ""}.png`, blob));
    };
    image.src = `data:image/svg+xml,${encodeURIComponent(standalone(node).outerHTML)}`;
  });
}

const MOST_ROWS = 600;
function numbersTable(rows) {
  const [head, ...body] = rows, table = html("table");
  table.append(html("thead", {}, html("tr", {}, ...head.map(cell => html("th", { scope: "col" }, String(cell))))));
  table.append(html("tbody", {}, ...body.slice(0, MOST_ROWS).map(row => html("tr", {}, ...row.map(cell => html("td", {}, typeof cell === "number" ? digits(cell, 5) : String(cell ?? "")))))));
  if (body.length > MOST_ROWS) table.append(html("caption", {}, `The first ${MOST_ROWS} of ${body.length} rows; the CSV has all.`));
  return table;
}
/** The line of buttons below a figure. */
function addTools(section) {
  const figure = FIGURES[section.dataset.fig], tools = html("div", { class: "tools" });
  const button = (words, label, act) => tools.append(html("button", { type: "button", class: "quiet", "aria-label": label, onclick: act }, words));
  button("CSV", "Save the numbers of this figure as CSV", () => save(`${section.id}.csv`, new Blob([csvOf(figure.rows())], { type: "text/csv" })));
  if (section.dataset.fig !== "runs") {
    if (section.dataset.fig !== "surfaces") button("SVG", "Save this figure as SVG", () => saveSvg(section));
    button("PNG", "Save this figure as PNG", () => savePng(section));
    const box = html("div", { class: "numbers", hidden: true, tabindex: 0 });
    const toggle = html("button", {
      type: "button", class: "quiet", "aria-expanded": "false", onclick: () => {
        box.hidden = !box.hidden;
        toggle.setAttribute("aria-expanded", String(!box.hidden));
        if (!box.hidden) box.replaceChildren(numbersTable(figure.rows()));
      },
    }, "Numbers");
    tools.append(toggle);
    section.append(tools, box);
  } else section.append(tools);
}
