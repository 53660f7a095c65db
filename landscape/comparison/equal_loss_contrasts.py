"""Differences between groups at one training loss: of runs that were read there, in pairs of seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from landscape.comparison.averages import LOG, scale_of
from landscape.comparison.groups import setting
from landscape.comparison.loss_paths import tuples_of
from landscape.statistics import Contrast, contrast, holm
from landscape.statistics.intervals import as_factor
from landscape.store import RunResults
from landscape.store.catalogue import MEASURES

COLUMNS = (
    "measure", "a", "b", *(field.name for field in fields(Contrast)), "scale", "ratio", "ratio_low", "ratio_high",
    "p_holm",
)  # fmt: skip


def contrasts_between(
    runs: pd.DataFrame, groups: Mapping[Any, Sequence[RunResults]], *, within: str | None, level: float
) -> pd.DataFrame:
    """Every pair of groups, measure by measure, with Holm's adjustment over the pairs of each measure.

    Parameters
    ----------
    runs : DataFrame
        ``measure, group, run, value`` at one training loss.
    groups : mapping
        Group → its runs.
    within : str, optional
        A setting: only groups that agree in it are compared.
    """
    records: list[dict[str, Any]] = []
    for measure in MEASURES:
        rows = runs[runs["measure"] == measure]
        values = {label: _by_seed(groups[label], rows[rows["group"] == label]) for label in groups}
        values = {label: found for label, found in values.items() if found}
        if len(values) < 2:
            continue
        scale = scale_of(measure, [v for found in values.values() for v in found.values()])
        found = [
            {"measure": measure, "a": a, "b": b} | _compared(values[a], values[b], scale, level)
            for a, b in combinations(values, 2)
            if within is None or _shared(groups[a], within) == _shared(groups[b], within)
        ]
        adjusted = holm([row["p"] for row in found])
        records += [row | {"p_holm": p} for row, p in zip(found, adjusted, strict=True)]
    return pd.DataFrame.from_records(records, columns=list(COLUMNS))


def _compared(a: dict[Any, float], b: dict[Any, float], scale: str, level: float) -> dict[str, Any]:
    linear = contrast(a, b, level=level)
    if scale != LOG:
        return asdict(linear) | {"scale": scale, "ratio": np.nan, "ratio_low": np.nan, "ratio_high": np.nan}
    logs = contrast(*({key: math.log(value) for key, value in group.items()} for group in (a, b)), level=level)
    kept = replace(logs, difference=linear.difference, low=linear.low, high=linear.high)
    ratios = (as_factor(x) for x in (logs.difference, logs.low, logs.high))
    return asdict(kept) | {"scale": scale, **dict(zip(("ratio", "ratio_low", "ratio_high"), ratios, strict=True))}


def _by_seed(runs: Sequence[RunResults], rows: pd.DataFrame) -> dict[Any, float]:
    """Values by seed; by name where seeds are missing or not unique, so that nothing is paired that does not belong."""
    counts = Counter(run.seed for run in runs)
    unique = all(run.seed is not None and counts[run.seed] == 1 for run in runs)
    keys = {run.name: run.seed if unique else run.name for run in runs}
    return {keys[row.run]: float(row.value) for row in tuples_of(rows)}


def _shared(runs: Sequence[RunResults], within: str) -> set[Any]:
    return {setting(run, within) for run in runs}
