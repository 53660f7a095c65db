"""Whether two measures rank the runs of a study alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from landscape.checks import check_share

FEWEST = 6


@dataclass(frozen=True)
class RankCorrelation:
    """Kendall's τ-b of n pairs with its interval, and the p of no association.

    Attributes
    ----------
    value, low, high, p : float
        NaN for fewer than six pairs, or where one side does not vary.
    n : int
    """

    value: float
    low: float
    high: float
    p: float
    n: int

    def __str__(self) -> str:
        if np.isnan(self.value):
            return f"no rank correlation (n = {self.n})"
        return f"τ = {self.value:.2f} [{self.low:.2f}, {self.high:.2f}], n = {self.n}"


def kendall(x: Sequence[float], y: Sequence[float], *, level: float = 0.95) -> RankCorrelation:
    """Kendall's τ-b: concordant less discordant pairs, ties counted out.

    The interval is that of Fisher's z with the variance ``0.437/(n − 4)`` that Fieller found to hold for
    ``|τ| < 0.8``, n ≥ 10; below it is wider by Student's t. It is for runs drawn independently: runs that share an
    optimizer or a learning rate are not, and then it is too narrow.

    References
    ----------
    Kendall (1945), Biometrika 33(3). Fieller, Hartley & Pearson (1957), Tests for rank correlation coefficients I,
    Biometrika 44(3/4).
    """
    level = check_share("level", level)
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    keep = np.isfinite(a) & np.isfinite(b)
    a, b = a[keep], b[keep]
    nothing = (float("nan"),) * 4
    if a.size < FEWEST or np.ptp(a) == 0 or np.ptp(b) == 0:
        return RankCorrelation(*nothing, n=int(a.size))
    tau, p = stats.kendalltau(a, b)
    # At |τ| = 1 the transform is infinite: half a discordant pair keeps it finite.
    most = 1 - 1 / (a.size * (a.size - 1))
    z = float(np.arctanh(np.clip(tau, -most, most)))
    half = float(stats.t.ppf(0.5 + level / 2, a.size - 2)) * (0.437 / (a.size - 4)) ** 0.5
    return RankCorrelation(float(tau), float(np.tanh(z - half)), float(np.tanh(z + half)), float(p), int(a.size))
