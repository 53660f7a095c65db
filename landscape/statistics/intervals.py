"""Intervals for the mean of few independent replicates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from landscape.checks import check_count, check_seed, check_share

NAN = float("nan")


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float, float]:
    """``(mean, low, high, std)`` of independent replicates, by Student's t; all but the mean NaN for a single one.

    Exact for normal samples of any size. Of skewed ones it covers less than it says: of five exponential draws about
    88 % at a level of 95 %.

    References
    ----------
    Student (1908), The probable error of a mean, Biometrika 6(1).
    """
    level = check_share("level", level)
    sample = np.asarray(values, dtype=float)
    mean = float(sample.mean())
    if sample.size < 2:
        return mean, NAN, NAN, NAN
    std = float(sample.std(ddof=1))
    half = float(stats.t.ppf(0.5 + level / 2, sample.size - 1)) * std / np.sqrt(sample.size)
    return mean, mean - half, mean + half, std


def geometric_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float, float]:
    """``(mean, low, high, std)`` on the scale of factors: :func:`mean_interval` of the logarithms, taken back.

    The mean is the geometric one and ``std`` a factor, exp of the logarithms' standard deviation. Of lognormal samples
    the interval covers their median exactly, and none reaches below zero.

    Parameters
    ----------
    values : sequence of float
        All above 0.

    References
    ----------
    Limpert, Stahel, Abbt (2001), Log-normal distributions across the sciences, BioScience 51(5).
    """
    mean, low, high, std = mean_interval(np.log(np.asarray(values, dtype=float)).tolist(), level)
    return math.exp(mean), as_factor(low), as_factor(high), as_factor(std)


def as_factor(x: float) -> float:
    """exp(x); infinite, without an error, where two seeds differ so much that their interval has no end."""
    return math.exp(x) if not x > 709 else math.inf


def bootstrap_interval(
    values: Sequence[float], level: float = 0.95, *, resamples: int = 9999, seed: int = 0
) -> tuple[float, float, float]:
    """``(mean, low, high)`` by the studentised bootstrap: the quantiles of ``(m* − m)/s*`` over resamples.

    It follows the skewness of the sample where Student's t does not, and is wide for fewer than ten values. The
    percentile bootstrap, in common use, covers 84 % of five normal draws at a level of 95 %.

    Parameters
    ----------
    values : sequence of float
        At least 3, not all equal, or there is no interval and it is NaN.

    References
    ----------
    Efron & Tibshirani (1993), An introduction to the bootstrap, section 12.5. Hall (1988), Ann. Statist. 16(3).
    """
    level, seed, resamples = check_share("level", level), check_seed(seed), check_count("resamples", resamples)
    sample = np.asarray(values, dtype=float)
    mean, size = float(sample.mean()), sample.size
    if size < 3 or np.ptp(sample) == 0:
        return mean, NAN, NAN
    draws = sample[np.random.default_rng(seed).integers(size, size=(resamples, size))]
    spread = draws.std(axis=1, ddof=1)
    # A resample of one value n times says nothing about its spread.
    usable = spread > 1e-12 * sample.std()
    t = (draws.mean(axis=1)[usable] - mean) / spread[usable]
    low, high = np.quantile(t, [0.5 - level / 2, 0.5 + level / 2])
    std = float(sample.std(ddof=1))
    return mean, mean - float(high) * std, mean - float(low) * std
