"""How large a difference is against the spread over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import lgamma

import numpy as np
from scipy import optimize, stats

from landscape.checks import check_share

Values = Sequence[float] | np.ndarray
_NOTHING = (float("nan"), float("nan"), float("nan"))


def effect_size(a: Values, b: Values, *, paired: bool, level: float = 0.95) -> tuple[float, float, float]:
    """Hedges' g with its interval: the difference of means in standard deviations, corrected for few replicates.

    Parameters
    ----------
    paired : bool
        The standard deviation is that of the differences of pairs; else the pooled one of the groups.

    Returns
    -------
    g, low, high : float
        NaN where there are fewer than two replicates, or no spread.

    References
    ----------
    Hedges (1981), J. Educational Statistics 6(2), for the correction; Steiger & Fouladi (1997) for the interval by
    inverting the noncentral t, exact for normal samples.
    """
    level = check_share("level", level)
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if min(x.size, y.size) < 2:
        return _NOTHING
    if paired:
        spread, freedom, root = float((x - y).std(ddof=1)), x.size - 1, x.size**0.5
    else:
        freedom = x.size + y.size - 2
        spread = float(np.sqrt(((x.size - 1) * x.var(ddof=1) + (y.size - 1) * y.var(ddof=1)) / freedom))
        root = (x.size * y.size / (x.size + y.size)) ** 0.5
    if not spread > 1e-12 * max(float(np.abs(x).max()), float(np.abs(y).max())):
        return _NOTHING
    d = float(x.mean() - y.mean()) / spread
    low, high = (_noncentrality(d * root, freedom, q) / root for q in (0.5 + level / 2, 0.5 - level / 2))
    return _correction(freedom) * d, low, high


def _correction(freedom: int) -> float:
    """E of a normal sample's d is the true effect divided by this."""
    return float(np.exp(lgamma(freedom / 2) - lgamma((freedom - 1) / 2)) * (2 / freedom) ** 0.5) if freedom > 1 else 1.0


def _noncentrality(t: float, freedom: int, probability: float) -> float:
    """The noncentrality at which a t as small as this has the probability."""
    reach = 4.0
    # The further out, the wider: a large t of few replicates leaves its noncentrality open by a share of itself.
    while not _below(t, freedom, t - reach) > probability > _below(t, freedom, t + reach):
        reach *= 2
    return _root(lambda shift: _below(t, freedom, shift) - probability, t - reach, t + reach)


def _below(t: float, freedom: int, shift: float) -> float:
    """The noncentral t distribution; SciPy gives NaN far out, where it is 0 or 1 to the last digit."""
    value = float(stats.nct.cdf(t, freedom, shift))
    return value if not np.isnan(value) else float(shift < t)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(optimize.brentq(function, low, high, xtol=1e-8))
