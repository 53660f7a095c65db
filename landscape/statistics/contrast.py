"""Two groups of replicates side by side, all that is to be said of them at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from landscape.checks import check_share
from landscape.statistics.effects import detectable_effect, effect_size
from landscape.statistics.intervals import mean_interval
from landscape.statistics.permutation import permutation_test


@dataclass(frozen=True)
class Contrast:
    """The difference of the means of a and b.

    Attributes
    ----------
    paired : bool
        Whether seeds were paired.
    n, m : int
        Replicates of a and b; with pairs both are their number.
    difference, low, high : float
        a − b with its interval, by Student's t of the pairs' differences, or by Welch's t.
    effect, effect_low, effect_high : float
        Hedges' g.
    p, smallest_p : float
        Of a permutation test, and the smallest that this design can reach.
    detectable : float
        Effect found with 80 % probability by a t test of this size.
    """

    paired: bool
    n: int
    m: int
    difference: float
    low: float
    high: float
    effect: float
    effect_low: float
    effect_high: float
    p: float
    smallest_p: float
    detectable: float


#: A difference of means that is smaller than this share of the values is their rounding.
_ROUNDING = 4 * float(np.finfo(float).eps)


def contrast(a: Mapping[int, float], b: Mapping[int, float], *, level: float = 0.95) -> Contrast:
    """Compare two groups of ``{seed: value}``; paired where the smaller group's seeds all occur in the other.

    A pair shares its initial weights and the order of its data, so that what they do to the measure cancels.
    """
    level = check_share("level", level)
    shared = sorted(a.keys() & b.keys())
    paired = len(shared) >= 2 and len(shared) == min(len(a), len(b))
    x = np.array([a[seed] for seed in (shared if paired else sorted(a))])
    y = np.array([b[seed] for seed in (shared if paired else sorted(b))])
    if paired:
        difference, low, high, _ = mean_interval(x - y, level)
    else:
        difference, low, high = _welch(x, y, level)
    if abs(difference) <= _ROUNDING * max(np.abs(x).max(), np.abs(y).max()):
        difference = 0.0
    p, smallest = permutation_test(x, y, paired=paired)
    return Contrast(
        paired,
        x.size,
        y.size,
        difference,
        low,
        high,
        *effect_size(x, y, paired=paired, level=level),
        p,
        smallest,
        detectable_effect(x.size, m=None if paired else y.size, level=level),
    )


def _welch(x: np.ndarray, y: np.ndarray, level: float) -> tuple[float, float, float]:
    difference = float(x.mean() - y.mean())
    if min(x.size, y.size) < 2:
        return difference, float("nan"), float("nan")
    if np.ptp(x) == 0 and np.ptp(y) == 0:
        return difference, difference, difference
    interval = stats.ttest_ind(x, y, equal_var=False).confidence_interval(level)
    return difference, float(interval.low), float(interval.high)
