"""The loss of one step's batch, as an optimizer asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from landscape.problems.base import Problem


@dataclass
class Evaluations:
    """What was asked for, in passes over the training data: the loss of a batch counts by its share of the examples.

    Attributes
    ----------
    losses : float
        Values alone.
    gradients : float
        Values with their gradient. What an optimizer differentiates once more (``with_graph``) is not counted.
    """

    losses: float = 0.0
    gradients: float = 0.0


class BatchLoss:
    """A :class:`~landscape.optimizers.Closure` over rows of the training data, which counts how often it is asked.

    Parameters
    ----------
    rows : sequence of tensors
        Those of each client; without clients a single one.
    counted : Evaluations, optional
        Where it is counted; left out, in one of its own.
    """

    def __init__(
        self, problem: Problem, model: nn.Module, rows: Sequence[Tensor], counted: Evaluations | None = None
    ) -> None:
        self.problem, self.model, self.rows = problem, model, rows
        self.counted = Evaluations() if counted is None else counted
        self._share = sum(map(len, rows)) / problem.num_examples

    def __call__(self) -> Tensor:
        """The loss, detached, with its gradient in ``.grad``."""
        return self._backward(create_graph=False)

    def with_graph(self) -> Tensor:
        """The same with gradients that can be differentiated once more."""
        return self._backward(create_graph=True)

    @torch.no_grad()
    def value(self) -> float:
        """The loss alone."""
        self.counted.losses += self._share
        parts = self.problem.pieces(self._examples())
        return sum(share * float(self.problem.mean_loss(self.model, piece)) for share, piece in parts)

    def of_client(self, index: int) -> BatchLoss:
        """The loss of one client's rows."""
        return BatchLoss(self.problem, self.model, [self.rows[index]], self.counted)

    def _backward(self, *, create_graph: bool) -> Tensor:
        self.counted.gradients += self._share
        for p in self.model.parameters():
            p.grad = None
        total = torch.zeros(())
        for share, piece in self.problem.pieces(self._examples()):
            part = share * self.problem.mean_loss(self.model, piece)
            part.backward(create_graph=create_graph)
            total = total + part.detach()
        return total

    def _examples(self) -> Any:
        return self.problem.examples(self.rows[0] if len(self.rows) == 1 else torch.cat(list(self.rows)))
