"""Puts figures, tables and words together into one file."""

from __future__ import annotations

import base64
import json
import shlex
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from landscape import comparison, plots, tables
from landscape.comparison import EqualLoss
from landscape.escaping.pages import page_text
from landscape.plots.arrays import with_records
from landscape.plots.drawing import count_words
from landscape.report import assets
from landscape.report.answer import answer, ends_word, labels_of, question
from landscape.report.caveats import caveats
from landscape.report.crosschecks import contradicted, crosschecks
from landscape.report.data import page_data, script_json
from landscape.report.data.spectra import KERNEL
from landscape.report.headline import headline
from landscape.report.living import is_living
from landscape.report.methods import methods
from landscape.report.run_details import disagreements, run_details
from landscape.rounding import format_value
from landscape.store import Results, citations, load_results
from landscape.store.catalogue import label_of
from landscape.store.outputs import write_whole
from landscape.store.view import natural_order

FILE_NAME = "report.html"
#: Where the page can be entered, in its order; the page leaves out what it has not.
CONTENTS = (
    ("surfaces", "Surfaces"), ("flatness", "Flatness"), ("found", "What was found"), ("spectrum", "Spectrum"),
    ("slices", "Slices"), ("training", "Training"), ("between", "Between minima"), ("runs", "Runs"),
    ("seeds-1", "Over seeds"), ("figures", "Figures"), ("details", "Run by run"), ("methods", "Methods"),
)  # fmt: skip
WIDE_PIXELS = 900  # a figure made for both columns of a paper gets the whole width of the page


def write_report(
    results: Results | str | Path,
    folder: str | Path | None = None,
    *,
    style: str | plots.PaperStyle | None = None,
    latex: bool = False,
) -> Path:
    """Draw ``figures/``, write ``tables/``, ``paper/references.bib`` and ``report.html``.

    Parameters
    ----------
    results : Results, str or Path
        What ``load_results`` gives, or where it lies.
    folder : str or Path, optional
        Left out, the folder of ``results.h5``.
    style : {"neurips", "icml", "iclr", "ieee", "thesis"} or PaperStyle, optional
        Of the figures: see :func:`landscape.plots.paper_style`. The LaTeX tables fit a column of its text.
    latex : bool
        LaTeX sets the text of the PDF figures.

    Returns
    -------
    Path
        ``report.html``: one file that loads nothing from elsewhere, written whole or not at all.
    """
    if not isinstance(results, Results):
        results = load_results(results, vectors=False)
    target = Path(folder) if folder is not None else results.path.parent
    results = with_records(results)
    with plots.paper_style(style, latex=latex) as page:
        figures = plots.draw_all(results, target / "figures")
    write_whole(target / "paper" / "references.bib", citations(results) + "\n")
    tables.write_tables(results, target, width=None if style is None else page.text)
    environment = Environment(
        loader=PackageLoader("landscape.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=page_text,
    )  # fmt: skip
    html = environment.get_template("report.html.j2").render(_context(results, figures))
    return write_whole(target / FILE_NAME, html)


def _context(results: Results, figures: list[plots.FigureFile]) -> dict[str, Any]:
    """Everything the template shows; it computes nothing itself."""
    info = results.info
    matched = _matched(results)
    data = page_data(results, matched)
    failed = [
        (run.name, c.step, "; ".join(" ".join([name, c.not_reached.get(name, "")]).strip() for name in c.not_converged))
        for run in results.runs
        for c in run.checkpoints
        if c.not_converged
    ]
    text, references = methods(results)
    shown = tables.wide_measures(results)
    said, sure = answer(results, matched)
    tabulated = _comparisons(results, matched)
    return {
        "title": _title(results),
        "question": question(results),
        "ends": ends_word(results),
        "answer": said,
        "sure": sure,
        "facts": _facts(results),
        "contents": [(anchor, words) for anchor, words in CONTENTS if anchor != "seeds-1" or tabulated],
        "caveats": caveats(results),
        "kernel": KERNEL,
        "style": assets.style(),
        "vendor": assets.vendor(),
        "licences": assets.licences(),
        "script": assets.script(),
        "data": script_json(data),
        "sentences": headline(results, matched),
        "headings": [(measure.heading.replace("\n", " "), measure.key) for measure in shown],
        "rows": tables.final_cells(results, measures=shown),
        "table_notes": [line for line in tables.caption_lines(results) if not line.startswith(("*", "skipped"))],
        "figures": [_figure(figure) for figure in figures if not is_living(figure.name, data)],
        "files": [_link(figure) for figure in figures if is_living(figure.name, data)],
        "comparisons": tabulated,
        "crosschecks": crosschecks(results),
        "contradicted": contradicted(results),
        "runs": [run_details(run) for run in results.runs],
        "failed": failed,
        "disagreeing": [(run.name, ", ".join(found)) for run in results.runs if (found := disagreements(run))],
        "skipped": info.get("skipped") or [],
        "methods": text,
        "references": references,
        "provenance": _provenance(results),
        "command": info.get("command") or _command(results),
    }


def _matched(results: Results) -> EqualLoss:
    """The comparison at one training loss; one without a level where no run is in a group."""
    return comparison.at_equal_loss(results) if labels_of(results) else EqualLoss.nowhere("no run has a label")


def _facts(results: Results) -> list[str]:
    """What the runs are, in a line: problem and groups, how many runs, parameters and examples."""
    runs = [run for run in results.runs if run.checkpoints]
    facts = [_title(results), count_words(len(runs), "run")]
    for key, words in (("num_parameters", "parameters"), ("num_examples", "training examples")):
        counts = sorted({n for run in runs if isinstance(n := run.info.get(key), int)})
        if counts:
            facts.append(f"{counts[0]:,}{f' to {counts[-1]:,}' if len(counts) > 1 else ''} {words}")
    return facts


def _title(results: Results) -> str:
    problems = sorted({str(run.info["problem"]) for run in results.runs if run.info.get("problem")})
    labels = sorted({run.label for run in results.runs if run.label}, key=natural_order)
    what = ", ".join(problems) or results.path.parent.name
    return f"Curvature of {what}" + (f" by {', '.join(labels)}" if labels else "")


def _link(figure: plots.FigureFile) -> dict[str, str]:
    return {"title": figure.title, "pdf": f"figures/{figure.pdf.name}"}


def _figure(figure: plots.FigureFile) -> dict[str, Any]:
    png = figure.png.read_bytes()
    image, width = base64.b64encode(png).decode(), int.from_bytes(png[16:20], "big")
    return {
        "name": figure.name, "title": figure.title, "caption": figure.caption, "wide": width > WIDE_PIXELS,
        "source": Markup(f"data:image/png;base64,{image}"), "pdf": f"figures/{figure.pdf.name}",
    }  # fmt: skip


def _comparisons(results: Results, found: EqualLoss) -> list[dict[str, Any]]:
    """The tables over seeds, where there are several groups: at one training loss if it can be, then at the ends."""
    if len(labels_of(results)) < 2:
        return []
    tabulated, ends = [], "Over seeds"
    if found.levels:
        title = f"Over seeds, at a training loss of {format_value(found.level, digits=3)}"
        how = "Each run is read between two checkpoints, on a straight line in logarithms."
        tabulated.append((title, *comparison.equal_loss_cells(found), [how, *found.notes]))
        ends = "Over seeds, at the last checkpoints"
    if not found.by_match:
        frame = comparison.compare(results, by="label")
        tabulated.append((ends, *comparison.cells(frame), list(frame.attrs.get("notes", []))))
    return [
        {"title": title, "headings": headings, "body": [(label_of(m), texts) for m, texts in body], "notes": notes}
        for title, headings, body, notes in tabulated
    ]


def _provenance(results: Results) -> list[tuple[str, str]]:
    info = results.info
    plan = ", ".join(f"{k}={v}" for k, v in sorted((info.get("plan") or {}).items()) if v is not None)
    versions = ", ".join(f"{name} {version}" for name, version in (info.get("versions") or {}).items())
    prints = sorted({str(run.info["fingerprint"])[:16] for run in results.runs if run.info.get("fingerprint")})
    spent = [p for run in results.runs for c in run.checkpoints for p in c.provenance.values()]
    routes = sorted({str(p["route"]) for p in spent if p.get("route")})
    lines = [
        ("plan", f"{info.get('plan_name', 'unknown')}: {plan}" if plan else None),
        ("versions", versions), ("platform", info.get("platform")), ("threads", info.get("threads")),
        ("measured", info.get("created")), ("objective fingerprints", ", ".join(prints)),
        ("Hessian-vector products", f"{sum(int(p.get('matvecs') or 0) for p in spent)}, {', '.join(routes)}"),
        ("time of all records", f"{format_value(sum(float(p.get('seconds') or 0) for p in spent), digits=3)} s"),
    ]  # fmt: skip
    return [(label, str(text)) for label, text in lines if text]


def _command(results: Results) -> str:
    """What to type for the same plan, where the analysis was started from Python: each of its fields is a flag."""
    plan = {name: value for name, value in (results.info.get("plan") or {}).items() if value is not None}
    flags = [part for name, value in plan.items() for part in _flag(name.replace("_", "-"), value)]
    return shlex.join(["landscape", "analyze", str(results.path.parent), *flags])


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}", json.dumps(value) if isinstance(value, dict) else str(value)]
