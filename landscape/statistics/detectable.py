"""How small a difference a design could find, by the very rule that decides: permutation, adjusted over all pairs."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy import optimize, stats

from landscape.checks import check_count, check_share
from landscape.statistics.permutation import dealt, flipped, smallest_p, welch_p, welch_t

Power = Callable[[float], float]
#: Simulated studies: as many as this of entries (rearrangements × pairs × studies) hold, within these limits.
_ENTRIES, _FEWEST, _MOST = 6_000_000, 400, 4000
#: With more rearrangements than these, p of a permutation test is that of the t test to a share of a percent.
_FLIPS, _DEALS = 2048, 1000


def detectable_effect(
    n: int, *, m: int | None = None, groups: int = 2, power: float = 0.8, level: float = 0.95
) -> float:
    """The smallest difference that the decision between groups finds with this probability, by simulation.

    One of the groups is shifted against all others, and normal samples are judged as
    :func:`landscape.statistics.decide` does: permutation tests, their p adjusted over all pairs of groups. Counted is
    each pair with the shifted group. Above 2048 sign flips or 1000 deals, p is taken from the t test, which is the same
    to a share of a percent. The error is about a point of power, and the same on every call: the draws are fixed.

    Parameters
    ----------
    n, m : int
        Replicates of the shifted group and of each other; ``m=None``: n pairs.
    groups : int
        All groups of the family, so that there are ``groups·(groups − 1)/2`` pairs.

    Returns
    -------
    float
        In standard deviations of the differences of pairs (seeds that share nothing: √2 of a group's own); without
        pairs, in those of a group. Infinite where the smallest p that the design can reach, adjusted, is not below
        1 − ``level``: no difference however large is found.

    References
    ----------
    Cohen (1988), Statistical power analysis, chapter 2, for the t test of two groups, where the search begins.
    """
    check_share("level", level)
    check_share("power", power, hint="0.8, not 80")
    for name, count in ("n", n), ("m", 0 if m is None else m):
        check_count(name, count, least=0)
    return _smallest(n, m, check_count("groups", groups, least=2), power, round(1 - level, 12))


@lru_cache(maxsize=256)
def _smallest(n: int, m: int | None, groups: int, power: float, alpha: float) -> float:
    family = groups * (groups - 1) // 2
    if not family * smallest_p(n, m) < alpha:
        return float("inf")
    found = (_paired if m is None else _apart)(n, n if m is None else m, groups, alpha)
    # A z test of one pair alone finds less than half of what is sought at the low end, and any test more at the high.
    low = 0.5 * float(stats.norm.ppf(1 - alpha / 2)) * (1 / n if m is None else 1 / n + 1 / m) ** 0.5
    high = 2 * low
    while found(high) < power:
        low, high = high, 2 * high
    return float(optimize.bisect(lambda shift: found(shift) - power, low, high, rtol=2e-3, xtol=1e-3 * low))


def _studies(others: int, rearrangements: int) -> int:
    return int(np.clip(_ENTRIES // (others * rearrangements), _FEWEST, _MOST))


def _share_found(p: np.ndarray, groups: int, alpha: float) -> float:
    """Of the pairs with the shifted group, p ``(studies, groups − 1)``; the pairs of the others count as not found."""
    family = groups * (groups - 1) / 2
    adjusted = np.sort(p, axis=1) * (family - 0.5 * np.arange(p.shape[1]))
    return float((np.maximum.accumulate(adjusted, axis=1) < alpha).mean())


def _paired(n: int, _: int, groups: int, alpha: float) -> Power:
    """Differences of the shifted group from each other one at n seeds, of standard deviation 1."""
    exact = 2 ** (n - 1) <= _FLIPS
    studies = _studies(groups - 1, 2 ** (n - 1) if exact else n)
    noise = np.random.default_rng(0).standard_normal((studies, groups, n)) / 2**0.5
    differences = (noise[:, :1] - noise[:, 1:]).reshape(-1, n)
    if not exact:
        means, spreads = differences.mean(axis=1), differences.std(axis=1, ddof=1)

        def by_t(shift: float) -> float:
            p = 2 * stats.t.sf(np.abs(means + shift) * n**0.5 / spreads, n - 1)
            return _share_found(p.reshape(studies, -1), groups, alpha)

        return by_t
    flips = flipped(n)[0].astype(np.float32)
    sums, counts = differences.astype(np.float32) @ flips.T, flips.sum(axis=1)

    def by_flips(shift: float) -> float:
        moved = np.abs(sums + np.float32(shift) * counts)
        p = (moved >= moved[:, :1] * np.float32(1 - 1e-5)).mean(axis=1)
        return _share_found(p.reshape(studies, -1), groups, alpha)

    return by_flips


def _apart(n: int, m: int, groups: int, alpha: float) -> Power:
    """n values of the shifted group and m of each other one, all of standard deviation 1."""
    exact = smallest_p(n, m) > 2 / _DEALS
    studies = _studies(groups - 1, 4 * (len(dealt(n, m)[0]) if exact else n + m))
    rng = np.random.default_rng(0)
    shifted, others = rng.standard_normal((studies, 1, n)), rng.standard_normal((studies, groups - 1, m))
    x = np.broadcast_to(shifted, (studies, groups - 1, n)).reshape(-1, n)
    y = others.reshape(-1, m)
    own, other = x.var(axis=1, ddof=1) / n, y.var(axis=1, ddof=1) / m
    apart, error = x.mean(axis=1) - y.mean(axis=1), np.sqrt(own + other)

    def by_t(shift: float) -> np.ndarray:
        return welch_p((apart + shift) / error, own, other, n, m)

    if not exact:
        return lambda shift: _share_found(by_t(shift).reshape(studies, -1), groups, alpha)
    deals, pooled = dealt(n, m)[0], np.concatenate([x, y], axis=1)
    sums, squares, moved = pooled @ deals.T, pooled**2 @ deals.T, x @ deals[:, :n].T
    counts = deals[:, :n].sum(axis=1)

    def by_deals(shift: float) -> float:
        total = pooled.sum(axis=1) + shift * n
        whole = (pooled**2).sum(axis=1) + 2 * shift * x.sum(axis=1) + shift**2 * n
        t = welch_t(
            sums + shift * counts, squares + 2 * shift * moved + shift**2 * counts,
            total[:, None], whole[:, None], n, m,
        )  # fmt: skip
        seen, near = t[:, :1], 1e-9 * (1 + np.abs(t[:, :1]))  # the first deal leaves all where they are
        sides = (t >= seen - near).mean(axis=1), (t <= seen + near).mean(axis=1)
        p = np.maximum(2 * np.where(seen[:, 0] > 0, *sides), by_t(shift))
        return _share_found(p.reshape(studies, -1), groups, alpha)

    return by_deals
