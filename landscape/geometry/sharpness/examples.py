"""A weighted sum of the losses of examples: all of the data, or a few that stand for them, and who counts in it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from landscape.device import widened
from landscape.errors import ObjectiveError
from landscape.objective import Objective
from landscape.objective.batches import cast, count_examples, take


class Piece(NamedTuple):
    """Examples that the model sees at once; the mean loss of each of their groups of rows counts so much."""

    batch: Any
    groups: list[tuple[slice, float]]


class Examples:
    """``Σ_g c_g·(mean loss of group g)``, of groups of examples.

    Attributes
    ----------
    share : float
        Of all examples, those that are here: what a gradient costs.
    sizes : (M,) array
        How much each example counted where the whole was evaluated last: the norm of the loss's gradient by its output,
        in shares that add up to M.
    """

    def __init__(self, objective: Objective, pieces: Sequence[Piece], *, share: float) -> None:
        self._layout, self._pieces, self.share = objective.layout, pieces, share
        self._parts = objective.parts()
        self.sizes = np.ones(0)

    @classmethod
    def all_of(cls, objective: Objective) -> Examples:
        """L, in the chunks of the objective."""
        parts = objective.parts()
        pieces = [Piece(parts.chunk(i), [(slice(None), share)]) for i, share in enumerate(parts.shares)]
        return cls(objective, pieces, share=1.0)

    @classmethod
    def drawn(cls, objective: Objective, strata: Sequence[tuple[np.ndarray, float]], *, power: float = 1.0) -> Examples:
        """L from the numbers of some examples, each of which stands for so many: its mean over draws is L.

        With a ``power`` below 1 those that stand for many count less than that.
        """
        pieces, size = [], sum(len(rows) for rows, _ in strata)
        most = objective.chunk or size
        numbers = np.concatenate([rows for rows, _ in strata])
        stands_for = np.concatenate([np.full(len(rows), times) for rows, times in strata])
        for first in range(0, size, most):
            picked = objective.batches.pick(numbers[first : first + most])
            times, groups = stands_for[first : first + most], []
            edges = [0, *(np.flatnonzero(np.diff(times)) + 1).tolist(), len(times)]
            for start, stop in pairwise(edges):
                weight = objective.weigh(take(picked, slice(start, stop)))
                if weight > 0:
                    groups.append((slice(start, stop), float(times[start]) ** power * weight / objective.total_weight))
            if groups:
                pieces.append(Piece(cast(picked, objective.dtype, objective.device), groups))
        return cls(objective, pieces, share=size / objective.num_examples)

    def loss(self, theta: Tensor) -> float:
        """At θ (P,); a third of a gradient's cost."""
        return self._evaluate(theta, None)

    def loss_and_gradient(self, theta: Tensor) -> tuple[float, Tensor]:
        """At θ, and by it (P,)."""
        gradient = torch.zeros_like(theta)
        return self._evaluate(theta, gradient), gradient

    def _evaluate(self, theta: Tensor, gradient: Tensor | None) -> float:
        leaves = [t.detach().requires_grad_(gradient is not None) for t in self._layout.split(theta)]
        total, sizes = 0.0, []
        with self._parts.borrowed():
            for piece in self._pieces:
                with torch.set_grad_enabled(gradient is not None):
                    outputs, spec = pytree.tree_flatten(self._parts.outputs(piece.batch, leaves))
                loss, slopes = self._of_outputs(outputs, spec, piece)
                total += loss
                sizes.append(_lengths(slopes, len(outputs[0])))
                if gradient is not None:
                    gradient.add_(_pulled_back(outputs, slopes, leaves))
        found = np.concatenate(sizes) if sizes else np.ones(0)
        usable = found.size and np.isfinite(found).all() and found.sum() > 0
        self.sizes = found / found.mean() if usable else np.ones_like(found)
        return total

    def _of_outputs(self, outputs: list[Any], spec: Any, piece: Piece) -> tuple[float, list[Tensor | None]]:
        """The sum over a piece's groups, and its gradient by each output."""
        count = count_examples(piece.batch)
        if not outputs or any(not isinstance(x, Tensor) or x.ndim == 0 or len(x) != count for x in outputs):
            raise ObjectiveError("the model returns what is not one row for each example")
        points = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in outputs]
        with torch.enable_grad():
            terms = []
            for rows, weight in piece.groups:
                whole = rows == slice(None)
                own = pytree.tree_unflatten(points if whole else [x[rows] for x in points], spec)
                terms.append(weight * self._parts.loss_of(own, piece.batch if whole else take(piece.batch, rows)))
            loss = torch.stack(terms).sum()
            asked = [x for x in points if x.requires_grad]
            found = iter(
                torch.autograd.grad(loss, asked, allow_unused=True) if loss.requires_grad else [None] * len(asked)
            )
        return float(loss.detach()), [next(found) if x.requires_grad else None for x in points]


def _lengths(slopes: Sequence[Tensor | None], count: int) -> np.ndarray:
    """The norm of each example's rows, of all outputs together (count,)."""
    squares = np.zeros(count)
    for slope in slopes:
        if slope is not None:
            squares += widened(slope.detach()).reshape(count, -1).square().sum(1).cpu().numpy()
    lengths: np.ndarray = np.sqrt(squares)
    return lengths


def _pulled_back(outputs: Sequence[Tensor], slopes: Sequence[Tensor | None], leaves: list[Tensor]) -> Tensor:
    """The gradient by θ from that by the outputs."""
    used = [(x, s) for x, s in zip(outputs, slopes, strict=True) if s is not None and x.requires_grad]
    pieces: Sequence[Tensor | None] = [None] * len(leaves)
    if used:
        pieces = torch.autograd.grad([x for x, _ in used], leaves, [s for _, s in used], allow_unused=True)
    pairs = zip(pieces, leaves, strict=True)
    return torch.cat([torch.zeros_like(t).reshape(-1) if g is None else g.reshape(-1) for g, t in pairs])
