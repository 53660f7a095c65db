"""The training loss at which runs are compared: the lowest that most of them reach, and some above it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

#: The share of the groups, and of the runs of each, that must reach the level.
MOST = 0.8
#: Levels that are nearer to each other than this factor say one thing.
_NEAREST = 1.2

#: Of each group the losses between which a run can be read: its lowest, and that of its first checkpoint.
Reach = Mapping[Any, Sequence[tuple[float, float]]]


def enough_runs(count: int) -> int:
    """How many of a group's runs must reach a level: four fifths, at least two, one where there is one.

    >>> [enough_runs(n) for n in (1, 2, 3, 5, 10)]
    [1, 2, 3, 4, 8]
    """
    return min(count, max(2, math.ceil(MOST * count - 1e-9)))


def lowest_level(reach: Reach) -> float | None:
    """The lowest loss that four fifths of the groups reach, each with four fifths of its runs and at least two.

    So neither one bad run nor one weak group sets the level for all. Where no loss does that, more than half of the
    groups will do.

    Parameters
    ----------
    reach : mapping of group to list of (low, high)
        The levels at which each run lies between two checkpoints.

    Returns
    -------
    float or None
        The lowest loss of one of the runs; None where not even two groups (of several) have a level in common.

    Examples
    --------
    >>> lowest_level({"a": [(0.1, 2.0), (0.2, 2.0)], "b": [(0.3, 2.0), (0.15, 2.0)]})
    0.3
    >>> lowest_level({"a": [(0.1, 2.0)] * 4 + [(1.5, 2.0)]})
    0.1
    """
    lows = sorted({low for runs in reach.values() for low, _ in runs if not math.isnan(low)})
    groups = sum(1 for runs in reach.values() if runs)
    if not groups:
        return None
    for needed in (math.ceil(MOST * groups - 1e-9), groups // 2 + 1):
        needed = max(needed, min(2, groups))
        found = next((level for level in lows if _standing(reach, level) >= needed), None)
        if found is not None:
            return found
    return None


def levels_upwards(reach: Reach, lowest: float, *, count: int) -> tuple[float, ...]:
    """``lowest``, and up to ``count − 1`` levels above it at which as many groups stand, evenly spaced in logarithms.

    Examples
    --------
    >>> [round(level, 4) for level in levels_upwards({"a": [(0.01, 1.0)]}, 0.01, count=2)]
    [0.01, 0.1]
    """
    standing = _standing(reach, lowest)
    tops = [high for runs in reach.values() for _, high in runs if high > lowest]
    top = max((high for high in tops if _standing(reach, high) >= standing), default=lowest)
    if lowest <= 0 or count < 2:
        return (lowest,)
    count = min(count, int(math.log(top / lowest) / math.log(_NEAREST))) if top > lowest else 1
    step = (top / lowest) ** (1 / count) if count > 1 else 1.0
    return (lowest, *(lowest * step**k for k in range(1, count)))


def _standing(reach: Reach, level: float) -> int:
    """How many groups have enough runs at the level."""
    counts = [(sum(low <= level <= high for low, high in runs), len(runs)) for runs in reach.values()]
    return sum(there >= enough_runs(count) for there, count in counts if count)
