"""Two groups of replicates side by side, all that is to be said of them alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from landscape.checks import check_share
from landscape.statistics.effects import effect_size
from landscape.statistics.intervals import mean_interval
from landscape.statistics.permutation import ROUNDING, permutation_test, welch_freedom


@dataclass(frozen=True)
class Contrast:
    """The difference of the means of a and b, of these two groups alone.

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


def contrast(a: Mapping[int, float], b: Mapping[int, float], *, level: float = 0.95) -> Contrast:
    """Compare two groups of ``{seed: value}``; paired where the smaller group's seeds all occur in the other.

    A pair shares its initial weights and the order of its data, so that what they do to the measure cancels. Where this
    is one of several pairs of groups, :func:`landscape.statistics.decide` says what holds for all of them at once.
    """
    level = check_share("level", level)
    x, y, paired = aligned(a, b)
    difference, low, high = difference_interval(x, y, paired=paired, level=level)
    p, smallest = permutation_test(x, y, paired=paired)
    effect = effect_size(x, y, paired=paired, level=level)
    return Contrast(paired, x.size, y.size, difference, low, high, *effect, p, smallest)


def aligned(a: Mapping[int, float], b: Mapping[int, float]) -> tuple[np.ndarray, np.ndarray, bool]:
    """The values of both, in the order of the seeds they share where they are paired, and whether they are."""
    shared = sorted(a.keys() & b.keys())
    paired = len(shared) >= 2 and len(shared) == min(len(a), len(b))
    x = np.array([a[seed] for seed in (shared if paired else sorted(a))])
    y = np.array([b[seed] for seed in (shared if paired else sorted(b))])
    return x, y, paired


def difference_interval(x: np.ndarray, y: np.ndarray, *, paired: bool, level: float) -> tuple[float, float, float]:
    """``(difference, low, high)`` of means; a difference that is but the rounding of the values is 0."""
    difference, low, high = mean_interval(x - y, level)[:3] if paired else _welch(x, y, level)
    if abs(difference) <= ROUNDING * max(np.abs(x).max(), np.abs(y).max()):
        difference = 0.0
    return difference, low, high


def _welch(x: np.ndarray, y: np.ndarray, level: float) -> tuple[float, float, float]:
    difference = float(x.mean() - y.mean())
    if min(x.size, y.size) < 2:
        return difference, float("nan"), float("nan")
    if np.ptp(x) == 0 and np.ptp(y) == 0:
        return difference, difference, difference
    own, other = x.var(ddof=1) / x.size, y.var(ddof=1) / y.size
    freedom = welch_freedom(own, other, x.size, y.size)
    half = float(stats.t.ppf(0.5 + level / 2, freedom) * (own + other) ** 0.5)
    return difference, difference - half, difference + half
