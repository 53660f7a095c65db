"""Every pair of groups, measure by measure: is the difference there, and how large is it?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, fields
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from landscape.comparison.averages import LOG, centre
from landscape.comparison.groups import Groups, gather, seeds_of, setting
from landscape.comparison.terminal import new_table
from landscape.comparison.verdicts import design_notes, estimate_of, interval_text
from landscape.errors import UsageError
from landscape.escaping.frames import frame_of
from landscape.escaping.terminal import cell
from landscape.rounding import format_short
from landscape.statistics import DIFFERENT, Decision, decide
from landscape.statistics.intervals import as_factor
from landscape.store import Results, RunResults
from landscape.store.catalogue import COUNTERPARTS, MEASURES, label_of, shown_contrasts

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("measure", "stratum", "a", "b", "scale", "ratio", *(field.name for field in fields(Decision)))
_LONG = 25
#: Means that differ by less, relative to the larger, have no order worth a warning.
NEGLIGIBLE = 0.01
#: How the warning begins.
DISAGREE = "Flatness depends on the measure here"
Family = tuple[str, list[Any]]
#: Which groups are compared: those that agree in a setting, or are of one set.
Within = str | Mapping[str, Sequence[Any]] | None


def contrasts(
    results: Results | str | Path, by: str = "label", *, within: Within = None, level: float = 0.95
) -> pd.DataFrame:
    """Differences between all pairs of groups, at the last analysed checkpoint of each run, and one decision on each.

    Seeds are paired where both groups have them: a pair shares its initial weights and the order of its data. The
    decision is of a permutation test, adjusted over the pairs of one measure (and of one value of ``within``);
    intervals hold for all those pairs together, and never say otherwise than the decision
    (:func:`landscape.statistics.decide`).

    Parameters
    ----------
    results, by
        As for :func:`landscape.compare`.
    within : str or mapping, optional
        A setting, such as ``"batch_size"`` or ``"problem_config"``: only groups that agree in it are compared. Or sets
        of groups by name: only groups of one set are compared.
    level : float
        Of the decisions and the intervals: 0.95 is a chance of 5 % of any false word in the pairs of a measure.

    Returns
    -------
    DataFrame
        One row per measure and pair of groups: ``measure``; ``stratum``, their value of ``within``; ``a, b``;
        ``scale``; ``ratio``; and the fields of :class:`landscape.statistics.Decision`. On the scale ``"log"``, where
        all values of a positive measure are above 0, all but ``difference`` is of the logarithms: ``ratio`` is that of
        the geometric means a ÷ b, and ``low, high`` (simultaneous), ``single_low, single_high`` (this pair alone) are
        ends of its intervals. Else they are those of ``difference`` and there is no ratio. ``.attrs["notes"]`` says
        what the design cannot tell, and where measures that depend on the scale of the weights order the groups
        otherwise than those that do not.

    Raises
    ------
    UsageError, ResultsError
        As :func:`landscape.compare`; also if there are fewer than two groups, no two agree in ``within``, or the runs
        of one group do not.
    """
    groups = gather(results, by, level)
    if len(groups.by_label) < 2:
        raise UsageError(f"by={by!r} gives {len(groups.by_label)} group; a difference needs two")
    chosen = families(groups.by_label, within)
    records = [
        row
        for measure in MEASURES
        for stratum, labels in chosen
        for row in decided(measure, stratum, _of_groups(groups, measure, labels), groups.scale(measure), level)
    ]
    frame = frame_of(records, COLUMNS)
    pairs = [pair for _, labels in chosen for pair in combinations(labels, 2)]
    frame.attrs = {"by": by, "level": level, "notes": [*design_notes(frame, level), *_disagreements(groups, pairs)]}
    return frame


def decided(
    measure: str, stratum: str, values: Mapping[Any, dict[Any, float]], scale: str, level: float
) -> Iterator[tuple[Any, ...]]:
    """The rows of one measure and one set of groups that are compared with each other.

    Parameters
    ----------
    values : mapping
        Group → its values by seed, none empty.
    scale : {"log", "linear"}
    """
    on_scale = {
        label: {key: math.log(value) if scale == LOG else value for key, value in own.items()}
        for label, own in values.items()
    }
    pairs = list(combinations(values, 2))
    decisions = decide([(on_scale[a], on_scale[b]) for a, b in pairs], groups=max(len(values), 2), level=level)
    for (a, b), found in zip(pairs, decisions, strict=True):
        row = dict(zip((field.name for field in fields(Decision)), astuple(found), strict=True))
        ratio = math.nan
        if scale == LOG:
            ratio = as_factor(found.difference)
            row["difference"] = _difference(values[a], values[b], paired=found.paired)
            row |= {name: as_factor(row[name]) for name in ("low", "high", "single_low", "single_high")}
        yield (measure, stratum, a, b, scale, ratio, *row.values())


def _of_groups(groups: Groups, measure: str, labels: list[Any]) -> dict[Any, dict[Any, float]]:
    """Group → its values by seed, of those that have the measure."""
    found = {label: _by_seed(groups.by_label[label], groups.rows, measure) for label in labels}
    return {label: own for label, own in found.items() if own}


def _difference(a: dict[Any, float], b: dict[Any, float], *, paired: bool) -> float:
    keys = a.keys() & b.keys() if paired else None
    first, second = ([v for key, v in group.items() if keys is None or key in keys] for group in (a, b))
    return float(np.mean(first) - np.mean(second))


def families(by_label: Mapping[Any, Sequence[RunResults]], within: Within) -> list[Family]:
    """Those that are compared with each other: all, or the ones that agree in a setting or are of one set."""
    if within is None:
        return [("", list(by_label))]
    if not isinstance(within, str):
        sets = [(name, [label for label in by_label if label in labels]) for name, labels in within.items()]
        if not (there := [(name, labels) for name, labels in sets if len(labels) > 1]):
            raise UsageError("within: no two groups are in one set, so nothing is left to compare")
        return there
    shared: dict[Any, list[Any]] = {}
    for label, runs in by_label.items():
        values = {setting(run, within) for run in runs}
        if len(values) > 1:
            listed = ", ".join(sorted(map(str, values)))
            raise UsageError(f"within={within!r}: the runs of {label} do not agree in it ({listed})")
        shared.setdefault(values.pop(), []).append(label)
    chosen = [(str(value), labels) for value, labels in shared.items() if len(labels) > 1]
    if not chosen:
        raise UsageError(f"within={within!r}: no two groups agree in it, so nothing is left to compare")
    return chosen


def contrast_table(frame: pd.DataFrame) -> Table:
    """The main differences for a terminal of 80 columns; ``•`` marks a difference that is decided."""
    level = frame.attrs.get("level", 0.95)
    table = new_table()
    for i, title in enumerate(("a − b or a ÷ b", "estimate", f"{100 * level:g} % together", "g", "p", "Holm")):
        table.add_column(title, justify="right" if i else "left", no_wrap=i > 0)
    shown = frame[frame["measure"].isin(shown_contrasts(set(frame["measure"])))]
    for measure, lines in shown.groupby("measure", sort=False):
        table.add_row(cell(label_of(str(measure)), style="bold"))
        if (lines["difference"] == 0).all() and len(lines) > 1:
            table.add_row(cell("  the same in all"), "0")
            continue
        row: Any
        for row in lines.itertuples():
            size, *_ = estimate_of(row)
            interval = interval_text(row, _short, between=" … ", brackets=False) or "—"
            holm_p = _short(row.p_holm) + ("•" if row.verdict == DIFFERENT else "")
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


def _pair_name(a: Any, b: Any, scale: str) -> str:
    """On two lines where one would be wider than its column."""
    sign = "÷" if scale == LOG else "−"
    line = f"  {a} {sign} {b}"
    return line if len(line) <= _LONG else f"  {a}\n    {sign} {b}"


def _caption(shown: pd.DataFrame) -> list[str]:
    paired = "seeds paired" if shown["paired"].all() else "seeds paired where both groups have them"
    over = "the pairs of a measure"
    if (shown["stratum"] != "").any():
        over += " that are compared with each other"
    return [
        f"{paired}; g: Hedges; p: permutation test; Holm: p adjusted over {over} (both signs), • below the level; "
        "intervals hold for all those pairs together and agree with it"
    ]


def _short(value: float) -> str:
    return "—" if not np.isfinite(value) else format_short(float(value))


def _by_seed(runs: list[RunResults], rows: dict[str, Any], measure: str) -> dict[Any, float]:
    """Values by seed, of the runs that have the measure."""
    values = {seed: rows[name][measure] for name, seed in seeds_of(runs).items()}
    return {key: value for key, value in values.items() if value is not None}


def _disagreements(groups: Groups, pairs: list[tuple[Any, Any]]) -> list[str]:
    """Where flatness that rescaling of layers changes orders two groups otherwise than flatness that it does not.

    Each by more than is negligible.
    """
    found = []
    for pair in COUNTERPARTS:
        raw, invariant = (_means(groups, measure) for measure in pair)
        if not (raw and invariant) or not any(_swapped(raw, invariant, a, b) for a, b in pairs):
            continue
        orders = [
            f"{MEASURES[measure].words}: {' < '.join(map(str, sorted(means, key=means.__getitem__)))}"
            for measure, means in zip(pair, (raw, invariant), strict=True)
        ]
        found.append(f"({'; '.join(orders)})")
    if not found:
        return []
    each = "" if len(found) == 1 else " of each two"
    return [
        f"{DISAGREE} {' and '.join(found)}. The first{each} changes when weights are rescaled layer by layer into an "
        "equal network, the second does not."
    ]


def _swapped(raw: dict[Any, float], invariant: dict[Any, float], a: Any, b: Any) -> bool:
    """Whether a is flatter by one measure and b by the other, both by more than ``NEGLIGIBLE`` of the larger mean."""
    steps = [(of[a] - of[b]) / max(abs(of[a]), abs(of[b]), 1e-300) for of in (raw, invariant)]
    return steps[0] * steps[1] < 0 and min(map(abs, steps)) > NEGLIGIBLE


def _means(groups: Groups, measure: str) -> dict[Any, float]:
    """The centre of each group; empty where one has no value."""
    values = {label: groups.values(label, measure) for label in groups.by_label}
    scale = groups.scale(measure)
    return {label: centre(v, scale).value for label, v in values.items()} if all(values.values()) else {}
