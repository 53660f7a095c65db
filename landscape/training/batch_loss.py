"""The loss of one step's batch, as an optimizer asks for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn.modules.batchnorm import _BatchNorm

from landscape.errors import UsageError
from landscape.problems.adversary import attacked
from landscape.problems.base import Problem, is_pair


@dataclass
class Evaluations:
    """What was asked for, in passes over the training data: the loss of a batch counts by its share of the examples.

    Attributes
    ----------
    losses : float
        Values alone.
    gradients : float
        Values with their gradient, those by which an adversary moves the inputs among them. What an optimizer
        differentiates once more (``with_graph``) is not counted.
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
    adversary : mapping, optional
        ``norm``, ``radius`` and ``steps`` of :func:`landscape.problems.adversary.attacked`: the loss is that at inputs
        which are moved against it, found anew wherever the parameters stand.

    Attributes
    ----------
    gradient_norm : float
        Of the first gradient that was asked for, which is that where the step begins; NaN where none was.
    """

    def __init__(
        self,
        problem: Problem,
        model: nn.Module,
        rows: Sequence[Tensor],
        counted: Evaluations | None = None,
        *,
        adversary: Mapping[str, Any] | None = None,
    ) -> None:
        self.problem, self.model, self.rows, self.adversary = problem, model, rows, adversary
        self.gradient_norm = math.nan
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
        return BatchLoss(self.problem, self.model, [self.rows[index]], self.counted, adversary=self.adversary)

    def by_example(self) -> tuple[Tensor, list[Tensor]]:
        """(n,) losses of the examples, and their gradients, ``(n, *shape)`` for each trainable parameter.

        Raises
        ------
        UsageError
            If the data are no pair of tensors, or examples interact, as through batch normalization.
        """
        examples = self._examples()
        interact = self.problem.interacting or any(isinstance(m, _BatchNorm) for m in self.model.modules())
        if not is_pair(examples) or self.problem.weight is not None or interact:
            raise UsageError(
                "gradients of single examples need data that are (inputs, targets), and a model in which no example "
                "sees another, as through BatchNorm; take another optimizer, or GroupNorm"
            )
        module = _MeanLoss(self.problem, self.model)
        trainable = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}

        def loss(tensors: dict[str, Tensor], *one: Tensor) -> Tensor:
            found: Tensor = functional_call(module, tensors, (tuple(part[None] for part in one),))
            return found

        each = vmap(grad_and_value(loss), in_dims=(None, 0, 0), randomness="different")
        self.counted.gradients += self._share
        with torch.enable_grad():
            gradients, losses = each(trainable, *examples)
        found = [g.detach() for g in gradients.values()]
        if math.isnan(self.gradient_norm):
            self.gradient_norm = float(torch.stack([g.mean(0).norm() for g in found]).double().norm())
        return losses.detach(), found

    def _backward(self, *, create_graph: bool) -> Tensor:
        self.counted.gradients += self._share
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
        examples = self.problem.examples(self.rows[0] if len(self.rows) == 1 else torch.cat(list(self.rows)))
        if self.adversary is None:
            return examples
        self.counted.gradients += self._share * self.adversary["steps"]
        return attacked(self.problem, self.model, examples, **self.adversary)


class _MeanLoss(nn.Module):
    """The loss of a batch as a module of its own, so that its parameters can be replaced."""

    def __init__(self, problem: Problem, model: nn.Module) -> None:
        super().__init__()
        self.problem, self.model = problem, model

    def forward(self, batch: Any) -> Tensor:
        """Mean loss of a batch."""
        return self.problem.mean_loss(self.model, batch)
