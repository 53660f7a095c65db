"""Several minima of one question: each as it is, and mixtures of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.errors import UsageError
from landscape.geometry.batch_statistics import recomputed
from landscape.geometry.endpoints import between, end_of
from landscape.objective import Objective, Vector

Minima = Mapping[str, Vector | Objective] | Sequence[Vector | Objective]


@dataclass(frozen=True)
class Several:
    """k minima.

    Attributes
    ----------
    objective : Objective
        With all that stands still.
    names : tuple of str
    thetas : (k, P) tensor
    constants : tuple
        Frozen parameters and buffers of each, or None where θ alone is known.
    moving : dict of name to list of k tensors
        Buffers beside running statistics that differ: they are mixed as θ is.
    batch_statistics : str
        For the record.
    """

    objective: Objective
    names: tuple[str, ...]
    thetas: Tensor
    constants: tuple[dict[str, Tensor] | None, ...]
    moving: dict[str, list[Tensor]]
    batch_statistics: str

    def alone(self, index: int) -> tuple[Objective, Tensor]:
        """One of them as it is, where all that belongs to it is known; else with statistics as a mixture has them."""
        known = self.constants[index]
        if known is not None and self.batch_statistics != "fixed":
            return self.objective.with_constants(known), self.thetas[index]
        return self.mixed(np.eye(len(self.names))[index])

    def mixed(self, weights: np.ndarray) -> tuple[Objective, Tensor]:
        """Their average with these weights (k,), and the objective with what belongs to it."""
        theta = _average(list(self.thetas), weights)
        here = self.objective.with_constants({name: _average(rows, weights) for name, rows in self.moving.items()})
        if self.batch_statistics == "recompute":
            here = here.with_constants(recomputed(here, theta))
        return here, theta


def several(objective: Objective, minima: Minima, batch_statistics: str) -> Several:
    """Settle what belongs to each and what moves between them, or refuse with the reason.

    Raises
    ------
    UsageError
        If there are fewer than two, or two of them could not be the ends of a line (:func:`interpolate`).
    """
    names, given = named(minima)
    if len(given) < 2:
        raise UsageError(f"{len(given)} minimum was given; an average needs at least 2")
    ways = []
    for name, other in zip(names[1:], given[1:], strict=True):
        try:
            ways.append(between(objective, (given[0], other), batch_statistics))
        except UsageError as error:
            raise UsageError(f"{names[0]} and {name}: {error}") from None
    moved = {name: here for way in ways for name, here in way.moving[0].items()}
    moving = {name: [first, *(way.moving[1].get(name, first) for way in ways)] for name, first in moved.items()}
    ends = [end_of(objective, one) for one in given]
    return Several(
        ways[0].objective,
        names,
        torch.stack([ways[0].a, *(way.b.to(ways[0].a.device) for way in ways)]),
        tuple(end.constants for end in ends),
        moving,
        ways[0].batch_statistics,
    )


def named(minima: Minima) -> tuple[tuple[str, ...], list[Vector | Objective]]:
    """Their names, numbers from 0 where they have none, and the minima."""
    if isinstance(minima, Mapping):
        return tuple(map(str, minima)), list(minima.values())
    return tuple(str(i) for i in range(len(minima))), list(minima)


def _average(rows: Sequence[Tensor], weights: np.ndarray) -> Tensor:
    """Σ wᵢ·rowᵢ over the weights that are not zero; a single one is the row to the last bit."""
    counted = [(float(w), row) for w, row in zip(weights, rows, strict=True) if w]
    if len(counted) == 1 and counted[0][0] == 1:
        return counted[0][1]
    return sum((w * row for w, row in counted[1:]), counted[0][0] * counted[0][1])
