"""The tables of runs and of groups for a paper: as wide as a page, or as a column of one."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import pairwise

from landscape.escaping.latex import (
    latex_name,
    latex_number,
    latex_table,
    latex_text,
    letters_of,
    side_by_side,
)
from landscape.store import Results
from landscape.store.catalogue import MEASURES
from landscape.tables.content import SHOWN, WIDE, WIDEST, Cell, caption_lines, final_cells, remarks

#: Letters of the words of a measure, and of a run's name, in a narrow table.
_WORDS, _NAME = 21, 14
#: What may stand in a table of runs, until it fits: digits of a number whose error is below them, letters of a number.
_NARROWER = ((WIDE, WIDEST), (4, 9), (3, 8))
#: Inches of a page of the article class.
_PAGE = 4.77
_NEXT = "\n\\par\\medskip\\noindent\n"


def summary_latex(results: Results, width: float | None = None) -> str:
    """The last checkpoint of each run, with errors.

    Parameters
    ----------
    results : Results
    width : float, optional
        Inches of a column of the paper, left out of a page. Where the table is wider, numbers have fewer digits; where
        that is not enough, its measures are cut into tables below each other.
    """
    headings = [measure.tex_heading or measure.tex for measure in SHOWN]
    notes, below = caption_lines(results), remarks(results)
    cells, widest, cuts = _fitting(results, letters_of(width or _PAGE))
    tables = []
    for chosen in cuts:
        said = (notes, below) if chosen.start == 0 else ((), ())
        titles = ["run", *(headings[i] for i in chosen)]
        lines = _run_lines(cells, chosen, widest)
        tables.append(
            latex_table(titles, lines, *said, size="footnotesize", letters=None if width is None else letters_of(width))
        )
    return _NEXT.join(tables)


Cells = Sequence[tuple[str, Sequence[Cell]]]


def _fitting(results: Results, letters: int) -> tuple[Cells, int, list[range]]:
    """Cells, letters of a number, and the columns of each table: of one table if fewer digits make it fit."""
    found = []
    for digits, widest in _NARROWER:
        cells = final_cells(results, digits=digits)
        names = [name[:_NAME] for name, _ in cells]
        columns = [
            [
                *measure.heading.replace("\n", " ").split(),
                *(part for _, line in cells for part in line[i].parts(widest)),
            ]
            for i, measure in enumerate(SHOWN)
        ]
        found.append((cells, widest, side_by_side(names, columns, letters)))
    whole = [one for one in found if len(one[2]) == 1]
    cells, widest, cuts = whole[0] if whole else found[1]
    return cells, widest, even(cuts)


def even(cuts: Sequence[range]) -> list[range]:
    """As many parts, none much longer than another: five and three columns, not seven and one."""
    count, parts = sum(map(len, cuts)), len(cuts)
    ends = [round(count * k / parts) for k in range(parts + 1)]
    made = [range(a, b) for a, b in pairwise(ends)]
    fits = all(len(part) <= min(map(len, cuts[:-1])) for part in made) if parts > 1 else False
    return made if fits else list(cuts)


def _run_lines(cells: Cells, chosen: Sequence[int], widest: int) -> list[list[str]]:
    """A line per run, and below it one of errors where there are any, so that the table fits a page."""
    lines = []
    for name, every in cells:
        line = [every[i] for i in chosen]
        parts = [(c.parts(widest), c.converged) for c in line]
        lines.append([latex_name(name or "."), *(latex_number(value, converged=ok) for (value, _), ok in parts)])
        if any(error for (_, error), _ in parts):
            lines.append(["", *(latex_number(error) if error else "" for (_, error), _ in parts)])
    return lines


def comparison_latex(
    headings: Sequence[str],
    body: Sequence[tuple[str, list[str]]],
    notes: Sequence[str],
    scope: Sequence[str],
    width: float | None = None,
) -> str:
    """Groups side by side, as :func:`landscape.comparison.cells` gives them; several tables where one is too wide.

    Where that makes fewer of them, each number stands above its interval. ``width`` as for :func:`summary_latex`.
    """
    letters = letters_of(width or _PAGE)
    groups = [heading.rpartition(" (n=") for heading in headings]
    names = [name or count for name, _, count in groups]
    counts = ("$n$", [[count.removesuffix(")")] for *_, count in groups])
    rows: Rows = [counts, *((measure, [[text] for text in texts]) for measure, texts in body)]
    stacked: Rows = [counts, *((measure, [_stacked(text) for text in texts]) for measure, texts in body)]
    cuts, above = (_cuts(names, one, letters) for one in (rows, stacked))
    if len(above) < len(cuts):
        rows, cuts = stacked, above
    tables = []
    for chosen in cuts:
        lines = [line for measure, texts in rows for line in _lines_of(measure, [texts[i] for i in chosen])]
        said = (notes, scope) if chosen.start == 0 else ((), ())
        titles = ["measure", *(latex_name(names[i]) for i in chosen)]
        tables.append(
            latex_table(titles, lines, *said, size="footnotesize", letters=None if width is None else letters)
        )
    return _NEXT.join(tables)


Rows = Sequence[tuple[str, Sequence[Sequence[str]]]]


def _cuts(names: Sequence[str], rows: Rows, letters: int) -> list[range]:
    columns = [[name[:_NAME], *(part for _, texts in rows for part in texts[i])] for i, name in enumerate(names)]
    words = [line for measure, _ in rows for line in _words(measure) if not line.startswith("$")]
    return side_by_side(words, columns, letters)


def _stacked(text: str) -> list[str]:
    """A number, and what follows it: its half interval, a factor, or both ends.

    >>> _stacked("0.035 ×/÷ 1.4e5"), _stacked("0.977 [0.942, 1]"), _stacked("1"), _stacked("(1.2 ± 0.1)e-6")
    (['0.035', '×/÷ 1.4e5'], ['0.977', '[0.942, 1]'], ['1'], ['1.2e-6', '± 0.1e-6'])
    """
    if scaled := re.fullmatch(r"\((.+) ± (.+)\)(e-?\d+)", text):
        value, error, power = scaled.groups()
        return [value + power, f"± {error}{power}"]
    for sign in ("×/÷", "±", "["):
        value, found, rest = text.partition(f" {sign}")
        if found:
            return [value, f"{sign}{rest}"]
    return [text]


def _lines_of(measure: str, cells: Sequence[Sequence[str]]) -> list[list[str]]:
    """The words of a measure on as many lines as they need, its numbers beside the first of them."""
    words = [line if line.startswith("$") else latex_text(line) for line in _words(measure)]
    count = max(len(words), *(len(parts) for parts in cells), 1)
    lines = [
        [words[k] if k < len(words) else "", *(latex_number(c[k]) if k < len(c) else "" for c in cells)]
        for k in range(count)
    ]
    lines[0][0] = rf"\addlinespace[2pt]{lines[0][0]}" if count > 1 else lines[0][0]
    return lines


def _words(measure: str) -> list[str]:
    """Its symbol in LaTeX, else its words as they are, on several lines."""
    known = MEASURES.get(measure)
    tex = known.tex if known else measure
    if tex.startswith("$"):
        return [tex]
    plain = known.words if known and tex == latex_text(known.words) else tex
    return textwrap.wrap(plain, _WORDS, break_on_hyphens=False) or [""]
