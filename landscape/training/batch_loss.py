"""The loss of one step's batch, as an optimizer asks for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from landscape.problems.base import Problem


class BatchLoss:
    """A :class:`~landscape.optimizers.Closure` over rows of the training data.

    Parameters
    ----------
    rows : sequence of tensors
        Those of each client; without clients a single one.

    Attributes
    ----------
    gradient_norm : float
        Of the first gradient that was asked for, which is that where the step begins; NaN where none was.
    """

    def __init__(self, problem: Problem, model: nn.Module, rows: Sequence[Tensor]) -> None:
        self.problem, self.model, self.rows = problem, model, rows
        self.gradient_norm = math.nan

    def __call__(self) -> Tensor:
        """The loss, detached, with its gradient in ``.grad``."""
        return self._backward(create_graph=False)

    def with_graph(self) -> Tensor:
        """The same with gradients that can be differentiated once more."""
        return self._backward(create_graph=True)

    @torch.no_grad()
    def value(self) -> float:
        """The loss alone."""
        parts = self.problem.pieces(self._examples())
        return sum(share * float(self.problem.mean_loss(self.model, piece)) for share, piece in parts)

    def of_client(self, index: int) -> BatchLoss:
        """The loss of one client's rows."""
        return BatchLoss(self.problem, self.model, [self.rows[index]])

    def _backward(self, *, create_graph: bool) -> Tensor:
        for p in self.model.parameters():
            p.grad = None
        total = torch.zeros(())
        for share, piece in self.problem.pieces(self._examples()):
            part = share * self.problem.mean_loss(self.model, piece)
            part.backward(create_graph=create_graph)
            total = total + part.detach()
        if math.isnan(self.gradient_norm):
            self.gradient_norm = self._norm()
        return total

    @torch.no_grad()
    def _norm(self) -> float:
        there = [p.grad.norm() for p in self.model.parameters() if p.grad is not None]
        return float(torch.stack(there).double().norm()) if there else math.nan

    def _examples(self) -> Any:
        return self.problem.examples(self.rows[0] if len(self.rows) == 1 else torch.cat(list(self.rows)))
