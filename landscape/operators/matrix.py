"""Matrices that are known entry by entry: one given whole, and the identity."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from landscape.errors import UsageError
from landscape.operators.base import LinearOperator


class MatrixOperator(LinearOperator):
    """A symmetric matrix given by its entries.

    Parameters
    ----------
    matrix : (P, P) tensor or array
        float32 or float64, on any device; whole numbers become float64. Copied, and made symmetric by averaging with
        its transpose.

    Raises
    ------
    UsageError
        If it is not square, not finite, or further from symmetric than rounding explains:
        ``‖A − Aᵀ‖_F > 100·eps·‖A‖_F``.

    Examples
    --------
    >>> A = MatrixOperator(np.array([[2.0, 1.0], [1.0, 3.0]]))
    >>> (A + 0.5 * IdentityOperator(2)) @ np.array([1.0, 0.0])
    tensor([2.5000, 1.0000], dtype=torch.float64)
    """

    def __init__(self, matrix: Any) -> None:
        a = matrix.detach().clone() if isinstance(matrix, torch.Tensor) else torch.from_numpy(np.array(matrix))
        if not a.is_floating_point() and not a.is_complex():
            a = a.to(torch.float64)
        if a.ndim != 2 or a.shape[0] != a.shape[1] or a.shape[0] == 0:
            raise UsageError(f"a matrix of shape {tuple(a.shape)} is not square; expected (P, P)")
        super().__init__(a.shape[0], dtype=a.dtype, device=a.device)
        if not bool(torch.isfinite(a).all()):
            raise UsageError(f"{int((~torch.isfinite(a)).sum())} of the matrix's {a.numel()} entries are NaN or Inf")
        # Dividing by the largest entry keeps the squares of the norm from over- or underflowing.
        scale = a.abs().max().clamp_min(torch.finfo(a.dtype).tiny)
        apart = float(torch.linalg.norm((a - a.T) / scale))
        size = float(torch.linalg.norm(a / scale))
        if apart > 100 * torch.finfo(a.dtype).eps * size:
            raise UsageError(
                f"the matrix is not symmetric: ‖A − Aᵀ‖ = {apart / size:.2g}·‖A‖; operators here are symmetric. "
                "If this is meant, pass (A + A.T) / 2"
            )
        self._matrix = a / 2 + a.T / 2

    def _matvec(self, v: torch.Tensor) -> torch.Tensor:
        return self._matrix @ v

    def _matmat(self, V: torch.Tensor) -> torch.Tensor:
        return self._matrix @ V


class IdentityOperator(LinearOperator):
    """The identity, to shift spectra: ``H + 0.1 * IdentityOperator(P)``.

    Parameters
    ----------
    dim : int
        P.
    dtype, device : optional
        Left out, they are those of the operator it is combined with; float64 on the CPU as long as it stands alone.
    """

    def __init__(self, dim: int, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> None:
        super().__init__(
            dim, dtype=torch.float64 if dtype is None else dtype, device="cpu" if device is None else device
        )
        self._fixed = dtype is not None, device is not None

    @property
    def _is_flexible(self) -> bool:
        return not all(self._fixed)

    def _adopt(self, dtype: torch.dtype, device: torch.device) -> LinearOperator:
        fixed_dtype, fixed_device = self._fixed
        if (fixed_dtype and self.dtype != dtype) or (fixed_device and self.device != device):
            return super()._adopt(dtype, device)
        return IdentityOperator(self.dim, dtype=dtype, device=device)

    def _matvec(self, v: torch.Tensor) -> torch.Tensor:
        return v.clone()

    def _matmat(self, V: torch.Tensor) -> torch.Tensor:
        return V.clone()
