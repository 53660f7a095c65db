"""Data dealt in random groups of examples, each evaluated at displacements of its own.

The mean rise of the loss is linear in the data, so that a random group of examples says of all of them what a random
person says of a population; and two groups at two displacements say more than both at one. The partition is drawn once.
Groups are visited in random order, round after round; as long as not all have been, the visits are a simple random
sample of groups, and from then on every group counts by its own mean: the choice of data then adds no error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from landscape.geometry.directions import gaussian
from landscape.objective import Objective
from landscape.objective.batches import cast, cut
from landscape.results import Estimate

#: Examples of a group: fewer make more displacements for the same work, until a call costs more than what is in it.
GROUP = 64
#: Repeated visits from which their spread is taken for that of the displacements.
_REPEATS = 8


class Deal:
    """Rises of groups of examples, ``(L(θ + δ) + L(θ − δ))/2 − L(θ)`` with a fresh δ for each visit.

    Parameters
    ----------
    theta, scale : (P,) tensors
        Centre, and what δ is of standard normal numbers.
    tick : callable
        ``tick(cost)`` after each evaluation, with the losses over the whole data made so far.
    group : int
        Examples of a group, about.

    Attributes
    ----------
    is_cut : bool
        Whether groups are drawn at random from single examples; otherwise they are the batches as they came, and only
        all of them together say something.
    cost : float
        Losses over the whole data.
    """

    def __init__(
        self,
        objective: Objective,
        theta: Tensor,
        scale: Tensor,
        *,
        seed: int,
        tick: Callable[[float], None],
        group: int = GROUP,
    ) -> None:
        self.objective, self.theta, self.scale, self._seed, self._tick = objective, theta, scale, seed, tick
        self._group = group
        self.is_cut = objective.can_pick
        self.cost, self.visits, self._parts = 0.0, 0, objective.parts()
        self._random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3, 0)))
        self._rows: list[np.ndarray] = []
        self._batches = [] if self.is_cut or objective.mode != "eval" else objective.batches.cut(None)
        total = objective.num_examples
        if self.is_cut:
            count = math.ceil(total / group)
            self._rows = [np.sort(rows) for rows in np.array_split(self._random.permutation(total), count)]
            sizes = [float(len(rows)) for rows in self._rows]
        else:
            sizes = [1.0] * max(len(self._batches), 1)
        #: Share of each group in the data (G,), by examples; of batches, whose shares are their weights, all alike.
        self.shares = np.array(sizes) / sum(sizes)
        self._base: list[float | None] = [None] * len(sizes)
        self.found: list[list[float]] = [[] for _ in sizes]
        self._order: list[int] = []

    @property
    def size(self) -> int:
        """G."""
        return len(self.found)

    def again(self, scale: Tensor) -> Deal:
        """The same groups at the same displacements but for their scale, none visited yet; losses at θ are kept."""
        twin = Deal(self.objective, self.theta, scale, seed=self._seed, tick=self._tick, group=self._group)
        twin._base = self._base
        return twin

    @property
    def next_cost(self) -> float:
        """At most what one visit more costs."""
        return 3 * float(self.shares.max())

    def visit(self) -> float:
        """The rise of the next group, times its weight over its share: the mean over groups is that of the data."""
        if not self._order:
            self._order = list(map(int, self._random.permutation(self.size)))
        index = self._order.pop()
        pieces, weight = self._pieces(index)
        noise = gaussian(self.visits, len(self.theta), seed=self._seed, family="sharpness").to(self.theta)
        delta = noise * self.scale
        self.visits += 1
        value = 0.0
        if weight > 0:
            base = self._base[index]
            if base is None:
                base = self._base[index] = self._loss(index, pieces, self.theta)
            both = self._loss(index, pieces, self.theta + delta) + self._loss(index, pieces, self.theta - delta)
            value = (both / 2 - base) * weight / self.objective.total_weight / float(self.shares[index])
        self.found[index].append(value)
        return value

    def estimate(self) -> Estimate:
        """The mean over the data so far, with its error and the samples that it is read from."""
        pooled = np.array([value for group in self.found for value in group])
        counts = np.array([len(group) for group in self.found])
        if counts.min() == 0 or self.size == 1:
            return _of(float(pooled.mean()), pooled, 1 / len(pooled))
        value = float(self.shares @ np.array([np.mean(group) for group in self.found]))
        repeats = np.concatenate([_contrasts(np.array(group)) for group in self.found])
        if len(repeats) < _REPEATS:  # the spread of all visits holds that of the data, too
            return _of(value, pooled, float((self.shares**2 / counts).sum()))
        spread = float(np.sqrt((repeats**2).mean() * (self.shares**2 / counts).sum()))
        return Estimate(value, sem=spread, samples=value + repeats)

    def _loss(self, index: int, pieces: list[tuple[float, Any]], theta: Tensor) -> float:
        """The loss of a group, from its pieces and their weights."""
        if self.size == 1:
            value = self.objective.loss(theta)
        else:
            tensors, total = self.objective.layout.split(theta), sum(weight for weight, _ in pieces)
            with self._parts.borrowed():
                value = sum(weight / total * self._parts.value_on(piece, tensors) for weight, piece in pieces)
        self.cost += float(self.shares[index])
        self._tick(self.cost)
        return value

    def _pieces(self, index: int) -> tuple[list[tuple[float, Any]], float]:
        """A group in pieces of at most a chunk, each with its weight, and the weight of all; those without are left
        out."""
        if self.size == 1:
            return [], self.objective.total_weight
        batch = self.objective.batches.pick(self._rows[index]) if self.is_cut else self._batches[index]
        most = self.objective.chunk if self.is_cut else None
        parts = [batch] if most is None or most >= len(self._rows[index]) else cut(batch, most)
        weighed = [(self.objective.weigh(part), part) for part in parts]
        objective = self.objective
        kept = [(weight, cast(part, objective.dtype, objective.device)) for weight, part in weighed if weight > 0]
        return kept, sum(weight for weight, _ in kept)


def _contrasts(values: np.ndarray) -> np.ndarray:
    """n − 1 uncorrelated differences of n equally distributed values (n,), of the variance of one of them."""
    before = np.cumsum(values)[:-1] / np.arange(1, len(values))
    n = np.arange(1, len(values))
    contrasts: np.ndarray = (values[1:] - before) * np.sqrt(n / (n + 1))
    return contrasts


def _of(value: float, samples: np.ndarray, share: float) -> Estimate:
    finite = len(samples) > 1 and bool(np.isfinite(samples).all())
    return Estimate(value, sem=float(samples.std(ddof=1) * math.sqrt(share)) if finite else None, samples=samples)
