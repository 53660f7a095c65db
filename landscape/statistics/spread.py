"""How far replicates lie apart: an interval of their standard deviation, and whether groups differ in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from landscape.checks import check_share

NAN = float("nan")


def std_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    r"""``(std, low, high)`` of independent replicates; it follows the tails of the sample.

    The interval of :math:`\ln c s^2` is :math:`\ln c s^2 \pm z\,c\,\sqrt{(\hat\gamma - (n-3)/n)/(n-1)}` with
    :math:`c = n/(n-z)` and the kurtosis :math:`\hat\gamma = n \sum (x_i-m)^4 / (\sum (x_i-\bar x)^2)^2` about a trimmed
    mean m. Of ten normal draws it covers 95.5 % at a level of 95 %, of five 99 %, of ten exponential ones 88 %; the
    usual interval, by chi-square, is exact for normal samples and covers 77 % of ten exponential draws.

    Parameters
    ----------
    values : sequence of float
        At least 5, not all equal, or there is no interval and its ends are NaN.

    Returns
    -------
    std, low, high : float
        In the unit of the values; std with ddof 1, NaN for a single value.

    References
    ----------
    Bonett (2006), Approximate confidence interval for standard deviation of nonnormal distributions, Computational
    Statistics & Data Analysis 50(3).
    """
    level = check_share("level", level)
    sample = np.asarray(values, dtype=float)
    size = sample.size
    std = float(sample.std(ddof=1)) if size > 1 else NAN
    if size < 5 or np.ptp(sample) == 0 or not np.isfinite(sample).all():
        return std, NAN, NAN
    z = float(stats.norm.ppf(0.5 + level / 2))
    factor = size / (size - z)
    middle = stats.trim_mean(sample, 1 / (2 * np.sqrt(size - 4)))
    kurtosis = size * ((sample - middle) ** 4).sum() / ((sample - sample.mean()) ** 2).sum() ** 2
    half = z * factor * np.sqrt(max(kurtosis - (size - 3) / size, 0.0) / (size - 1))
    scale = std * np.sqrt(factor)
    return std, float(scale * np.exp(-half / 2)), float(scale * np.exp(half / 2))


def equal_spread(groups: Sequence[Sequence[float]]) -> float:
    """p that groups have one spread, whatever their means: Levene's test about medians.

    It holds its level where values are skewed or have long tails, and is cautious for few of them, and where groups
    share what moves them, as with equal seeds.

    Returns
    -------
    float
        NaN with fewer than two groups of at least three values, or where none has any spread.

    References
    ----------
    Brown & Forsythe (1974), Robust tests for the equality of variances, JASA 69(346).
    """
    samples = [np.asarray(group, dtype=float) for group in groups if len(group) >= 3]
    if len(samples) < 2 or not any(np.ptp(sample) > 0 for sample in samples):
        return NAN
    return float(stats.levene(*samples, center="median").pvalue)
