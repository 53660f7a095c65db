"""The tables of runs and of groups for a paper."""

from __future__ import annotations

from collections.abc import Sequence

from landscape.escaping.latex import latex_name, latex_number, latex_table, latex_text, side_by_side
from landscape.store import Results
from landscape.store.catalogue import MEASURES
from landscape.tables.content import SHOWN, caption_lines, final_cells, remarks


def summary_latex(results: Results) -> str:
    """The last checkpoint of each run, with errors."""
    headings = ["run", *(measure.tex_heading or measure.tex for measure in SHOWN)]
    below = remarks(results)
    return latex_table(headings, _run_lines(results), caption_lines(results), below, size="footnotesize")


def _run_lines(results: Results) -> list[list[str]]:
    """A line per run, and below it one of errors where there are any, so that the table fits a page."""
    lines = []
    for name, cells in final_cells(results):
        parts = [(c.parts(), c.converged) for c in cells]
        lines.append([latex_name(name or "."), *(latex_number(value, converged=ok) for (value, _), ok in parts)])
        if any(error for (_, error), _ in parts):
            lines.append(["", *(latex_number(error) if error else "" for (_, error), _ in parts)])
    return lines


def comparison_latex(
    headings: Sequence[str], body: Sequence[tuple[str, list[str]]], notes: Sequence[str], scope: Sequence[str]
) -> str:
    """Groups side by side, as :func:`landscape.comparison.cells` gives them; several tables where one is too wide."""
    measures = [MEASURES[measure].tex if measure in MEASURES else latex_text(measure) for measure, _ in body]
    columns = [[heading, *(texts[i] for _, texts in body)] for i, heading in enumerate(headings)]
    tables: list[str] = []
    words = [MEASURES[measure].words if measure in MEASURES else measure for measure, _ in body]
    for chosen in side_by_side(words, columns):
        lines = (
            [measure, *(latex_number(texts[i]) for i in chosen)]
            for measure, (_, texts) in zip(measures, body, strict=True)
        )
        titles = ["measure", *(latex_name(headings[i]) for i in chosen)]
        said = ((), ()) if tables else (notes, scope)  # with the first of them
        tables.append(latex_table(titles, lines, *said, size="footnotesize"))
    return "\n\\par\\medskip\\noindent\n".join(tables)
