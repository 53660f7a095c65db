"""Tests that need no distribution: how often exchange alone would set two groups as far apart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations, product
from math import comb

import numpy as np
from scipy import stats

from landscape.checks import check_count, check_seed

Values = Sequence[float] | np.ndarray
#: All rearrangements up to this number, else so many random ones.
EXACT = 20_000
#: A difference of means that is smaller than this share of the values is their rounding.
ROUNDING = 4 * float(np.finfo(float).eps)
_TIE = 1e-9
_FEW = 5


def permutation_test(a: Values, b: Values, *, paired: bool, seed: int = 0) -> tuple[float, float]:
    """Two-sided p that two groups have one mean, and the smallest p that the design can reach.

    Pairs: the signs of their differences are flipped, which asks only that a difference is as likely as its negative.
    Else the values are dealt out anew, and Welch's t is the statistic: of the difference of means itself the test holds
    its level only where the groups have one spread or one size, and rejects 16 to 24 % at 5 % where the smaller group
    is the wider. Studentised it holds it for any spreads as groups grow, but five values with three times the spread of
    fifteen others are still rejected in 13 %. So p is the larger of it, twice that of the side on which the difference
    lies, and of that of Welch's t test: what is rejected stands with and without normal values.

    Parameters
    ----------
    a, b : sequences of float
        Replicates. ``paired``: of the same seeds in the same order.

    Returns
    -------
    p, smallest : float
        Five pairs cannot give a p below 2/2⁵ = 0.0625, three against three none below 0.1: a design may be too small to
        show anything at the 5 % level, whatever the data. p is NaN where there are fewer than two values in a group.

    References
    ----------
    Fisher (1935), The design of experiments, §21. Janssen (1997), Stat. Probab. Lett. 36(1), and Chung & Romano (2013),
    Ann. Statist. 41(2), for the studentised test; Welch (1947), Biometrika 34(1/2). Phipson & Smyth (2010), Stat. Appl.
    Genet. Mol. Biol. 9(1), for the p of random rearrangements, which is never 0.
    """
    seed = check_seed(seed)
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if min(x.size, y.size) < 2:
        return float("nan"), 1.0
    smallest = smallest_p(x.size, None if paired else y.size)
    if abs(x.mean() - y.mean()) <= ROUNDING * max(np.abs(x).max(), np.abs(y).max()):
        return 1.0, smallest
    return max(_of_flips(x - y, seed) if paired else _of_deals(x, y, seed), smallest), smallest


def smallest_p(n: int, m: int | None = None) -> float:
    """The smallest p that n pairs, or n values against m, can reach in :func:`permutation_test`; 1 for fewer than two.

    >>> smallest_p(5), smallest_p(3, 3), smallest_p(1)
    (0.0625, 0.1, 1.0)
    """
    n, m = check_count("n", n, least=0), None if m is None else check_count("m", m, least=0)
    if n < 2 or (m is not None and m < 2):
        return 1.0
    count = 2**n if m is None else comb(n + m, n)
    return 2 / count if count <= EXACT else 2 / (EXACT + 1)


def _of_flips(differences: np.ndarray, seed: int) -> float:
    flips, exact = flipped(differences.size, seed)
    sums = np.abs(flips @ differences)
    hits = int((sums >= abs(differences.sum()) - _TIE * np.abs(differences).sum()).sum())
    return hits / len(flips) if exact else (1 + hits) / (1 + len(flips))


def _of_deals(x: np.ndarray, y: np.ndarray, seed: int) -> float:
    deals, exact = dealt(x.size, y.size, seed)
    pooled = np.concatenate([x, y])
    pooled = pooled - pooled.mean()
    sums, squares = deals @ pooled, deals @ pooled**2
    t = welch_t(sums, squares, float(pooled.sum()), float((pooled**2).sum()), x.size, y.size)
    seen = pooled[: x.size]
    own = float(welch_t(seen.sum(), (seen**2).sum(), float(pooled.sum()), float((pooled**2).sum()), x.size, y.size))
    near = _TIE * (1 + abs(own))
    hits = int((t >= own - near).sum()) if own > 0 else int((t <= own + near).sum())
    p = min(1.0, 2 * (hits / len(deals) if exact else (1 + hits) / (1 + len(deals))))
    return max(p, float(welch_p(own, x.var(ddof=1) / x.size, y.var(ddof=1) / y.size, x.size, y.size)))


def welch_p(t: Values | float, own: Values | float, other: Values | float, n: int, m: int) -> np.ndarray:
    """Two-sided p of Welch's t of n values against m, from the squared errors of both means; 0 without any spread."""
    some = np.asarray(own) + np.asarray(other) > 0
    p: np.ndarray = np.where(some, 2 * stats.t.sf(np.abs(t), welch_freedom(own, other, n, m)), 0.0)
    return p


def welch_freedom(own: Values | float, other: Values | float, n: int, m: int) -> np.ndarray:
    """Degrees of freedom of Welch's t, from the squared errors of both means.

    Of fewer than five values against more, the smaller group's own: the usual ones are estimated from its spread, and
    three values with five times the spread of ten others are then rejected in 7 % at 5 %. With the smaller ones the
    level holds whatever the spreads (Mickey & Brown 1966, Ann. Math. Statist. 37(3)).
    """
    first, second = np.asarray(own, dtype=float), np.asarray(other, dtype=float)
    if n != m and min(n, m) < _FEW:
        return np.full(np.broadcast(first, second).shape, min(n, m) - 1.0)
    both = np.maximum(first + second, np.finfo(float).tiny)
    shares = (first / both) ** 2 / (n - 1) + (second / both) ** 2 / (m - 1)
    freedom: np.ndarray = 1 / np.maximum(shares, 1 / (n + m))
    return freedom


def welch_t(
    sums: np.ndarray, squares: np.ndarray, total: Values | float, whole: Values | float, n: int, m: int
) -> np.ndarray:
    """Welch's t of n values against m others, from sum and sum of squares of the n and of all, about centred."""
    mean, other = sums / n, (np.asarray(total) - sums) / m
    own = np.maximum(squares - n * mean**2, 0.0) / (n - 1)
    others = np.maximum(np.asarray(whole) - squares - m * other**2, 0.0) / (m - 1)
    # Groups without any spread of their own have a large t and not an infinite one: their rounding is no order.
    least = 1e-12 * np.asarray(whole) / (n + m) ** 2
    t: np.ndarray = (mean - other) / np.sqrt(np.maximum(own / n + others / m, least))
    return t


@lru_cache(maxsize=8)
def flipped(n: int, seed: int = 0) -> tuple[np.ndarray, bool]:
    """Signs ``(R, n)``: all of them with a first +, for the opposite ones give the same size, or random ones."""
    if 2**n <= EXACT:
        return np.array([(1, *rest) for rest in product((1, -1), repeat=n - 1)], dtype=float), True
    return np.random.default_rng(seed).choice([-1.0, 1.0], size=(EXACT, n)), False


@lru_cache(maxsize=8)
def dealt(n: int, m: int, seed: int = 0) -> tuple[np.ndarray, bool]:
    """Which of n + m values are in the first group, ones and zeros ``(R, n + m)``: all ways, or random ones."""
    if comb(n + m, n) <= EXACT:
        chosen = np.array(list(combinations(range(n + m), n)))
    else:
        chosen = np.random.default_rng(seed).random((EXACT, n + m)).argsort(axis=1)[:, :n]
    deals = np.zeros((len(chosen), n + m))
    np.put_along_axis(deals, chosen, 1.0, axis=1)
    return deals, comb(n + m, n) <= EXACT
