"""Puts figures, tables and words together into one file."""

from __future__ import annotations

import base64
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from landscape import comparison, plots, tables
from landscape.escaping.pages import page_text
from landscape.report.crosschecks import contradicted, crosschecks
from landscape.report.headline import headline
from landscape.report.interactive import plotly_library, surface_figure
from landscape.report.methods import methods
from landscape.report.run_details import disagreements, run_details
from landscape.rounding import format_value
from landscape.store import Results, citations, load_results
from landscape.store.outputs import write_whole
from landscape.store.view import natural_order

FILE_NAME = "report.html"
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
        Of the figures: see :func:`landscape.plots.paper_style`.
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
    results = _measured(results)
    with plots.paper_style(style, latex=latex):
        figures = plots.draw_all(results, target / "figures")
    write_whole(target / "paper" / "references.bib", citations(results) + "\n")
    tables.write_tables(results, target)
    environment = Environment(
        loader=PackageLoader("landscape.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=page_text,
    )  # fmt: skip
    page = environment.get_template("report.html.j2").render(_context(results, figures))
    return write_whole(target / FILE_NAME, page)


def _measured(results: Results) -> Results:
    """The same without checkpoints of which nothing was measured yet, as a killed analysis leaves them."""
    runs = (replace(run, checkpoints=tuple(c for c in run.checkpoints if c.records)) for run in results.runs)
    return replace(results, runs=tuple(runs))


def _context(results: Results, figures: list[plots.FigureFile]) -> dict[str, Any]:
    """Everything the template shows; it computes nothing itself."""
    info = results.info
    surface, surface_scale = surface_figure({run.name: c.records.get("plane") for run in results.runs for c in
                                             run.checkpoints[-1:]})  # fmt: skip
    failed = [
        (run.name, c.step, "; ".join(" ".join([name, c.not_reached.get(name, "")]).strip() for name in c.not_converged))
        for run in results.runs
        for c in run.checkpoints
        if c.not_converged
    ]
    text, references = methods(results)
    shown = tables.wide_measures(results)
    return {
        "title": _title(results),
        "style": Markup((Path(__file__).parent / "style.css").read_text()),
        "sentences": headline(results),
        "headings": [measure.heading.replace("\n", " ") for measure in shown],
        "rows": tables.final_cells(results, measures=shown),
        "table_notes": [line for line in tables.caption_lines(results) if not line.startswith(("*", "skipped"))],
        "figures": [_figure(figure) for figure in figures],
        "surface": Markup(surface) if surface else None,
        "surface_scale": surface_scale,
        "plotly": Markup(plotly_library()) if surface else None,
        "comparisons": _comparisons(results),
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


def _title(results: Results) -> str:
    problems = sorted({str(run.info["problem"]) for run in results.runs if run.info.get("problem")})
    labels = sorted({run.label for run in results.runs if run.label}, key=natural_order)
    what = ", ".join(problems) or results.path.parent.name
    return f"Curvature of {what}" + (f" by {', '.join(labels)}" if labels else "")


def _figure(figure: plots.FigureFile) -> dict[str, Any]:
    png = figure.png.read_bytes()
    image, width = base64.b64encode(png).decode(), int.from_bytes(png[16:20], "big")
    return {
        "name": figure.name, "title": figure.title, "caption": figure.caption, "wide": width > WIDE_PIXELS,
        "source": Markup(f"data:image/png;base64,{image}"), "pdf": f"figures/{figure.pdf.name}",
    }  # fmt: skip


def _comparisons(results: Results) -> list[dict[str, Any]]:
    """The tables over seeds, where there are several groups: at one training loss if it can be, then at the ends."""
    if len({run.label for run in results.runs if run.checkpoints} - {None}) < 2:
        return []
    tabulated, ends = [], "Over seeds"
    found = comparison.at_equal_loss(results)
    if found.levels:
        title = f"Over seeds, at a training loss of {format_value(found.level, digits=3)}"
        how = "Each run is read between two checkpoints, on a straight line in logarithms."
        tabulated.append((title, *comparison.equal_loss_cells(found), [how, *found.notes]))
        ends = "Over seeds, at the last checkpoints"
    if not found.by_match:
        frame = comparison.compare(results, by="label")
        tabulated.append((ends, *comparison.cells(frame), list(frame.attrs.get("notes", []))))
    return [dict(zip(("title", "headings", "body", "notes"), one, strict=True)) for one in tabulated]


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
