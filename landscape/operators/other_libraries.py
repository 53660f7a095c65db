"""Matrices and operators of other libraries as ours: anything with a shape and ``@``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from landscape.device import widened
from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.operators.base import LinearOperator
from landscape.operators.matrix import MatrixOperator

#: ``|xᵀAy − yᵀAx| / (‖Ax‖ + ‖Ay‖)`` for random signs x, y: rounding leaves about eps, a lopsided matrix about 1.
_ASYMMETRY = {torch.float32: 1e-3, torch.float64: 1e-6}
_REFUSALS = (TypeError, ValueError, AttributeError, NotImplementedError, RuntimeError, IndexError)


def as_operator(
    matrix: Any, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None, check: bool = True
) -> LinearOperator:
    """Take a matrix or operator of any library as a :class:`LinearOperator`.

    Parameters
    ----------
    matrix : LinearOperator, (P, P) array or tensor, or any object with ``.shape`` and ``@``
        Ours is returned as it is, an array or dense tensor becomes a :class:`MatrixOperator`. Everything else is
        wrapped: sparse matrices and linear operators of SciPy, sparse tensors, the operators of curvlinops (its K-FAC
        among them) or a class of one's own. It must be symmetric.
    dtype : torch.dtype, optional
        float32 or float64, of the vectors; left out, that of ``matrix.dtype``, and float64 where there is none or it is
        of whole numbers. Ignored for our own operators.
    device : optional
        Of the vectors; left out, ``matrix.device``, and the CPU where there is none.
    check : bool
        Multiply what is wrapped by two random vectors and refuse it unless ``xᵀAy = yᵀAx`` to rounding: 2 matvecs.

    Raises
    ------
    UsageError
        If it has no square shape, takes neither tensors nor NumPy arrays, is complex or not symmetric.

    Examples
    --------
    >>> from scipy.sparse import diags
    >>> A = as_operator(diags([2.0, 3.0, 4.0]))
    >>> A @ np.ones(3)
    tensor([2., 3., 4.], dtype=torch.float64)
    """
    if isinstance(matrix, LinearOperator):
        return matrix
    if isinstance(matrix, (Objective, torch.nn.Module)):
        given = "objective" if isinstance(matrix, Objective) else "Objective(model, loss_fn, data)"
        raise UsageError(
            f"the {type(matrix).__name__} is no operator: it does not say which matrix is meant. Write "
            f"HessianOperator({given}), GaussNewtonOperator({given}) or FisherOperator({given})"
        )
    dense = isinstance(matrix, torch.Tensor) and matrix.layout == torch.strided
    if dense or isinstance(matrix, np.ndarray):
        entries = matrix if isinstance(matrix, torch.Tensor) else torch.from_numpy(np.array(matrix))
        return MatrixOperator(entries.to(dtype=dtype or entries.dtype, device=device or entries.device))
    return ForeignOperator(matrix, dtype=dtype, device=device, check=check)


class ForeignOperator(LinearOperator):
    """An operator of another library; made by :func:`as_operator`.

    Attributes
    ----------
    wrapped : object
        What was given.
    """

    def __init__(
        self,
        matrix: Any,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        check: bool = True,
    ) -> None:
        own_device = getattr(matrix, "device", None)
        if device is None:
            device = own_device if isinstance(own_device, (torch.device, str)) else "cpu"
        super().__init__(_side(matrix), dtype=dtype or _dtype_of(matrix), device=device)
        self.wrapped = matrix
        # The dtype that it takes itself, which may be narrower or wider than that of the vectors handed out.
        own = getattr(matrix, "dtype", None)
        self._inner = own if isinstance(own, torch.dtype) else self.dtype
        self._in_numpy = own is not None and not isinstance(own, torch.dtype)
        self._in_blocks = True
        if check:
            self._examine()

    def _examine(self) -> None:
        """Find out which arrays it takes, and hold it against its transpose."""
        generator = torch.Generator().manual_seed(0)
        signs = torch.randint(0, 2, (self.dim, 2), generator=generator) * 2 - 1
        x, y = signs.to(self.device, self.dtype).unbind(1)
        try:
            image = self @ x
        except _REFUSALS as first:
            self._in_numpy = not self._in_numpy
            try:
                image = self @ x
            except _REFUSALS as second:
                raise UsageError(
                    f"a {type(self.wrapped).__name__} of shape {self.shape} multiplies neither a tensor nor a NumPy "
                    f"array of shape ({self.dim},): {first}; {second}. It must offer A @ v"
                ) from second
        other = self @ y
        apart = abs(float(torch.dot(widened(y), widened(image)) - torch.dot(widened(x), widened(other))))
        size = float(torch.linalg.vector_norm(widened(image)) + torch.linalg.vector_norm(widened(other)))
        if apart > _ASYMMETRY[self.dtype] * size:  # false for NaN, which the first matvec of an estimator reports
            raise UsageError(
                f"the {type(self.wrapped).__name__} is not symmetric: for two random vectors xᵀAy and yᵀAx differ by "
                f"{apart / size:.2g} of ‖Ax‖ + ‖Ay‖; operators here are symmetric. If this is meant, pass (A + A.T) / 2"
            )

    @property
    def resolution(self) -> float:
        """eps of the dtype that it takes itself, where that is coarser than the dtype of the vectors."""
        own = getattr(self.wrapped, "dtype", None)
        if own is None or not isinstance(own, torch.dtype):
            coarser = own is not None and np.dtype(own).kind == "f"
            inner = float(np.finfo(np.dtype(own)).eps) if coarser else 0.0
        else:
            inner = float(torch.finfo(own).eps) if own.is_floating_point else 0.0
        return max(super().resolution, inner)

    def _times(self, v: torch.Tensor) -> torch.Tensor:
        if not self._in_numpy:
            product = self.wrapped @ v.to(self._inner)
        else:
            product = self.wrapped @ v.cpu().numpy()
        out = product if isinstance(product, torch.Tensor) else torch.from_numpy(np.array(product))
        return out.detach().to(dtype=self.dtype, device=self.device)

    def _matvec(self, v: torch.Tensor) -> torch.Tensor:
        out = self._times(v)
        return out.reshape(self.dim) if out.shape == (self.dim, 1) else out

    def _matmat(self, V: torch.Tensor) -> torch.Tensor:
        if self._in_blocks:
            try:
                out = self._times(V)
            except _REFUSALS:
                self._in_blocks = False  # it knows single vectors only; an error of its own shows again below
            else:
                if out.shape == V.shape:
                    return out
                self._in_blocks = False
        return super()._matmat(V)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, of {type(self.wrapped).__module__}.{type(self.wrapped).__name__})"


def _side(matrix: Any) -> int:
    """P of an object whose shape is (P, P)."""
    shape = getattr(matrix, "shape", None)
    multiplies = hasattr(matrix, "__matmul__")
    if shape is None or not multiplies:
        lacks = " and ".join(
            part for part, missing in ((".shape", shape is None), ("A @ v", not multiplies)) if missing
        )
        raise UsageError(
            f"a {type(matrix).__name__} is no operator: it has no {lacks}. Pass an operator of this package, a matrix, "
            "or any object with .shape and @"
        )
    sides = tuple(int(n) for n in shape)
    if len(sides) != 2 or sides[0] != sides[1] or sides[0] < 1:
        raise UsageError(f"a {type(matrix).__name__} of shape {sides} is not square; expected (P, P)")
    return sides[0]


def _dtype_of(matrix: Any) -> torch.dtype:
    own = getattr(matrix, "dtype", None)
    if own is None:
        return torch.float64
    if isinstance(own, torch.dtype):
        whole = not own.is_floating_point and not own.is_complex
        return torch.float64 if whole else own
    kind = np.dtype(own)
    if kind.kind in "biu":
        return torch.float64
    return {np.dtype(np.float32): torch.float32, np.dtype(np.float64): torch.float64}.get(kind) or _refuse(own)


def _refuse(dtype: Any) -> torch.dtype:
    raise UsageError(f"dtype={dtype} cannot carry an operator; pass dtype=torch.float32 or torch.float64")
