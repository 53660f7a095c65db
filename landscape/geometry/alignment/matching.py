"""Permutations that make two sets of blocks as similar as can be: one assignment problem after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from landscape.geometry.alignment.blocks import permuted
from landscape.geometry.alignment.symmetry import Symmetry
from landscape.results.base import Array

#: Gains below this share of the similarity are rounding.
_ROUNDING = 1e-12
MOST_SWEEPS = 100


@dataclass(frozen=True)
class Pair:
    """The same block of both networks, in float64: of weights, or of what neurons give on some data."""

    a: Tensor
    b: Tensor
    axes: tuple[int | None, ...]


@dataclass(frozen=True)
class Matched:
    """Permutations that were found, the similarity Σ a·π(b) they reach, and how."""

    permutations: dict[int, Tensor]
    similarity: float
    sweeps: int
    assignments: int
    settled: bool


class Matching:
    """Coordinate ascent on Σ a·π(b) over the permutations of each group in turn.

    Ainsworth, Hayase & Srinivasa (2023), Algorithm 1. With the others held, the best permutation of a group is a linear
    assignment problem, so that no step makes it worse. Where a group decides others (heads, and neurons within each),
    both are chosen at once: the worth of a pair of heads is that of their best inner assignment.
    """

    def __init__(self, pairs: Sequence[Pair], symmetry: Symmetry) -> None:
        self._symmetry, self._over = symmetry, symmetry.over
        self._of = {axis: [pair for pair in pairs if axis in pair.axes] for axis in symmetry.sizes}
        self._pairs = pairs
        self._orders = symmetry.identity()
        self._assignments = 0
        self._scale = sum(float(pair.a.norm() * pair.b.norm()) for pair in pairs) or 1.0

    def run(self, rng: np.random.Generator) -> Matched:
        """From the identity, sweeps over the groups in random order until none of them changes anything."""
        self._orders, self._assignments = self._symmetry.identity(), 0
        groups = np.array([axis for axis in self._symmetry.sizes if self._of[axis]], dtype=int)
        sweeps, settled = 0, False
        while not settled and sweeps < MOST_SWEEPS:
            sweeps += 1
            settled = True
            for axis in rng.permutation(groups).tolist():
                settled &= not self._improve(axis)
        return Matched(dict(self._orders), self._similarity(self._pairs), sweeps, self._assignments, settled)

    def alike(self, orders: Mapping[int, Tensor]) -> dict[int, float]:
        """Of each group the cosine between the blocks of both networks in which it stands, so permuted."""
        self._orders = dict(orders)
        found = {}
        for axis, pairs in self._of.items():
            sizes = [
                sum(float(one.square().sum()) for one in ends)
                for ends in zip(*((p.a, p.b) for p in pairs), strict=True)
            ]
            whole = float(np.sqrt(np.prod(sizes))) if pairs else 0.0
            found[axis] = self._similarity(pairs) / whole if whole else float("nan")
        return found

    def _similarity(self, pairs: Sequence[Pair]) -> float:
        return sum(float((pair.a * self._moved(pair)).sum()) for pair in pairs)

    def _moved(self, pair: Pair, but: Sequence[tuple[int, int | None]] = ()) -> Tensor:
        return permuted(pair.b, pair.axes, self._orders, self._over, but=but)

    def _improve(self, axis: int) -> bool:
        """Take the best permutation of one group; whether it is better than the one before."""
        dependents = self._symmetry.dependents(axis)
        if dependents and self._over[axis]:
            return False  # three levels deep: left as it is
        touched = [pair for pair in self._pairs if axis in pair.axes or any(one in pair.axes for one in dependents)]
        before = {one: self._orders[one] for one in (axis, *dependents)}
        start = self._similarity(touched)
        if dependents:
            self._exchange_with_inner(axis, dependents)
        else:
            worth = self._worth(axis)
            self._orders[axis] = self._assigned(worth).reshape(self._orders[axis].shape)
        if self._similarity(touched) - start > _ROUNDING * self._scale:
            return True
        self._orders.update(before)
        return False

    def _worth(self, axis: int) -> Tensor:
        """(copies, n, n): what it is worth to put neuron j of b at the place of i of a."""
        size, deciding = self._symmetry.sizes[axis], self._over[axis]
        total = torch.zeros(int(np.prod(self._symmetry.copies(axis))), size, size, dtype=torch.float64)
        for pair in self._of[axis]:
            for place, one in enumerate(pair.axes):
                if one == axis:
                    front = [*(pair.axes.index(other) for other in deciding), place]
                    a, b = (_in_front(t, front) for t in (pair.a, self._moved(pair, [(axis, place)])))
                    total += a.reshape(len(total), size, -1) @ b.reshape(len(total), size, -1).mT
        return total

    def _assigned(self, worth: Tensor) -> Tensor:
        return torch.stack([torch.from_numpy(self._assign(one)[0]) for one in worth.numpy()])

    def _assign(self, worth: Array) -> tuple[Array, float]:
        self._assignments += 1
        rows, columns = linear_sum_assignment(worth, maximize=True)
        return columns.astype(np.int64), float(worth[rows, columns].sum())

    def _exchange_with_inner(self, axis: int, dependents: Sequence[int]) -> None:
        """Permute a group and what is permuted within each of its indices."""
        size = self._symmetry.sizes[axis]
        plain = torch.zeros(size, size, dtype=torch.float64)
        inner = {one: torch.zeros(()) for one in dependents if self._over[one] == (axis,)}
        for pair in self._of[axis]:
            if pair.axes.count(axis) != 1:
                continue
            within = [one for one in dependents if one in pair.axes]
            left = [(one, None) for one in (axis, *within)]
            place = pair.axes.index(axis)
            if not within:
                a, b = (_in_front(t, [place]) for t in (pair.a, self._moved(pair, left)))
                plain += a.reshape(size, -1) @ b.reshape(size, -1).T
            elif len(within) == 1 and within[0] in inner and pair.axes.count(within[0]) == 1:
                (one,) = within
                front = [place, pair.axes.index(one)]
                width = self._symmetry.sizes[one]
                a, b = (_in_front(t, front).reshape(size * width, -1) for t in (pair.a, self._moved(pair, left)))
                inner[one] = inner[one] + (a @ b.T).reshape(size, width, size, width).transpose(1, 2)
        choices: dict[int, Array] = {}
        for one, worths in inner.items():
            if worths.ndim == 0:
                continue
            width = self._symmetry.sizes[one]
            choices[one] = np.empty((size, size, width), dtype=np.int64)
            for i in range(size):
                for j in range(size):
                    choices[one][i, j], worth = self._assign(worths[i, j].numpy())
                    plain[i, j] += worth
        old = self._orders[axis]
        self._orders[axis] = self._assigned(plain[None])[0]
        came_from = old.argsort()[self._orders[axis]]  # at which place each of b's stood before
        for one in dependents:
            if one in choices:
                chosen = choices[one][np.arange(size), self._orders[axis].numpy()]
                self._orders[one] = torch.from_numpy(chosen)
            else:
                self._orders[one] = self._orders[one].index_select(self._over[one].index(axis), came_from)


def _in_front(tensor: Tensor, places: Sequence[int]) -> Tensor:
    """These dimensions first, the others behind them."""
    return tensor.permute([*places, *(i for i in range(tensor.ndim) if i not in places)]).contiguous()
