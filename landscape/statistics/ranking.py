"""Do two numbers rank groups alike, and the replicates within them? Asked apart: pooled, one passes as the other."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial, prod

import numpy as np

from landscape.checks import check_seed

#: All orders up to this number (seven in a row), else so many random ones.
ORDERS = 5040
FEWEST = 3
_ENTRIES = 4_000_000
_NAN = float("nan")


@dataclass(frozen=True)
class Ranking:
    """Kendall's τ-b, or the mean of several, with the p of no association.

    Attributes
    ----------
    value, p : float
        NaN where there is nothing to rank.
    smallest_p : float
        The smallest p that so few can reach.
    groups, n : int
        How many groups were ranked or ranked within, and of how many numbers in all.
    """

    value: float
    p: float
    smallest_p: float
    groups: int
    n: int


def rank_over_groups(x: Sequence[float], y: Sequence[float], *, seed: int = 0) -> Ranking:
    """Whether two numbers order groups alike: τ over one number of each per group, p by exchanging groups.

    Runs of a group are not independent: pooled, they make an association between two groups significant that four
    groups in any order show as often. With three groups p is never below 1/3, with four 1/12.

    References
    ----------
    Kendall (1945), Biometrika 33(3).
    """
    seed = check_seed(seed)
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    keep = np.isfinite(a) & np.isfinite(b)
    return _ranked([a[keep]], [b[keep]], seed, together=True)


def rank_within_groups(groups: Sequence[tuple[Mapping[int, float], Mapping[int, float]]], *, seed: int = 0) -> Ranking:
    """Whether two numbers order the replicates within groups alike: the mean τ, p by exchanging replicates.

    Parameters
    ----------
    groups : sequence of (mapping, mapping)
        Both numbers of each group by seed. Groups of the same seeds share what a seed does to either number, so their
        seeds are exchanged together, those that all groups have; groups without a seed in common each on their own.

    References
    ----------
    Kendall (1945), Biometrika 33(3). Good (2005), Permutation, parametric and bootstrap tests of hypotheses, on
    exchange within blocks.
    """
    seed = check_seed(seed)
    shared = [(x, y, sorted(x.keys() & y.keys())) for x, y in groups]
    shared = [entry for entry in shared if len(entry[2]) >= FEWEST]
    every = [key for _, _, keys in shared for key in keys]
    together = len(set(every)) < len(every) or len(shared) == 1
    common = set.intersection(*(set(keys) for _, _, keys in shared)) if together and shared else set(every)
    kept = [[key for key in keys if key in common] for _, _, keys in shared]
    xs = [np.array([x[key] for key in keys]) for (x, _, _), keys in zip(shared, kept, strict=True)]
    ys = [np.array([y[key] for key in keys]) for (_, y, _), keys in zip(shared, kept, strict=True)]
    return _ranked(xs, ys, seed, together=together)


def granulated(settings: Sequence[Mapping[str, Hashable]], x: Sequence[float], y: Sequence[float]) -> dict[str, float]:
    """Of each setting, whether x and y go the same way where it alone is changed: ψ, between −1 and 1.

    Groups that agree in all other settings are ranked among themselves; the mean of their τ (ties count as 0) is the ψ
    of that setting. Jiang et al.'s Ψ is the mean over settings. One setting that moves both numbers shows in its own ψ
    and not in the others', as it would in one τ over all.

    Parameters
    ----------
    settings : sequence of mapping
        Of each group, all with the same keys.

    Returns
    -------
    dict
        Setting → ψ, of those for which two groups differ in nothing else.

    References
    ----------
    Jiang, Neyshabur, Mobahi, Krishnan & Bengio (2020), Fantastic generalization measures and where to find them, ICLR,
    equations 5 to 7.
    """
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    known = np.flatnonzero(np.isfinite(a) & np.isfinite(b)).tolist()
    found = {}
    for key in settings[0] if settings else ():
        blocks: dict[Hashable, list[int]] = {}
        for i in known:
            rest = tuple((name, value) for name, value in sorted(settings[i].items()) if name != key)
            blocks.setdefault(rest, []).append(i)
        taus = [
            float((_signs(a[own]) * _signs(b[own])).sum() / (len(own) * (len(own) - 1)))
            for own in blocks.values()
            if len({settings[i][key] for i in own}) == len(own) > 1
        ]
        if taus:
            found[key] = float(np.mean(taus))
    return found


def _ranked(xs: list[np.ndarray], ys: list[np.ndarray], seed: int, *, together: bool) -> Ranking:
    """The mean τ of blocks; exchanged in all of them by one order, or in each by its own."""
    blocks = [(_scaled(x), _scaled(y)) for x, y in zip(xs, ys, strict=True) if x.size >= FEWEST and _vary(x, y)]
    n = sum(len(a) for a, _ in blocks)
    if not blocks:
        return Ranking(_NAN, _NAN, 1.0, 0, n)
    seen = float(np.mean([(a * b).sum() for a, b in blocks]))
    rng, sizes = np.random.default_rng(seed), [len(a) for a, _ in blocks]
    one, exact = _orders(sizes[0], rng) if together else (None, False)
    means = np.zeros(ORDERS if one is None else len(one))
    for a, b in blocks:
        order = _random(len(a), rng) if one is None else one
        parts = np.array_split(order, 1 + order.size * len(a) // _ENTRIES)
        means += np.concatenate([(b[o[:, :, None], o[:, None, :]] * a).sum(axis=(1, 2)) for o in parts]) / len(blocks)
    hits = int((np.abs(means) >= abs(seen) - 1e-9).sum())
    p = hits / len(means) if exact else (1 + hits) / (1 + len(means))
    ways = factorial(sizes[0]) if together else prod(map(factorial, sizes))
    smallest = 2 / ways if ways <= ORDERS else 1 / (ORDERS + 1)
    return Ranking(seen, max(p, smallest), smallest, len(blocks), n)


def _orders(n: int, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    if factorial(n) <= ORDERS:
        return np.array(list(permutations(range(n)))), True
    return _random(n, rng), False


def _random(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.random((ORDERS, n)).argsort(axis=1)


def _vary(x: np.ndarray, y: np.ndarray) -> bool:
    return bool(np.ptp(x) > 0 and np.ptp(y) > 0)


def _signs(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.sign(values[:, None] - values[None, :])
    return found


def _scaled(values: np.ndarray) -> np.ndarray:
    """So that the sum of the product of two of them is τ-b."""
    signs = _signs(values)
    scaled: np.ndarray = signs / float((signs**2).sum()) ** 0.5
    return scaled
