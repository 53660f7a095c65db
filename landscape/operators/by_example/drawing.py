"""Examples drawn by how much they can matter, and the objective on those alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.errors import ObjectiveError
from landscape.objective import Objective
from landscape.objective.functional import Parts

Array = np.ndarray


@dataclass(frozen=True)
class Drawn:
    """Drawn examples in chunks; ``factors[i]`` (m,) makes the mean over chunk i an unbiased part of the whole sum."""

    parts: Parts
    factors: list[Tensor]
    count: int


class Drawing:
    """Draws examples of an objective, each expected as often as its size says (Horvitz & Thompson 1952, JASA 47)."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective

    def draw(self, sizes: Array, count: int, chunk: int, rng: np.random.Generator) -> Drawn:
        """``count`` examples, in chunks of ``chunk``; the same one more than once where its size says so."""
        rows, factors = systematic(sizes, count, rng)
        order = rng.permutation(len(rows))  # neighbours are alike in size; those of a chunk need not be
        rows, factors = rows[order], factors[order]
        objective = self._objective
        part = objective.on_batches([objective.batches.pick(rows)]).rechunked(chunk)
        weights = [part.weigh(piece) / objective.total_weight for piece in part.batches.cut(chunk)]
        if min(weights) <= 0:
            raise ObjectiveError("examples were drawn that have no weight in the loss")
        pieces = np.split(factors, np.arange(chunk, len(rows), chunk))
        scaled = [torch.from_numpy(own) * weight for own, weight in zip(pieces, weights, strict=True)]
        return Drawn(part.parts(), scaled, len(rows))


def systematic(sizes: Array, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """``count`` examples, and by what each is multiplied, ``1/(count·π)`` with π its size over the sum of all.

    Systematic along the examples in order of size (Madow 1949, Ann. Math. Statist. 20): as if stratified by it. One
    call is one random start, so that only several of them show the spread.
    """
    if not float(sizes.sum()) > 0:
        rows = np.arange(min(count, len(sizes)))
        return rows, np.zeros(len(rows))
    order = rng.permutation(len(sizes))
    order = order[np.argsort(sizes[order], kind="stable")]
    heights = np.cumsum(sizes[order])
    places = (rng.random() + np.arange(count)) / count * heights[-1]
    rows = order[np.minimum(np.searchsorted(heights, places, side="right"), len(sizes) - 1)]
    return rows, heights[-1] / (count * sizes[rows])
