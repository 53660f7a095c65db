"""What the optimizers written here are made from: steps that look at all parameters at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class Closure(Protocol):
    """The loss of a step, computed anew where the parameters stand, as often as an optimizer asks."""

    def __call__(self) -> Tensor:
        """The loss, with its gradient in ``.grad``."""

    def value(self) -> float:
        """The loss alone; gradients stay as they are."""

    def with_graph(self) -> Tensor:
        """As a call, with gradients that can be differentiated once more."""

    def of_client(self, index: int) -> Callable[[], Tensor]:
        """The closure of one client's examples."""

    def by_example(self) -> tuple[Tensor, list[Tensor]]:
        """(n,) losses of the examples, and their gradients, ``(n, *shape)`` for each parameter."""


class WholeVectorOptimizer(torch.optim.Optimizer):
    """An optimizer with one learning rate, whose step depends on all parameters together.

    Attributes
    ----------
    step_size : float or None
        What the direction was multiplied with in the last step; None before the first.
    """

    def __init__(self, params: Iterable[Tensor], defaults: dict[str, Any]) -> None:
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError(f"{type(self).__name__} takes one group of parameters, not {len(self.param_groups)}")
        self.step_size: float | None = None

    @property
    def group(self) -> dict[str, Any]:
        """The options, the learning rate of the schedule among them, and what a step must remember as numbers."""
        return self.param_groups[0]

    @property
    def noted(self) -> dict[str, float]:
        """Further numbers on where the last step led, by name, for the history of a run; of most optimizers none."""
        return {}

    @property
    def tensors(self) -> list[Tensor]:
        """The parameters."""
        params: list[Tensor] = self.group["params"]
        return params

    def gradients(self) -> list[Tensor]:
        """∇L at the last call of the closure; zero where the loss does not depend on a parameter."""
        return [torch.zeros_like(p) if p.grad is None else p.grad.detach() for p in self.tensors]

    def move(self, directions: Sequence[Tensor], by: float) -> None:
        """``θ ← θ + by · direction``."""
        for p, d in zip(self.tensors, directions, strict=True):
            p.add_(d, alpha=by)

    def stand(self) -> list[Tensor]:
        """A copy of the parameters."""
        return [p.detach().clone() for p in self.tensors]

    def go_to(self, place: Sequence[Tensor]) -> None:
        """Put the parameters where a copy of them stood."""
        for p, there in zip(self.tensors, place, strict=True):
            p.copy_(there)


def dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    """Inner product over all tensors, in float64."""
    return sum(float((a.double() * b.double()).sum()) for a, b in zip(left, right, strict=True))


def evaluated(closure: Callable[[], Tensor]) -> Tensor:
    """The closure's loss inside ``step``, where gradients are off."""
    with torch.enable_grad():
        return closure()
