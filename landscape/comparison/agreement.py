"""How often several measures name the same group as the flattest by chance alone."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from math import factorial

import numpy as np

from landscape.errors import UsageError

#: Ways to give the runs to the groups that are gone through one by one; where there are more, as many are drawn.
MOST_WAYS = 10_000


def chance_of_agreement(
    values: Mapping[str, Sequence[float]],
    groups: Sequence[Hashable],
    *,
    blocks: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> float:
    """Share of all ways to give the runs to the groups at which every measure has the smallest mean in one group.

    Where the groups do not differ, each way is as likely as the one that was observed. Each run keeps all its measures
    together, so that how much they say the same thing, which is most of why they agree, is that of the runs themselves;
    no model of it is assumed.

    Parameters
    ----------
    values : mapping of str to (N,) numbers
        Measure → its values at the runs, such that groups are compared by their means: logarithms of positive ones.
    groups : sequence of length N
        The group of each run.
    blocks : sequence of length N, optional
        Their seeds, where groups share them: runs are then given to the groups of their own block only.
    seed : int
        Of the ways drawn, where there are more than ``MOST_WAYS``.

    Returns
    -------
    float
        1 where one measure is all there is. A tie for the smallest is no agreement.

    Raises
    ------
    UsageError
        If the lengths differ, a value is not finite, or there are fewer than two groups.

    Examples
    --------
    Two measures of which one is twice the other agree always, whatever the runs:

    >>> once = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    >>> chance_of_agreement({"a": once, "b": [2 * x for x in once]}, ["p", "q", "r"] * 2)
    1.0
    """
    table, labels, places = _checked(values, groups, blocks)
    count = int(labels.max()) + 1
    member = np.zeros((count, len(labels)))
    member[labels, np.arange(len(labels))] = 1
    means = (member / member.sum(1, keepdims=True)).T  # (N, G): a row of runs → means of the groups
    ways = _ways(labels, places, seed)
    agreed = 0
    for way in ways:
        at = table[:, way] @ means  # run way[i] stands where run i stood
        lowest = at.min(1, keepdims=True)
        alone = (at <= lowest + 1e-12 * np.abs(at).max(1, keepdims=True)).sum(1) == 1
        agreed += bool(alone.all()) and len(set(at.argmin(1).tolist())) == 1
    return agreed / len(ways)


def _checked(
    values: Mapping[str, Sequence[float]], groups: Sequence[Hashable], blocks: Sequence[Hashable] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values (M, N), groups and blocks as numbers (N,)."""
    labels, places = _numbered(groups), _numbered(blocks if blocks is not None else [0] * len(groups))
    lengths = {len(labels), len(places), *(len(row) for row in values.values())}
    if not values or len(lengths) > 1:
        raise UsageError(f"{len(values)} measures of {sorted(lengths)} runs: each needs one value for every run")
    if not len(labels) or labels.max() == 0:
        raise UsageError("an agreement on which group is flattest needs two groups or more")
    table = np.array([list(row) for row in values.values()], dtype=float)
    if not np.isfinite(table).all():
        raise UsageError("a value is not finite: leave out the runs, or the measures, that have none")
    return table, labels, places


def _numbered(names: Sequence[Hashable]) -> np.ndarray:
    order = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([order[name] for name in names], dtype=int)


def _ways(labels: np.ndarray, places: np.ndarray, seed: int) -> list[np.ndarray]:
    """Orders of the runs (N,) within their blocks: one for each way to fill the groups, or ``MOST_WAYS`` drawn ones."""
    blocks = [np.flatnonzero(places == place) for place in np.unique(places)]
    counts = 1
    for block in blocks:
        counts *= _fillings(labels[block])
    if counts > MOST_WAYS:
        rng = np.random.default_rng(seed)
        drawn = []
        for _ in range(MOST_WAYS):
            way = np.arange(len(labels))
            for block in blocks:
                way[block] = rng.permutation(block)
            drawn.append(way)
        return drawn
    ways = []
    for parts in product(*(_all_fillings(labels[block]) for block in blocks)):
        way = np.arange(len(labels))
        for block, part in zip(blocks, parts, strict=True):
            way[block] = block[list(part)]
        ways.append(way)
    return ways


def _fillings(labels: np.ndarray) -> int:
    """``n!/(n₁! n₂! …)``."""
    count = factorial(len(labels))
    for size in np.bincount(labels):
        count //= factorial(int(size))
    return count


def _all_fillings(labels: np.ndarray) -> list[tuple[int, ...]]:
    """Orders of the places of one block that fill its groups in every way once."""
    found: list[tuple[int, ...]] = []

    def fill(order: tuple[int, ...], left: tuple[int, ...]) -> None:
        at = len(order)
        if not left:
            found.append(order)
            return
        # Within a group ascending, so that each set of members comes once.
        same = [i for i in range(at) if labels[i] == labels[at]]
        for pick in left:
            if not same or pick > order[same[-1]]:
                fill((*order, pick), tuple(i for i in left if i != pick))

    fill((), tuple(range(len(labels))))
    return found
