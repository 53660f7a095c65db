"""A study as three pages of LaTeX: question, methods with every setting, tables, figures, limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader

from landscape.comparison import (
    DISAGREE,
    LOG,
    STAND,
    EqualLoss,
    cells,
    estimate_of,
    interval_text,
    spread_cells,
    where_read,
)
from landscape.escaping.control_characters import visible
from landscape.escaping.latex import latex_number, latex_sentence, latex_table, latex_text
from landscape.escaping.spreadsheet import frame_csv
from landscape.rounding import format_value
from landscape.store import citations
from landscape.store.catalogue import IN_PAPER, IN_PAPER_CONTRASTS, MEASURES, label_of
from landscape.store.outputs import write_whole
from landscape.study import costs, quantities
from landscape.study.design import Study
from landscape.study.figures import is_full, paper_figures
from landscape.study.findings import MANY, Material
from landscape.study.methods import SEEDS, methods
from landscape.study.quantities import Quantity
from landscape.study.sentences import findings
from landscape.study.writing import write_samples
from landscape.version import __version__

MOST_ROWS = 12
SPREADS = (
    "Standard deviations over seeds with their 95 % intervals (Bonett, on logarithms where a measure is positive), at "
    "the end of training; p that the arms have one (Levene's test about medians), Holm-adjusted over all measures."
)


def write_paper(material: Material, folder: Path) -> Path:
    """``report.tex`` with its tables and figures beside it; the same rows as CSV, the sentences as ``findings.txt``,
    the papers behind the measures as ``references.bib``.

    Returns
    -------
    Path
        ``folder/report.tex``; it compiles with pdflatex, booktabs and graphicx.
    """
    study, pairs, matched = material.study, material.pairs, material.at_equal_loss
    below = bool(study.within) and len(study.arms) > MANY
    _write_means(material.means, folder, "means", below=below)
    if matched is not None and material.matched_means is not None:
        _write_means(material.matched_means, folder, "matched", below=below)
        for name, frame in (("levels", matched.table), ("runs", matched.runs), ("contrasts", matched.contrasts)):
            write_whole(folder / f"matched_{name}.csv", frame_csv(frame))
    if material.spreads is not None:
        _write_spreads(material.spreads, folder)
    if pairs is not None:
        write_whole(folder / "contrasts.tex", _fitted(_contrast_rows(pairs)))
        write_whole(folder / "contrasts.csv", frame_csv(pairs))
    samples = material.samples
    samples_caption = "" if samples is None else write_samples(study, samples, folder)
    if material.blocks is not None:
        write_whole(folder / "blocks.csv", frame_csv(material.blocks))
    figures = paper_figures(material, folder)
    tables = [
        name for name in ("measured", "costs") if write_quantities(study, name, getattr(material, name), folder)
    ]  # fmt: skip
    write_whole(folder / "references.bib", citations(material.found) + "\n")
    found = findings(material)
    write_whole(folder / "findings.txt", "\n".join(map(visible, found)) + "\n")
    # The forest plot shows what the table of differences says; contrasts.tex is there for whoever wants it.
    drawn = any(figure["name"] == "differences" for figure in figures)
    tabulated = pairs is not None and not study.only and not drawn and not is_full(study)
    text = environment().get_template("paper.tex.j2").render(
        title=latex_text(study.heading),
        version=__version__,
        question=latex_text(study.question),
        methods=methods(study, material.choices, material.found),
        findings=[latex_sentence(sentence) for sentence in found],
        means_caption=not study.only and latex_text(
            f"Means over {len(study.seeds)} seeds ± half the 95 % interval (Student's t), at the end of training; ×/÷: "
            "geometric means, and the factor to either end of that interval."
        ),
        matched_caption=None if matched is None else latex_text(_matched_caption(matched)),
        spreads_caption=None if material.spreads is None else latex_text(SPREADS),
        quantities=[(name, latex_text(quantities.caption(getattr(material, name)))) for name in tables],
        contrasts_caption=latex_text(_contrast_caption(pairs)) if pairs is not None and tabulated else None,
        samples_caption=latex_text(samples_caption) if samples_caption else None,
        figures=figures,
        notes=[latex_sentence(note) for note in limits(material)],
    )  # fmt: skip
    return write_whole(folder / "report.tex", text)


def _write_means(means: pd.DataFrame, folder: Path, name: str, *, below: bool) -> None:
    """Arms side by side, cut into several tables where there are many, or all of them one below the other."""
    headings, body = cells(means)
    if means.groupby("group")["n"].max().nunique() == 1:
        headings = [str(group) for group in dict.fromkeys(means["group"])]  # the caption says how many seeds
    rows = dict(body)
    shown = {MEASURES[key].tex: list(map(latex_number, rows[key])) for key in IN_PAPER if key in rows}
    arms, tables = list(map(latex_text, headings)), []
    if below:
        columns = zip(*shown.values(), strict=True)
        tables.append(latex_table(["", *shown], ([arm, *cell] for arm, cell in zip(arms, columns, strict=True))))
    else:
        width = -(-len(arms) // -(-len(arms) // MANY))  # two tables of six rather than of seven and five
        for i in range(0, len(arms), width):
            lines = ([label, *row[i : i + width]] for label, row in shown.items())
            tables.append(latex_table(["", *arms[i : i + width]], lines))
    write_whole(folder / f"{name}.tex", "\n\n\\smallskip\n".join(map(_fitted, tables)))
    write_whole(folder / f"{name}.csv", frame_csv(means))


def write_quantities(study: Study, name: str, found: Sequence[Quantity], folder: Path) -> bool:
    """A table of what was measured of the problem's own, or of costs; whether there is any."""
    if not found:
        return False
    write_whole(folder / f"{name}.tex", _fitted(quantities.table(study, found)))
    write_whole(folder / f"{name}_contrasts.csv", frame_csv(quantities.differences(study, found)))
    return True


def _write_spreads(found: pd.DataFrame, folder: Path) -> None:
    headings, body = spread_cells(found)
    rows = dict(body)
    shown = ([MEASURES[key].tex, *map(_interval, rows[key])] for key in IN_PAPER if key in rows)
    table = latex_table(["", *map(latex_text, headings[:-2]), "$p$", "Holm"], shown)
    write_whole(folder / "spreads.tex", _fitted(table))
    write_whole(folder / "spreads.csv", frame_csv(found))


def _fitted(table: str) -> str:
    """Made narrower where the page is; in another paper, which has no ``fit``, as wide as it is."""
    return "\\providecommand{\\fit}[1]{#1}\n\\fit{%\n" + table + "}\n"


def _interval(cell: tuple[str, ...]) -> str:
    value, *ends = map(latex_number, cell)
    return value + (" [{}, {}]".format(*ends) if ends else "")


def _contrast_rows(pairs: pd.DataFrame) -> str:
    """The pairs with the smallest adjusted p of each measure, as many as have room."""
    shown = pairs[pairs["measure"].isin(IN_PAPER_CONTRASTS)].sort_values("p_holm", kind="stable")
    shown = shown.groupby("measure", sort=False).head(MOST_ROWS // len(IN_PAPER_CONTRASTS))
    headings = ["measure", "arms", "estimate", r"95\,\% together", "$g$", "$p$", "Holm"]
    rows: list[list[str]] = []
    for measure in IN_PAPER_CONTRASTS:
        row: Any
        for row in shown[shown["measure"] == measure].itertuples():
            size, ends = estimate_of(row)[0], interval_text(row, lambda end: format_value(end, digits=3))
            interval = latex_number(ends) if ends else "--"
            numbers = map(_number, (row.effect, row.p, row.p_holm))
            sign, times = ("÷", r"$\times$ ") if row.scale == LOG else ("−", "")
            names = MEASURES[measure].tex, latex_text(f"{row.a} {sign} {row.b}")
            rows.append([*names, times + _number(size), interval, *numbers])
    return latex_table(headings, rows)


def _contrast_caption(pairs: pd.DataFrame) -> str:
    total = len(pairs[pairs["measure"] == IN_PAPER_CONTRASTS[0]])
    cut = f" Of {total} pairs those of the smallest adjusted p are shown." if 3 * total > MOST_ROWS else ""
    return (
        "Differences between arms, of positive measures ratios of geometric means (effects and p: of logarithms), "
        "seeds paired; g: Hedges; p: permutation test, Holm-adjusted over the pairs "
        f"compared in one measure; the intervals hold for all those pairs together and agree with it.{cut}"
    )


def _matched_caption(matched: EqualLoss) -> str:
    return (
        f"Means over seeds where all arms have a training loss of {where_read(matched)} on a straight line "
        "in logarithms; ± and ×/÷ reach to the ends of 95 % intervals (Student's t), the latter of "
        "geometric means."
    )


def limits(material: Material) -> list[str]:
    """What a reader must know before believing the findings; plain text."""
    found = []
    if edge := [choice.label for choice in material.choices if choice.at_edge]:
        found.append(f"Learning rates at the edge of their grid, beyond which a better may lie: {', '.join(edge)}.")
    if ends := [f"{choice.label} ({', '.join(choice.edges)})" for choice in material.choices if choice.edges]:
        found.append(f"Tuned to the first or last of what was tried: {', '.join(ends)}.")
    if material.at_equal_loss is not None:
        found += material.at_equal_loss.notes
    elif material.unmatched:
        found.append(f"The arms were not compared at equal training loss: {material.unmatched}.")
    found += [f"Diverged: {line}" for line in material.diverged]
    fixed = [arm.label for arm in material.study.arms if any(arm.settings.get(key) is not None for key in SEEDS)]
    if fixed:
        found.append(f"{', '.join(fixed)}: held at one seed of weights or order; these means are not means over it.")
    found += costs.notes(material.study, material.courses)
    if material.pairs is not None:
        found += [note for note in material.pairs.attrs.get("notes", []) if _concerns(material.study, note)]
    if material.study.tuning is not None and material.study.tuning.by.startswith("test"):
        found.append("Learning rates were chosen by the test data, so test figures are too good.")
    # Those on what this paper says at length are left out.
    matched = material.at_equal_loss is not None
    means = [note for note in material.means.attrs.get("notes", []) if _concerns(material.study, note)]
    return found + [note for note in means if not (matched and note.startswith(STAND))]


def _concerns(study: Study, note: str) -> bool:
    """Whether a paper that is on a few measures alone speaks of what a note is on."""
    if not study.only:
        return True
    missing = " is missing for " in note and not note.startswith(tuple(label_of(key) for key in study.only))
    return not (missing or note.startswith((STAND, DISAGREE)))


def _number(value: float) -> str:
    return "--" if not np.isfinite(value) else latex_number(format_value(float(value), digits=3))


def environment() -> Environment:
    """Of templates; LaTeX is full of braces: other marks."""
    return Environment(
        loader=PackageLoader("landscape.study", "."),
        variable_start_string="<<", variable_end_string=">>", block_start_string="[%", block_end_string="%]",
        comment_start_string="[#", comment_end_string="#]", trim_blocks=True, lstrip_blocks=True, autoescape=False,
    )  # fmt: skip
