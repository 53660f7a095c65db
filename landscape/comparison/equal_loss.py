"""Were groups compared at the same training loss? Where not: what their measured checkpoints say at the same one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from landscape.comparison.averages import Centre, centre, centre_of, scale_of
from landscape.comparison.groups import grouped
from landscape.rounding import format_value
from landscape.store import Results
from landscape.store.rows import rows

#: Mean losses that differ by more than this share of the lower are not equal enough to go without a word.
UNEQUAL = 0.25
#: By more than this factor, they are far apart.
FAR = 2.0
HOW = "landscape match chooses checkpoints of equal loss, to be analyzed and compared"


@dataclass(frozen=True)
class AtEqualLoss:
    """One measure where the runs of all groups are about as low in training loss.

    Attributes
    ----------
    means : dict
        Group → its centre with a 95 % interval, NaN for one run; lowest first.
    low, high : float
        The lowest and the highest loss of a run there.
    """

    means: dict[Any, Centre]
    low: float
    high: float


def losses_differ(means: pd.DataFrame) -> str:
    """``training losses that differ (a 0.1, b 0.2)`` of the groups of a comparison, lowest first; empty where equal."""
    rows = means[means["measure"] == "train_loss"].dropna(subset=["mean"])
    losses = sorted(((row["group"], centre_of(row).value) for _, row in rows.iterrows()), key=lambda pair: pair[1])
    if len(losses) < 2:
        return ""
    low, high = losses[0][1], losses[-1][1]
    if high - low <= UNEQUAL * abs(low):
        return ""
    listed = ", ".join(f"{group} {format_value(loss, digits=2)}" for group, loss in losses)
    return f"training losses that differ {'by far ' if low <= 0 or high > FAR * low else ''}({listed})"


def at_equal_loss(results: Results, by: str = "label", *, measure: str = "lambda_max") -> AtEqualLoss | None:
    """The measure at checkpoints that were measured anyway, of each run the first as low in loss as all runs reach.

    Returns
    -------
    AtEqualLoss or None
        None where fewer than two groups have the measure, or losses still differ by more than ``UNEQUAL``, as where a
        run was far lower already at the first checkpoint that was measured.
    """
    paths: dict[str, list[tuple[float, float]]] = {}
    for row in rows(results):
        if row["train_loss"] is not None and row[measure] is not None:
            paths.setdefault(row["run"], []).append((row["train_loss"], row[measure]))
    groups = grouped([run for run in results.runs if run.name in paths], by) if paths else {}
    if len(groups) < 2:
        return None
    level = max(min(loss for loss, _ in path) for path in paths.values())
    chosen = {name: next(pair for pair in path if pair[0] <= level) for name, path in paths.items()}
    losses = [chosen[run.name][0] for runs in groups.values() for run in runs]
    low, high = min(losses), max(losses)
    if low <= 0 or high > (1 + UNEQUAL) * low:
        return None
    scale = scale_of(measure, [value for _, value in chosen.values()])
    found = {label: centre([chosen[run.name][1] for run in runs], scale) for label, runs in groups.items()}
    return AtEqualLoss(dict(sorted(found.items(), key=lambda item: item[1].value)), low, high)
