"""Differences between groups at one training loss: of runs that were read there, in pairs of seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from landscape.comparison.averages import scale_of
from landscape.comparison.contrasts import COLUMNS, Within, decided, families
from landscape.comparison.groups import seeds_of
from landscape.comparison.loss_paths import tuples_of
from landscape.errors import UsageError
from landscape.escaping.frames import frame_of
from landscape.store import RunResults
from landscape.store.catalogue import MEASURES


def contrasts_between(
    runs: pd.DataFrame, groups: Mapping[Any, Sequence[RunResults]], *, within: Within, level: float
) -> pd.DataFrame:
    """Every pair of groups, measure by measure, decided as :func:`landscape.comparison.contrasts` decides at the ends.

    Parameters
    ----------
    runs : DataFrame
        ``measure, group, run, value`` at one training loss.
    groups : mapping
        Group → its runs.
    within : str or mapping, optional
        A setting, or sets of groups: only groups that agree in it, or are of one set, are compared.
    """
    there = {label: runs_ for label, runs_ in groups.items() if label in set(runs["group"])}
    try:
        chosen = families(there, within)
    except UsageError:  # of the groups that are left there, no two agree in it
        chosen = []
    records: list[tuple[Any, ...]] = []
    for measure in MEASURES:
        rows = runs[runs["measure"] == measure]
        scale = scale_of(measure, rows["value"].to_list())
        for stratum, labels in chosen:
            values = {label: _by_seed(groups[label], rows[rows["group"] == label]) for label in labels}
            values = {label: own for label, own in values.items() if own}
            if len(values) > 1:
                records += decided(measure, stratum, values, scale, level)
    return frame_of(records, COLUMNS)


def _by_seed(runs: Sequence[RunResults], rows: pd.DataFrame) -> dict[Any, float]:
    """Values by seed; by name where seeds are missing or not unique, so that nothing is paired that does not belong."""
    keys = seeds_of(runs)
    return {keys[row.run]: float(row.value) for row in tuples_of(rows)}
