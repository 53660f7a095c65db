"""Tests that need no distribution: how often chance alone would set the groups as far apart."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np
from scipy import stats

from landscape.checks import check_seed

Values = Sequence[float] | np.ndarray
#: All rearrangements up to this number, else so many random ones.
EXACT = 20_000


def permutation_test(a: Values, b: Values, *, paired: bool, seed: int = 0) -> tuple[float, float]:
    """Two-sided p of the difference of means under exchange, and the smallest p that the design can reach.

    Parameters
    ----------
    a, b : sequences of float
        Replicates. ``paired``: of the same seeds in the same order, and then either of a pair might have been the
        other; else any of them might have been in either group.

    Returns
    -------
    p, smallest : float
        Five pairs cannot give a p below 2/2⁵ = 0.0625, three against three none below 0.1: a design may be too small to
        show anything at the 5 % level, whatever the data. p is NaN where there are fewer than two values in a group.

    References
    ----------
    Fisher (1935), The design of experiments, §21. Phipson & Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9(1), for the
    p of random rearrangements, which is never 0.
    """
    seed = check_seed(seed)
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if min(x.size, y.size) < 2:
        return float("nan"), 1.0
    count = 2**x.size if paired else comb(x.size + y.size, x.size)
    exact = count <= EXACT
    found = stats.permutation_test(
        (x, y),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        permutation_type="samples" if paired else "independent",
        n_resamples=count if exact else EXACT,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue), min(1.0, 2 / count if exact else 2 / (EXACT + 1))


def holm(pvalues: Sequence[float]) -> np.ndarray:
    """p-values (m,) adjusted so that the chance of any false rejection among them stays below the level.

    NaN stays NaN and does not count.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6(2).
    """
    p = np.asarray(pvalues, dtype=float)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return adjusted
