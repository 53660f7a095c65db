// Each figure as CSV, SVG or PNG, in a file or on the clipboard, and its numbers as a table.
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
async function textCopied(text) {
  try { await navigator.clipboard.writeText(text); return true; } catch {
    const area = html("textarea", { class: "sr" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
async function copyText(text, button) {
  const done = await textCopied(text), words = button.textContent;
  button.textContent = done ? "Copied" : "Could not copy";
  say(button.textContent);
  setTimeout(() => { button.textContent = words; }, 1400);
}

const STYLED = ["fill", "stroke", "stroke-opacity", "stroke-width", "stroke-dasharray", "font-size", "font-weight", "opacity"];
const COLORS = new Map();
/** A colour as every program reads it: style sheets mix theirs, and give a word that few know. */
function plainColor(value) {
  if (!/^(color|oklab|oklch|lab)/.test(value)) return value;
  if (!COLORS.has(value)) {
    const pen = html("canvas", { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
    pen.fillStyle = value;
    pen.fillRect(0, 0, 1, 1);
    COLORS.set(value, `rgb(${[...pen.getImageData(0, 0, 1, 1).data].slice(0, 3).join(",")})`);
  }
  return COLORS.get(value);
}
/** A figure that looks the same without this page: what its style sheet says stands in its elements. */
function standalone(node) {
  const copy = node.cloneNode(true), from = [node, ...$$("*", node)], to = [copy, ...$$("*", copy)];
  from.forEach((element, i) => {
    const style = getComputedStyle(element);
    if (element.tagName !== "svg") for (const name of STYLED) to[i].style.setProperty(name, plainColor(style.getPropertyValue(name)));
    if (element.tagName === "text") to[i].style.fontFamily = "Helvetica, Arial, sans-serif";
    to[i].classList.remove("dim");
    for (const name of ["data-tip", "data-run", "data-other"]) to[i].removeAttribute(name);
  });
  return copy;
}
/** Words beside the figures of a section, line by line as they are broken there. */
function wordsAsSvg(element, left, top) {
  const style = getComputedStyle(element), box = element.getBoundingClientRect(), size = parseFloat(style.fontSize), lines = [""];
  const pen = html("canvas").getContext("2d"), right = parseFloat(style.paddingLeft) ? box.width - 12 : box.width;
  pen.font = `${style.fontWeight} ${size}px Helvetica, Arial, sans-serif`;
  const least = parseFloat(style.lineHeight) > 0 && box.height < 1.9 * parseFloat(style.lineHeight);  // it stands in one line
  for (const word of element.textContent.trim().split(/\s+/)) {
    if (!least && lines.at(-1) && pen.measureText(`${lines.at(-1)} ${word}`).width > right) lines.push(word);
    else lines[lines.length - 1] += `${lines.at(-1) ? " " : ""}${word}`;
  }
  return lines.map((line, i) => svg("text", {
    x: box.left - left + (parseFloat(style.paddingLeft) || 0), y: box.top - top + (parseFloat(style.paddingTop) || 0) + size * (1.1 + 1.3 * i),
    style: `font: ${style.fontWeight} ${size}px Helvetica, Arial, sans-serif; fill: ${plainColor(style.color)}`,
  }, line));
}
const figuresIn = section => $$("svg[role=img]", section);
/** All that is drawn in a section as one figure, with its headings; null where nothing is drawn as vectors. */
function wholeSvg(section) {
  const isThere = element => element.getClientRects().length > 0, figures = figuresIn(section).filter(isThere);
  if (!figures.length) return null;
  const said = $$("h2, h3, .plot .unit, .where, .cap b, .cap span, .facts span, .stamps li", section).filter(isThere);
  const marks = $$(".cap .icon", section).filter(isThere), boxes = [...figures, ...said, ...marks].map(element => element.getBoundingClientRect());
  const pad = 12, left = Math.min(...boxes.map(b => b.left)) - pad, top = Math.min(...boxes.map(b => b.top)) - pad;
  const width = Math.ceil(Math.max(...boxes.map(b => b.right)) - left + pad), height = Math.ceil(Math.max(...boxes.map(b => b.bottom)) - top + pad);
  const whole = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}` }, svg("rect", { width, height, fill: cssColor("--paper") }));
  for (const node of [...figures, ...marks]) {
    const box = node.getBoundingClientRect(), copy = standalone(node);
    for (const [key, value] of [["x", box.left - left], ["y", box.top - top], ["width", box.width], ["height", box.height], ["overflow", "visible"]]) copy.setAttribute(key, value);
    whole.append(copy);
  }
  for (const element of said) whole.append(...wordsAsSvg(element, left, top));
  whole.setAttribute("xmlns", SVG);
  return whole;
}
const svgText = section => { const whole = wholeSvg(section); return whole && whole.outerHTML; };
/** What a section draws at twice its size: of surfaces what their canvases show. */
function pngBlob(section) {
  const made = FIGURES[section.dataset.fig].png?.(), blobOf = canvas => new Promise(done => { canvas.toBlob(done); });
  if (made) return blobOf(made);
  const whole = wholeSvg(section), image = new Image(), canvas = html("canvas", { width: 2 * whole.getAttribute("width"), height: 2 * whole.getAttribute("height") });
  image.src = `data:image/svg+xml,${encodeURIComponent(whole.outerHTML)}`;
  return image.decode().then(() => { canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height); return blobOf(canvas); });
}
const KINDS = {
  svg: { type: "image/svg+xml", blob: async section => new Blob([svgText(section)], { type: "image/svg+xml" }) },
  png: { type: "image/png", blob: async section => pngBlob(section) },
  csv: { type: "text/csv", blob: async section => new Blob([csvOf(FIGURES[section.dataset.fig].rows())], { type: "text/csv" }) },
};
/** Whether there is such a picture: surfaces that turn are no vectors, and where nothing is drawn there is none. */
const isDrawn = (section, kind) => { settle(section.dataset.fig); return hasPicture(section, kind); };
const hasPicture = (section, kind) => kind === "csv" || figuresIn(section).length > 0 || (kind === "png" && $$("canvas", section).length > 0);
function told(section, text) {
  const place = $(".tools .said", section);
  place.textContent = text;
  say(text);
  clearTimeout(place.timer_);
  place.timer_ = setTimeout(() => { place.textContent = ""; }, 6000);
}
const NO_VECTORS = "Surfaces that turn are pixels: take PNG, or the map as SVG.";
async function saveFigure(section, kind, why = "") {
  if (!isDrawn(section, kind)) return told(section, figuresIn(section).length || $$("canvas", section).length ? NO_VECTORS : "Nothing is drawn.");
  save(`${section.id}.${kind}`, await KINDS[kind].blob(section));
  return told(section, `${why}Saved as ${section.id}.${kind}`);
}
/** A figure onto the clipboard; where that is refused, into a file instead, and said. */
async function copyFigure(section, kind) {
  if (!isDrawn(section, kind)) return saveFigure(section, kind);
  const { type, blob } = KINDS[kind];
  try {
    const item = { [type]: blob(section) };
    if (kind === "svg") {
      // Who takes no vectors takes their text: drawing programs read either.
      const text = svgText(section);
      if (!ClipboardItem.supports?.(type)) { if (!await textCopied(text)) throw new Error("refused"); return told(section, "Copied, as the text of an SVG"); }
      item["text/plain"] = new Blob([text], { type: "text/plain" });
    }
    await navigator.clipboard.write([new ClipboardItem(item)]);
    return told(section, `Copied as ${kind.toUpperCase()}`);
  } catch { return saveFigure(section, kind, "The browser refused the clipboard. "); }
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
  const pictures = section.dataset.fig === "runs" ? [] : ["png", "svg"];
  if (pictures.length) {
    tools.append(html("span", { class: "verb", "aria-hidden": "true" }, "Copy"));
    for (const kind of pictures) button(kind.toUpperCase(), `Copy this figure as ${kind.toUpperCase()}`, () => copyFigure(section, kind));
  }
  tools.append(html("span", { class: "verb", "aria-hidden": "true" }, "Save"));
  for (const kind of [...pictures, "csv"]) button(kind.toUpperCase(), `Save ${kind === "csv" ? "the numbers of this figure" : "this figure"} as ${kind.toUpperCase()}`, () => saveFigure(section, kind));
  section.append(tools);
  if (pictures.length) {
    const box = html("div", { class: "numbers", hidden: true, tabindex: 0 });
    const toggle = html("button", {
      type: "button", class: "quiet numbers-button", "aria-expanded": "false", onclick: () => {
        box.hidden = !box.hidden;
        toggle.setAttribute("aria-expanded", String(!box.hidden));
        if (!box.hidden) box.replaceChildren(numbersTable(figure.rows()));
      },
    }, "Numbers");
    tools.append(toggle);
    section.append(box);
  }
  tools.append(html("span", { class: "said" }));
}
