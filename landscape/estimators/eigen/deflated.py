"""An operator outside of a space whose basis may lie in slices on several ranks."""

from __future__ import annotations

import torch

from landscape.estimators.vectors import Slices
from landscape.operators.base import LinearOperator, OperatorAround


class OutsideOf(OperatorAround):
    """``± (I − QQᵀ) H (I − QQᵀ)`` for orthonormal Q (P, K), in ``slices``; the vectors it multiplies are whole."""

    def __init__(self, H: LinearOperator, Q: torch.Tensor, slices: Slices, *, sign: float = 1.0) -> None:
        super().__init__(H)
        self._Q, self._slices, self._sign = Q, slices, sign

    def _matvec(self, v: torch.Tensor) -> torch.Tensor:
        return self._sign * self._outside(self._base @ self._outside(v))

    def _outside(self, v: torch.Tensor) -> torch.Tensor:
        slices = self._slices
        return slices.whole(slices.outside(slices.own(v), self._Q))
