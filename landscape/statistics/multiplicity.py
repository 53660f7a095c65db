"""Many tests at once: p values adjusted so that the chance of any false word among them stays below the level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(pvalues: Sequence[float]) -> np.ndarray:
    """p-values (m,) adjusted so that the chance of any false rejection among them stays below the level.

    NaN stays NaN and does not count.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6(2).
    """
    return _stepwise(pvalues, 1.0)


def holm_with_signs(pvalues: Sequence[float]) -> np.ndarray:
    """Two-sided p-values (m,) adjusted so that neither a difference that is none nor a wrong sign is found too often.

    Who rejects "no difference" goes on to say which of two is larger. That is Holm's procedure over the 2m one-sided
    hypotheses: the k-th smallest p is multiplied by m − (k − 1)/2, where :func:`holm`, which promises nothing of signs,
    has m − (k − 1). What it leaves pays for intervals: see :func:`landscape.statistics.decide`. NaN stays NaN and does
    not count.

    >>> holm_with_signs([0.01, 0.02, 0.04]).round(3).tolist()
    [0.03, 0.05, 0.08]

    References
    ----------
    Bauer, Hackl, Hommel & Sonnemann (1986), Multiple testing of pairs of one-sided hypotheses, Metrika 33; Holm (1979).
    """
    return _stepwise(pvalues, 0.5)


def _stepwise(pvalues: Sequence[float], step: float) -> np.ndarray:
    p = np.asarray(pvalues, dtype=float)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = order.size - step * np.arange(order.size)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return adjusted
