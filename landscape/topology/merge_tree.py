"""Which basins a grid of heights has, and which joins which: one sweep from its lowest point to its highest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from landscape.results.base import Array


class MergeTree(NamedTuple):
    """K basins, the most persistent first; one that joins another stands after it.

    ``minima`` and ``saddles`` (K,) are places in the flat grid, ``parents`` (K,) numbers of basins, -1 where there is
    none; ``branches`` is (Y, X).
    """

    births: Array
    deaths: Array
    minima: Array
    saddles: Array
    parents: Array
    branches: Array


def merge_tree(values: Array) -> MergeTree:
    """The tree of the components of ``{values ≤ level}`` as the level rises.

    A point that has no lower neighbour begins a basin; one that touches several joins them, and those end but for the
    one with the lowest minimum (the elder rule). Of equal heights the one that stands first in the grid is the lower.
    Basins that end at the height at which they began are none.

    Parameters
    ----------
    values : (Y, X) array
        Joined along rows and columns. What is not finite belongs to nothing.

    Examples
    --------
    >>> merge_tree(np.array([[2.0, 0.0, 3.0, 1.0, 4.0]])).deaths
    array([inf,  3.])
    """
    heights = values.ravel()
    order = np.argsort(heights, kind="stable")
    swept = _Sweep(values.shape)
    for place in order[np.isfinite(heights[order])].tolist():
        swept.add(place)
    ends = {low: (saddle, elder) for low, saddle, elder in swept.joined if heights[low] < heights[saddle]}
    # Chains of basins without depth lead to one that has some, or never ends.
    absorbed = {low: elder for low, saddle, elder in swept.joined if heights[low] == heights[saddle]}
    kept = [low for low in swept.minima if low not in absorbed]
    deaths = {low: heights[ends[low][0]] if low in ends else np.inf for low in kept}
    kept.sort(key=lambda low: -(deaths[low] - heights[low]))  # stable: of equal ones the elder first
    names = {low: k for k, low in enumerate(kept)}
    for low in reversed(list(absorbed)):
        names[low] = names[absorbed[low]]
    minima = np.array(kept, dtype=np.int64)
    return MergeTree(
        births=heights[minima] if kept else np.empty(0),
        deaths=np.array([deaths[low] for low in kept]),
        minima=minima,
        saddles=np.array([ends[low][0] if low in ends else -1 for low in kept], dtype=np.int64),
        parents=np.array([names[ends[low][1]] if low in ends else -1 for low in kept], dtype=np.int64),
        branches=np.array([names[low] if low >= 0 else -1 for low in swept.branch], dtype=np.int64).reshape(
            values.shape
        ),
    )


class _Sweep:
    """Components of the points that were added, each named by its lowest point."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._rows, self._columns = shape
        size = self._rows * self._columns
        self._link = [-1] * size  # towards the lowest point of the component
        self._age = [0] * size
        self._count = 0
        self.branch = [-1] * size
        self.minima: list[int] = []
        self.joined: list[tuple[int, int, int]] = []

    def add(self, place: int) -> None:
        self._age[place] = self._count
        self._count += 1
        touched = {self._lowest(near) for near in self._neighbours(place) if self._link[near] >= 0}
        if not touched:
            self.minima.append(place)
        elder = min(touched, key=self._age.__getitem__, default=place)
        self._link[place] = self.branch[place] = elder
        for low in sorted(touched - {elder}, key=self._age.__getitem__):
            self._link[low] = elder
            self.joined.append((low, place, elder))

    def _lowest(self, place: int) -> int:
        link = self._link
        while link[place] != place:
            link[place] = link[link[place]]
            place = link[place]
        return place

    def _neighbours(self, place: int) -> list[int]:
        row, column = divmod(place, self._columns)
        found = [place - self._columns] if row > 0 else []
        if row < self._rows - 1:
            found.append(place + self._columns)
        if column > 0:
            found.append(place - 1)
        if column < self._columns - 1:
            found.append(place + 1)
        return found
