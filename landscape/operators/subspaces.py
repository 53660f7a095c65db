"""An operator inside a subspace, or outside of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.device import place_of_float64, widened
from landscape.errors import UsageError
from landscape.operators.base import LinearOperator, OperatorAround
from landscape.operators.other_libraries import as_operator


class ProjectedOperator(LinearOperator):
    """``QᵀHQ`` on the span of the columns of V: a symmetric K × K operator, with Q an orthonormal basis of the span.

    Its eigenvalues are the Ritz values of H on the subspace; the largest is never above λ_max of H. Where V is
    orthonormal, Q is V.

    Parameters
    ----------
    H : LinearOperator, or what :func:`as_operator` takes
    V : (P, K) or (P,) tensor or array
        Linearly independent columns.

    Attributes
    ----------
    basis : (P, K) tensor
        Q. ``basis @ y`` takes a vector y of this operator to parameter space.

    Raises
    ------
    UsageError
        If the columns are not finite or not independent to rounding, or have another length than P.

    Examples
    --------
    >>> P = ProjectedOperator(np.diag([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 1.0]))
    >>> P.dense()
    tensor([[2.5000]], dtype=torch.float64)
    """

    def __init__(self, H: Any, V: Tensor | np.ndarray) -> None:
        base = as_operator(H)
        self.basis = orthonormal_basis(base, V)
        super().__init__(self.basis.shape[1], dtype=base.dtype, device=base.device)
        self._base = base

    @property
    def resolution(self) -> float:
        """That of H."""
        return self._base.resolution

    def product_error(self, v: Tensor, *, seed: int = 0) -> Tensor | None:
        """That of H inside the subspace."""
        error = self._base.product_error(self.basis @ v, seed=seed)
        return None if error is None else widened(self.basis).T @ error

    def _matvec(self, v: Tensor) -> Tensor:
        return self.basis.T @ self._base._matvec(self.basis @ v)

    def _matmat(self, V: Tensor) -> Tensor:
        return self.basis.T @ self._base._matmat(self.basis @ V)


class DeflatedOperator(OperatorAround):
    """``(I − QQᵀ) H (I − QQᵀ)``, with Q an orthonormal basis of the span of V: H outside of the subspace.

    With eigenvectors for V, their eigenvalues become zero and all others stay. With other vectors it is H between
    vectors orthogonal to them.

    Parameters
    ----------
    H : LinearOperator, or what :func:`as_operator` takes
    V : (P, K) or (P,) tensor or array
        Linearly independent columns, such as ``eigs.vectors``.

    Attributes
    ----------
    basis : (P, K) tensor
        Q.

    Raises
    ------
    UsageError
        As for :class:`ProjectedOperator`.

    Examples
    --------
    >>> DeflatedOperator(np.diag([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 1.0])).dense()
    tensor([[1., 0., 0.],
            [0., 2., 0.],
            [0., 0., 0.]], dtype=torch.float64)
    """

    def __init__(self, H: Any, V: Tensor | np.ndarray) -> None:
        base = as_operator(H)
        super().__init__(base)
        self.basis = orthonormal_basis(base, V)

    def product_error(self, v: Tensor, *, seed: int = 0) -> Tensor | None:
        """That of H outside of the subspace."""
        error = self._base.product_error(self._outside(v), seed=seed)
        if error is None:
            return None
        Q = widened(self.basis)
        return error - Q @ (Q.T @ error)

    def _outside(self, v: Tensor) -> Tensor:
        return v - self.basis @ (self.basis.T @ v)

    def _matvec(self, v: Tensor) -> Tensor:
        return self._outside(self._base._matvec(self._outside(v)))

    def _matmat(self, V: Tensor) -> Tensor:
        return self._outside(self._base._matmat(self._outside(V)))


def orthonormal_basis(operator: LinearOperator, V: Tensor | np.ndarray) -> Tensor:
    """Orthonormal columns (P, K) with the span of V, in the operator's dtype; V itself where it is orthonormal."""
    given = torch.from_numpy(np.array(V)) if isinstance(V, np.ndarray) else V
    if not isinstance(given, Tensor):
        raise UsageError(f"V must be a tensor or NumPy array of shape (P, K), not {type(V).__name__}")
    columns = widened(given.detach()).to(place_of_float64(operator.device))
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.ndim != 2 or columns.shape[0] != operator.dim or not 1 <= columns.shape[1] <= operator.dim:
        raise UsageError(
            f"V of shape {tuple(given.shape)} does not fit; expected ({operator.dim}, K) with 1 ≤ K ≤ {operator.dim}"
        )
    if not bool(torch.isfinite(columns).all()):
        raise UsageError(f"{int((~torch.isfinite(columns)).sum())} of the entries of V are NaN or Inf")
    # Scaled to entries of at most one, so that squares stay in range and rank does not depend on lengths.
    largest = columns.abs().amax(dim=0)
    scaled = columns / torch.where(largest > 0, largest, torch.ones_like(largest))
    scaled = scaled / torch.linalg.vector_norm(scaled, dim=0).clamp_min(torch.finfo(torch.float64).tiny)
    Q, R = torch.linalg.qr(scaled)
    heights = R.diagonal()
    smallest = float(heights.abs().min())
    rounding = 100 * torch.finfo(given.dtype if given.dtype in (torch.float32, torch.float64) else torch.float64).eps
    if smallest <= rounding:
        dependent = int(heights.abs().argmin())
        raise UsageError(
            f"column {dependent} of V is zero or a combination of those before it, to rounding ({smallest:.1g} of it "
            "stands apart); leave it out"
        )
    basis: Tensor = (Q * heights.sign()).to(operator.device, operator.dtype)
    return basis
