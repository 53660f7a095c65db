"""Curvature as an optimizer sees it: with weight decay added, and between two factors of its preconditioner."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from landscape.device import widened
from landscape.operators import LinearOperator
from landscape.operators.base import OperatorAround
from landscape.params import ParamLayout

#: A symmetric linear map of one tensor, in its own shape and dtype.
Map = Callable[[Tensor], Tensor]


class WithDecay(OperatorAround):
    """``H + diag(λ)``: the Hessian of a loss with weight decay in its gradient.

    Parameters
    ----------
    H : LinearOperator
    decay : (P,) tensor
        λ of each parameter.
    """

    def __init__(self, H: LinearOperator, decay: Tensor) -> None:
        super().__init__(H)
        self._decay = decay.to(H.device, H.dtype)

    def _matvec(self, v: Tensor) -> Tensor:
        return self._base._matvec(v) + self._decay * v

    def product_error(self, v: Tensor, *, seed: int = 0) -> Tensor | None:
        """That of H."""
        return self._base.product_error(v, seed=seed)


class Sandwiched(OperatorAround):
    """``S H S`` with S symmetric and block-diagonal over the tensors of θ; the eigenvalues are those of ``S²H``.

    Parameters
    ----------
    H : LinearOperator
    layout : ParamLayout
        Whose tensors θ is made of.
    maps : sequence of callables
        S on each tensor, in the layout's order.
    """

    def __init__(self, H: LinearOperator, layout: ParamLayout, maps: Sequence[Map]) -> None:
        super().__init__(H)
        self._layout, self._maps = layout, tuple(maps)

    def _between(self, v: Tensor) -> Tensor:
        pieces = zip(self._maps, self._layout.split(widened(v)), strict=True)
        return torch.cat([apply(piece).reshape(-1) for apply, piece in pieces])

    def _matvec(self, v: Tensor) -> Tensor:
        product = self._base._matvec(self._between(v).to(self.device, self.dtype))
        return self._between(product).to(self.device, self.dtype)

    def product_error(self, v: Tensor, *, seed: int = 0) -> Tensor | None:
        """That of H between the two factors."""
        error = self._base.product_error(self._between(v).to(self.device, self.dtype), seed=seed)
        return None if error is None else self._between(error)
