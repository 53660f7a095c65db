"""Groups of runs side by side, seeds as replicates: means with intervals that are right for few seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from landscape.comparison.averages import LOG, centre_of, possible
from landscape.comparison.equal_loss import HOW, losses_differ
from landscape.comparison.groups import gather, notes, scope_notes
from landscape.comparison.terminal import fitted, new_table, on_two_lines
from landscape.escaping.frames import frame_of
from landscape.escaping.terminal import cell
from landscape.statistics import geometric_interval, mean_interval
from landscape.store import Results
from landscape.store.catalogue import IN_MEANS, MEASURES, label_of

if TYPE_CHECKING:
    from rich.table import Table

#: How the note begins that groups cannot be ranked as they are.
STAND = "The groups stand at"
COLUMNS = (
    "group", "measure", "n", "mean", "low", "high", "std", "scale", "gmean", "gmean_low", "gmean_high", "gstd"
)  # fmt: skip


def compare(results: Results | str | Path, by: str = "label", *, level: float = 0.95) -> pd.DataFrame:
    """Compare groups of runs in every measured number, at the last analysed checkpoint of each run.

    The runs of a group are replicates: the interval is for the mean over runs like these (another seed), by Student's
    t with n − 1 degrees of freedom, and does not include the measuring error of a single run, which is in the tables.
    Positive measures, such as λ_max and losses, live on a scale of factors: their geometric means, with intervals of
    the logarithms, are what tables and sentences show.

    Parameters
    ----------
    results : Results or path
        As :func:`landscape.load_results` takes it.
    by : str
        ``"label"`` (the optimizer where there is none), or a key of the training config that distinguishes groups, such
        as ``"optimizer"`` or ``"lr"``.
    level : float
        Confidence of the intervals.

    Returns
    -------
    DataFrame
        One row per group and measure with columns ``group, measure, n, mean, low, high, std``, and ``scale``:
        ``"linear"``, or ``"log"`` with ``gmean, gmean_low, gmean_high, gstd``: geometric mean, its interval, and the
        geometric standard deviation, a factor. ``n`` counts the runs that have the measure; ``std`` is over runs (ddof
        1). Of shares, intervals end at 0 and 1. With ``n = 1`` there is neither interval nor standard deviation: NaN.
        ``.attrs["notes"]`` holds what a reader must know, ``.attrs["scope"]`` which examples the measures are of,
        ``.attrs["by"]`` and ``.attrs["level"]`` the question.

    Raises
    ------
    UsageError
        If no run has the key ``by`` (the message lists those there are), or ``level`` is not between 0 and 1.
    ResultsError
        If the results cannot be read, or hold no analysed checkpoint.
    """
    groups = gather(results, by, level)
    records = []
    scales = {measure: groups.scale(measure) for measure in MEASURES}
    for label in groups.by_label:
        for measure, scale in scales.items():
            if values := groups.values(label, measure):
                factors = geometric_interval(values, level) if scale == LOG else (np.nan,) * 4
                mean, low, high, std = mean_interval(values, level)
                ends = possible(measure, low, high)
                records.append((label, measure, len(values), mean, *ends, std, scale, *factors))
    frame = frame_of(records, COLUMNS)
    left_out = [run.name for run in groups.runs if all(run not in runs for runs in groups.by_label.values())]
    found = notes(groups.by_label, groups.rows, by, left_out)
    if differ := losses_differ(frame):
        how = "they are compared at one loss, too" if groups.levels else f"compare them at equal loss ({HOW})"
        found.insert(0, f"{STAND} {differ}, and curvature follows the loss: {how}.")
    scope = scope_notes(groups.by_label, groups.rows)
    frame.attrs = {"by": by, "level": level, "notes": found, "scope": scope}
    return frame


def pivot(comparison: pd.DataFrame, value: str = "mean") -> pd.DataFrame:
    """The same numbers as measures (rows) by groups (columns), in the order of the comparison."""
    wide = comparison.pivot(index="measure", columns="group", values=value)
    measures = [m for m in MEASURES if m in set(comparison["measure"])]
    return wide.reindex(index=measures, columns=list(dict.fromkeys(comparison["group"])))


def cells(comparison: pd.DataFrame) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Headings of the groups with their n, and per measure the texts of their centres, ``—`` where missing."""
    groups = list(dict.fromkeys(comparison["group"]))
    runs = comparison.groupby("group", sort=False)["n"].max()
    table = {(row["group"], row["measure"]): str(centre_of(row)) for _, row in comparison.iterrows()}
    there = set(comparison["measure"])
    headings = [f"{group} (n={runs[group]})" for group in groups]
    return headings, [(m, [table.get((group, m), "—") for group in groups]) for m in MEASURES if m in there]


def comparison_table(comparison: pd.DataFrame) -> Table:
    """The comparison for a terminal of 80 columns: means with their intervals, and the notes below.

    Up to three groups stand side by side with all measures; more stand below each other with the main ones.
    """
    headings, body = cells(comparison)
    level = comparison.attrs.get("level", 0.95)
    table = new_table()
    lines = _legend(comparison, level)
    wide = len(headings) <= 3
    if wide:
        titles = ["measure", *headings]
        grid = [[label_of(measure), *texts] for measure, texts in body]
    else:
        main = [(measure, texts) for measure, texts in body if measure in IN_MEANS]
        titles = [str(comparison.attrs.get("by", "group")), *(label_of(m).replace(" ", "\n", 1) for m, _ in main)]
        grid = [[h, *(on_two_lines(t[i]) for _, t in main)] for i, h in enumerate(headings)]
    widths = fitted(titles, grid) if wide else [None] * len(titles)
    for i, (title, width) in enumerate(zip(titles, widths, strict=True)):
        is_fixed = not wide and i == 0
        table.add_column(cell(title), justify="right" if i else "left", no_wrap=is_fixed, overflow="fold", width=width)
    for texts in grid:
        table.add_row(*map(cell, texts))
    table.caption = cell("\n".join([*lines, *comparison.attrs.get("notes", [])]))
    return table


def _legend(comparison: pd.DataFrame, level: float) -> list[str]:
    lines = [f"mean ± half its {100 * level:g} % interval over runs (Student's t); n = 1 has none"]
    if (comparison["scale"] == LOG).any():
        lines.append("×/÷: geometric mean, and the factor to either end of that interval (of logarithms)")
    return lines
