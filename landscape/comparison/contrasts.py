"""Every pair of groups, measure by measure: is the difference there, and how large is it?"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import astuple, fields, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from landscape.comparison.averages import LOG, centre
from landscape.comparison.groups import Groups, gather, setting
from landscape.comparison.terminal import new_table
from landscape.errors import UsageError
from landscape.escaping.terminal import cell
from landscape.rounding import format_short
from landscape.statistics import Contrast, contrast, holm
from landscape.statistics.intervals import as_factor
from landscape.store import Results, RunResults
from landscape.store.catalogue import COUNTERPARTS, MEASURES, shown_contrasts

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = (
    "measure", "a", "b", *(field.name for field in fields(Contrast)), "scale", "ratio", "ratio_low", "ratio_high",
    "p_holm",
)  # fmt: skip
_LONG = 25
#: Adjusted p below which a difference is marked.
ALPHA = 0.05
#: Means that differ by less, relative to the larger, have no order worth a warning.
NEGLIGIBLE = 0.01


def contrasts(
    results: Results | str | Path, by: str = "label", *, within: str | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Differences between all pairs of groups, at the last analysed checkpoint of each run.

    Seeds are paired where both groups have them: a pair shares its initial weights and the order of its data. p comes
    from a permutation test, which needs no distribution and is exact for few seeds; ``smallest_p`` is the least that a
    design of this size can give. ``p_holm`` is adjusted over the pairs of groups of one measure.

    Parameters
    ----------
    results, by
        As for :func:`landscape.compare`.
    within : str, optional
        A setting, such as ``"batch_size"`` or ``"problem_config"``: only groups that agree in it are compared.
    level : float
        Confidence of the intervals of differences and effects.

    Returns
    -------
    DataFrame
        One row per measure and pair of groups: ``measure, a, b`` and the fields of
        :class:`landscape.statistics.Contrast`, then ``scale, ratio, ratio_low, ratio_high, p_holm``. On the scale
        ``"log"``, where all values of a positive measure are above 0, effect and p are of the logarithms, ``ratio`` is
        of the geometric means a ÷ b, and difference, low and high stay linear. ``.attrs["notes"]`` says where measures
        that depend on the scale of the weights order the groups otherwise than those that do not.

    Raises
    ------
    UsageError, ResultsError
        As :func:`landscape.compare`; also if there are fewer than two groups, no two agree in ``within``, or the runs
        of one group do not.
    """
    groups = gather(results, by, level)
    if len(groups.by_label) < 2:
        raise UsageError(f"by={by!r} gives {len(groups.by_label)} group; a difference needs two")
    pairs = _pairs(groups, within)
    records: list[tuple[Any, ...]] = []
    for measure in MEASURES:
        values = {label: _by_seed(runs, groups.rows, measure) for label, runs in groups.by_label.items()}
        scale = groups.scale(measure)
        found = [
            (measure, a, b, *_compared(values[a], values[b], scale, level)) for a, b in pairs if values[a] and values[b]
        ]
        adjusted = holm([row[COLUMNS.index("p")] for row in found])
        records += [(*row, p) for row, p in zip(found, adjusted, strict=True)]
    frame = pd.DataFrame.from_records(records, columns=list(COLUMNS))
    frame.attrs = {"by": by, "level": level, "notes": _disagreements(groups, pairs)}
    return frame


def _compared(a: dict[Any, float], b: dict[Any, float], scale: str, level: float) -> tuple[Any, ...]:
    """The fields of a contrast on its scale, with the linear difference, then scale, ratio and its interval."""
    linear = contrast(a, b, level=level)
    if scale != LOG:
        return (*astuple(linear), scale, np.nan, np.nan, np.nan)
    logs = contrast(*({key: math.log(value) for key, value in group.items()} for group in (a, b)), level=level)
    ratios = (as_factor(x) for x in (logs.difference, logs.low, logs.high))
    kept = replace(logs, difference=linear.difference, low=linear.low, high=linear.high)
    return (*astuple(kept), scale, *ratios)


def _pairs(groups: Groups, within: str | None) -> list[tuple[Any, Any]]:
    """Those that are compared: all, or the ones that agree in a setting."""
    every = list(combinations(groups.by_label, 2))
    if within is None:
        return every
    shared: dict[Any, Any] = {}
    for label, runs in groups.by_label.items():
        values = {setting(run, within) for run in runs}
        if len(values) > 1:
            listed = ", ".join(sorted(map(str, values)))
            raise UsageError(f"within={within!r}: the runs of {label} do not agree in it ({listed})")
        shared[label] = values.pop()
    chosen = [(a, b) for a, b in every if shared[a] == shared[b]]
    if not chosen:
        raise UsageError(f"within={within!r}: no two groups agree in it, so nothing is left to compare")
    return chosen


def contrast_table(frame: pd.DataFrame) -> Table:
    """The main differences for a terminal of 80 columns; ``•`` marks a Holm-adjusted p below 0.05."""
    level = frame.attrs.get("level", 0.95)
    table = new_table()
    for i, title in enumerate(("a − b or a ÷ b", "estimate", f"{100 * level:g} % interval", "g", "p", "Holm")):
        table.add_column(title, justify="right" if i else "left", no_wrap=i > 0)
    shown = frame[frame["measure"].isin(shown_contrasts(set(frame["measure"])))]
    for measure, lines in shown.groupby("measure", sort=False):
        table.add_row(cell(str(measure), style="bold"))
        if (lines["difference"] == 0).all() and len(lines) > 1:
            table.add_row(cell("  the same in all"), "0")
            continue
        row: Any
        for row in lines.itertuples():
            size, low, high = estimate_of(row)
            interval = "—" if np.isnan(low) else f"{_short(low)} … {_short(high)}"
            holm_p = _short(row.p_holm) + ("•" if row.p_holm < ALPHA else "")
            cells = (
                _pair_name(row.a, row.b, row.scale),
                ("× " if row.scale == LOG else "") + _short(size),
                interval,
                _short(row.effect),
                _short(row.p),
                holm_p,
            )
            table.add_row(*map(cell, cells))
    table.caption = cell("\n".join(_caption(shown) + frame.attrs.get("notes", [])))
    return table


def estimate_of(row: Any) -> tuple[float, float, float]:
    """Of a row of :func:`contrasts` the ratio with its interval, or the difference where the scale is linear."""
    names = ("ratio", "ratio_low", "ratio_high") if row.scale == LOG else ("difference", "low", "high")
    return tuple(float(getattr(row, name)) for name in names)  # type: ignore[return-value]


def _pair_name(a: Any, b: Any, scale: str) -> str:
    """On two lines where one would be wider than its column."""
    sign = "÷" if scale == LOG else "−"
    line = f"  {a} {sign} {b}"
    return line if len(line) <= _LONG else f"  {a}\n    {sign} {b}"


def _caption(shown: pd.DataFrame) -> list[str]:
    paired = "seeds paired" if shown["paired"].all() else "seeds paired where both groups have them"
    lines = [f"{paired}; g: Hedges; p: permutation test, then adjusted over the pairs of a measure (Holm)"]
    floor, detectable = shown["smallest_p"].max(), shown["detectable"].max()
    if floor > ALPHA:
        lines.append(f"With so few seeds p cannot fall below {floor:.2g}: nothing could reach the 5 % level here.")
    if np.isfinite(detectable):
        lines.append(f"A t test of this size finds a difference of {detectable:.2g} standard deviations 4 times in 5.")
    return lines


def _short(value: float) -> str:
    return "—" if not np.isfinite(value) else format_short(float(value))


def _by_seed(runs: list[RunResults], rows: dict[str, Any], measure: str) -> dict[Any, float]:
    """Values by seed; by name where seeds are missing or not unique, so that nothing is paired that does not belong."""
    counts = Counter(run.seed for run in runs)
    unique = all(run.seed is not None and counts[run.seed] == 1 for run in runs)
    values = {(run.seed if unique else run.name): rows[run.name][measure] for run in runs}
    return {key: value for key, value in values.items() if value is not None}


def _disagreements(groups: Groups, pairs: list[tuple[Any, Any]]) -> list[str]:
    """Where raw and scale-invariant flatness put two groups in another order, each by more than is negligible."""
    found = []
    for pair in COUNTERPARTS:
        raw, invariant = (_means(groups, measure) for measure in pair)
        if not (raw and invariant) or not any(_swapped(raw, invariant, a, b) for a, b in pairs):
            continue
        orders = [
            f"{measure}: {' < '.join(map(str, sorted(means, key=means.__getitem__)))}"
            for measure, means in zip(pair, (raw, invariant), strict=True)
        ]
        found.append(
            f"Flatness depends on the measure here ({'; '.join(orders)}). {pair[0]} changes when weights are "
            f"rescaled without changing the network, {pair[1]} does not."
        )
    return found


def _swapped(raw: dict[Any, float], invariant: dict[Any, float], a: Any, b: Any) -> bool:
    """Whether a is flatter by one measure and b by the other, both by more than ``NEGLIGIBLE`` of the larger mean."""
    steps = [(of[a] - of[b]) / max(abs(of[a]), abs(of[b]), 1e-300) for of in (raw, invariant)]
    return steps[0] * steps[1] < 0 and min(map(abs, steps)) > NEGLIGIBLE


def _means(groups: Groups, measure: str) -> dict[Any, float]:
    """The centre of each group; empty where one has no value."""
    values = {label: groups.values(label, measure) for label in groups.by_label}
    scale = groups.scale(measure)
    return {label: centre(v, scale).value for label, v in values.items()} if all(values.values()) else {}
