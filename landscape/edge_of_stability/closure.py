"""What a copied optimizer is fed: the gradient at θ, and the loss again wherever its step asks for it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.params import ParamLayout


class Feed:
    """A closure over the copies of θ's tensors, as :class:`landscape.optimizers.Closure` has it.

    Parameters
    ----------
    copies : dict
        Name of a tensor of θ → the copy that an optimizer moves.
    theta, gradient : (P,) float64 tensors
        Where the step begins, and the gradient there.
    objective : Objective, optional
        For optimizers that look elsewhere, too.
    """

    def __init__(
        self,
        copies: dict[str, nn.Parameter],
        layout: ParamLayout,
        theta: Tensor,
        gradient: Tensor,
        objective: Objective | None,
    ) -> None:
        self._copies, self._layout, self._objective = copies, layout, objective
        self._theta, self._gradient = theta, gradient
        self._loss: float | None = None

    def stand(self) -> Tensor:
        """(P,) where the copies are, float64; what no optimizer moves is where θ has it."""
        return self._layout.flatten(
            {
                name: self._copies[name].detach().to("cpu", torch.float64) if name in self._copies else piece
                for name, piece in self._layout.unflatten(self._theta).items()
            }
        )

    def __call__(self) -> Tensor:
        """The loss, with the gradient in ``.grad`` of the copies."""
        there = self.stand()
        if torch.allclose(there, self._theta, rtol=1e-6, atol=0):
            gradient = self._gradient
            if self._loss is None:
                self._loss = 0.0 if self._objective is None else self._objective.loss(self._theta)
            loss = self._loss
        else:
            loss, gradient = self._asked().loss_and_gradient(there)
        for name, piece in self._layout.unflatten(gradient).items():
            if name in self._copies:
                self._copies[name].grad = piece.to(self._copies[name], copy=True)
        return torch.tensor(loss)

    def value(self) -> float:
        """The loss alone."""
        return self._asked().loss(self.stand())

    def with_graph(self) -> Tensor:
        """As a call, with gradients that can be differentiated once more."""
        objective = self._asked()
        parts, there = objective.parts(), self._layout.unflatten(self._theta)
        tensors = [self._copies.get(name, piece).to(objective.device, objective.dtype) for name, piece in there.items()]
        for copy in self._copies.values():
            copy.grad = None
        total = torch.zeros(())
        with parts.borrowed(), torch.enable_grad():
            for index, share in enumerate(parts.shares):
                part = share * parts.part(index, tensors)
                part.backward(create_graph=True)
                total = total + part.detach()
        return total

    def of_client(self, index: int) -> Callable[[], Tensor]:
        """There are no clients here."""
        raise UsageError("an optimizer of several clients has no update on one data set")

    def by_example(self) -> tuple[Tensor, list[Tensor]]:
        """There are no examples here."""
        raise UsageError("an optimizer that clips the gradient of each example has no update by their mean")

    def _asked(self) -> Objective:
        if self._objective is None:
            raise UsageError("this optimizer evaluates the loss in its step; pass the Objective in place of the model")
        return self._objective
