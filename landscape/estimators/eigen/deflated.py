"""An operator outside of a space whose basis may lie in slices on several ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from landscape.estimators.vectors import Slices
from landscape.operators.base import LinearOperator

if TYPE_CHECKING:
    from landscape.distributed import Group


class OutsideOf(LinearOperator):
    """``± (I − QQᵀ) H (I − QQᵀ)`` for orthonormal Q (P, K), in ``slices``; the vectors it multiplies are whole."""

    def __init__(self, H: LinearOperator, Q: torch.Tensor, slices: Slices, *, sign: float = 1.0) -> None:
        super().__init__(H.dim, dtype=H.dtype, device=H.device)
        self._base, self._Q, self._slices, self._sign = H, Q, slices, sign

    @property
    def resolution(self) -> float:
        return self._base.resolution

    @property
    def group(self) -> Group | None:
        return self._base.group

    def _matvec(self, v: torch.Tensor) -> torch.Tensor:
        return self._sign * self._outside(self._base @ self._outside(v))

    def _outside(self, v: torch.Tensor) -> torch.Tensor:
        slices = self._slices
        return slices.whole(slices.outside(slices.own(v), self._Q))
