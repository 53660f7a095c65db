"""Symmetric operators on parameter space: known by what they do to a vector, combined like matrices."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.sparse import linalg as sparse_linalg

from landscape.checks import check_count
from landscape.device import place_of_float64
from landscape.errors import LandscapeError, UsageError

if TYPE_CHECKING:
    from landscape.distributed import Group

#: Beyond this a dense matrix is refused: 20,000² float64 numbers are 3 GB.
MAX_DENSE_DIM = 20_000
_DENSE_BLOCK = 64
_DTYPES = (torch.float32, torch.float64)


class LinearOperator(ABC):
    """A real symmetric ``P × P`` matrix, known only through its products with vectors.

    A subclass passes its size to ``__init__`` and defines ``_matvec``; ``_matmat`` where several vectors at once are
    cheaper than one after another.

    Parameters
    ----------
    dim : int
        P.
    dtype : torch.dtype
        float32 or float64: of vectors going in and coming out.
    device : torch.device or str

    Notes
    -----
    ``H @ v`` takes a tensor or NumPy array of shape ``(P,)`` or ``(P, K)``, converted to the operator's dtype and
    device, and returns a tensor without autograd history. NaN and Inf in a product are returned as they are.
    Operators of equal size, dtype and device add and subtract; numbers scale them.
    """

    #: NumPy scalars and arrays leave ``c * H`` and ``V @ H`` to this class.
    __array_ufunc__ = None

    def __init__(self, dim: int, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> None:
        check_count("dim", dim)
        if dtype not in _DTYPES:
            raise UsageError(f"dtype={dtype} cannot carry an operator; use torch.float32 or torch.float64")
        self._dim, self._dtype, self._device = int(dim), dtype, torch.device(device)

    @property
    def dim(self) -> int:
        """P."""
        return self._dim

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the vectors."""
        return self._dtype

    @property
    def resolution(self) -> float:
        """Rounding error of ``Hv`` in units of ``‖H‖·‖v‖``: eps of the dtype unless a subclass knows better.

        A subclass that computes in a lower precision than its vectors have overrides this: estimators judge by it when
        a residual is small enough, when a Krylov space is exhausted, and which error is the least that may be stated.
        """
        return float(torch.finfo(self.dtype).eps)

    def product_error(self, v: torch.Tensor, *, seed: int = 0) -> torch.Tensor | None:
        """What rounding adds to the product with v (P,), float64 (P,), of the size it has: measured on a few examples.

        Zero for an operator that is what it multiplies by, such as a matrix; None where it has rounding that cannot be
        measured. ``resolution`` is another thing: how far two products of the same vector may differ.
        """
        return torch.zeros(self.dim, dtype=torch.float64, device=place_of_float64(self.device))

    @property
    def device(self) -> torch.device:
        """Device of the vectors."""
        return self._device

    @property
    def group(self) -> Group | None:
        """The ranks that make each product together, so that all must ask for it; None where this process makes it.

        An operator that is made of others passes theirs on. Estimators hold their bases in slices by rank then.
        """
        return None

    @property
    def shape(self) -> tuple[int, int]:
        """``(P, P)``."""
        return self.dim, self.dim

    @abstractmethod
    def _matvec(self, v: torch.Tensor) -> torch.Tensor:
        """Product with one vector (P,) of the operator's dtype and device."""

    def _matmat(self, V: torch.Tensor) -> torch.Tensor:
        """Products with the columns of V (P, K), K ≥ 1."""
        return torch.stack([self._matvec(V[:, i].contiguous()) for i in range(V.shape[1])], dim=1)

    def __matmul__(self, other: Any) -> torch.Tensor:
        """Product with a vector (P,) or with the columns of a matrix (P, K)."""
        if isinstance(other, LinearOperator):
            raise UsageError("a product of two symmetric operators is not symmetric; apply them in turn: A @ (B @ v)")
        v = self._as_vectors(other)
        if v.ndim == 1:
            out = self._matvec(v)
        else:
            out = self._matmat(v) if v.shape[1] else v.clone()
        if tuple(out.shape) != tuple(v.shape):
            raise LandscapeError(
                f"{type(self).__name__} returned a product of shape {tuple(out.shape)} for a vector of shape "
                f"{tuple(v.shape)}; its _matvec and _matmat must return the shape they were given"
            )
        return out.detach()

    def _as_vectors(self, other: Any) -> torch.Tensor:
        """A tensor (P,) or (P, K) of the operator's dtype and device, or a refusal that says both shapes."""
        if not isinstance(other, (torch.Tensor, np.ndarray)):
            raise UsageError(f"an operator multiplies tensors and NumPy arrays, not {type(other).__name__}")
        if other.ndim not in (1, 2) or other.shape[0] != self.dim:
            raise UsageError(
                f"shapes do not match: operator {self.shape}, vector {tuple(other.shape)}; "
                f"expected ({self.dim},) or ({self.dim}, K)"
            )
        if isinstance(other, np.ndarray):
            # torch cannot view arrays with negative strides, nor warn-free those that are read-only.
            other = torch.from_numpy(np.array(other, order="C", copy=True))
        if other.is_complex():
            raise UsageError("a complex vector; operators here are real")
        vectors: torch.Tensor = other.detach().to(dtype=self.dtype, device=self.device)
        return vectors

    def dense(self) -> torch.Tensor:
        """The matrix itself, ``(P, P)``, from P matvecs on unit vectors, in blocks of columns.

        Not symmetrised: how far it is from its transpose shows the rounding of the products.

        Raises
        ------
        UsageError
            If P is above ``MAX_DENSE_DIM`` (20,000; 3 GB in float64).
        """
        if self.dim > MAX_DENSE_DIM:
            gigabytes = self.dim**2 * torch.empty(0, dtype=self.dtype).element_size() / 1e9
            raise UsageError(
                f"a dense {self.dim} × {self.dim} matrix takes {gigabytes:.3g} GB and {self.dim} matvecs; dense() "
                f"stops at {MAX_DENSE_DIM}. Use top_eigenpairs, trace or spectral_density, which need matvecs alone, "
                "or block()"
            )
        out = torch.empty(self.dim, self.dim, dtype=self.dtype, device=self.device)
        for first in range(0, self.dim, _DENSE_BLOCK):
            last = min(first + _DENSE_BLOCK, self.dim)
            columns = torch.zeros(self.dim, last - first, dtype=self.dtype, device=self.device)
            columns[torch.arange(first, last), torch.arange(last - first)] = 1.0
            out[:, first:last] = self @ columns
        return out

    def to_scipy(self) -> sparse_linalg.LinearOperator:
        """The same operator for SciPy: NumPy arrays in and out, symmetric, fit for ``scipy.sparse.linalg.eigsh``."""

        def apply(v: np.ndarray) -> np.ndarray:
            return (self @ np.asarray(v)).cpu().numpy()

        def apply_vector(v: np.ndarray) -> np.ndarray:
            return apply(np.asarray(v).reshape(-1))

        numpy_dtype = np.dtype(str(self.dtype).removeprefix("torch."))
        return sparse_linalg.LinearOperator(
            self.shape, matvec=apply_vector, rmatvec=apply_vector, matmat=apply, rmatmat=apply, dtype=numpy_dtype
        )

    def block(self, pattern: Any) -> LinearOperator:
        """The diagonal block of some parameters, by glob or module, where parameters have names."""
        raise UsageError(
            f"block({pattern!r}): a {type(self).__name__} knows no parameter names. "
            "Take the block of the HessianOperator first and combine afterwards"
        )

    def blocks(self, groups: Any = "tensor") -> dict[str, LinearOperator]:
        """The diagonal blocks of groups of parameters, by name, where parameters have names."""
        raise UsageError(
            f"blocks({groups!r}): a {type(self).__name__} knows no parameter names. "
            "Take the blocks of the HessianOperator first and combine afterwards"
        )

    def _adopt(self, dtype: torch.dtype, device: torch.device) -> LinearOperator:
        """This operator as a partner of one with the given dtype and device."""
        if self.dtype != dtype or self.device != device:
            raise UsageError(
                f"operators do not match: {self.dtype} on {self.device} against {dtype} on {device}; "
                "build both with the same dtype and device"
            )
        return self

    @property
    def _is_flexible(self) -> bool:
        """Whether dtype and device may be taken from a partner."""
        return False

    def _plus(self, other: LinearOperator, sign: float) -> LinearOperator:
        if self.dim != other.dim:
            raise UsageError(f"operators do not match: {self.shape} against {other.shape}")
        lead = other if self._is_flexible else self
        left, right = (term._adopt(lead.dtype, lead.device) for term in (self, other))
        both_flexible = self._is_flexible and other._is_flexible
        return _SumOperator(left, right if sign == 1 else _ScaledOperator(right, sign), flexible=both_flexible)

    def __add__(self, other: Any) -> LinearOperator:
        if not isinstance(other, LinearOperator):
            return NotImplemented
        return self._plus(other, 1.0)

    def __sub__(self, other: Any) -> LinearOperator:
        if not isinstance(other, LinearOperator):
            return NotImplemented
        return self._plus(other, -1.0)

    def __mul__(self, factor: Any) -> LinearOperator:
        number = _as_number(factor)
        return NotImplemented if number is None else _ScaledOperator(self, number)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> LinearOperator:
        number = _as_number(divisor)
        if number is None:
            return NotImplemented
        if number == 0:
            raise UsageError("an operator cannot be divided by zero")
        return _ScaledOperator(self, 1 / number)

    def __neg__(self) -> LinearOperator:
        return _ScaledOperator(self, -1.0)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.dim} × {self.dim}, {str(self.dtype).removeprefix('torch.')}, {self.device})"
        )


class OperatorAround(LinearOperator):
    """Made of another of the same P, which makes every product: rounding and ranks are that one's."""

    def __init__(self, base: LinearOperator) -> None:
        super().__init__(base.dim, dtype=base.dtype, device=base.device)
        self._base = base

    @property
    def resolution(self) -> float:
        """That of the other."""
        return self._base.resolution

    @property
    def group(self) -> Group | None:
        """That of the other."""
        return self._base.group


class _ScaledOperator(OperatorAround):
    def __init__(self, base: LinearOperator, factor: float) -> None:
        super().__init__(base)
        self._factor = factor

    def product_error(self, v: torch.Tensor, *, seed: int = 0) -> torch.Tensor | None:
        error = self._base.product_error(v, seed=seed)
        return None if error is None else self._factor * error

    @property
    def _is_flexible(self) -> bool:
        return self._base._is_flexible

    def _adopt(self, dtype: torch.dtype, device: torch.device) -> LinearOperator:
        return _ScaledOperator(self._base._adopt(dtype, device), self._factor)

    def _matvec(self, v: torch.Tensor) -> torch.Tensor:
        return self._factor * self._base._matvec(v)

    def _matmat(self, V: torch.Tensor) -> torch.Tensor:
        return self._factor * self._base._matmat(V)


class _SumOperator(LinearOperator):
    def __init__(self, left: LinearOperator, right: LinearOperator, *, flexible: bool) -> None:
        super().__init__(left.dim, dtype=left.dtype, device=left.device)
        self._left, self._right, self._flexible = left, right, flexible

    @property
    def resolution(self) -> float:
        return max(self._left.resolution, self._right.resolution)

    @property
    def group(self) -> Group | None:
        return self._left.group or self._right.group

    def product_error(self, v: torch.Tensor, *, seed: int = 0) -> torch.Tensor | None:
        left, right = (term.product_error(v, seed=seed) for term in (self._left, self._right))
        return None if left is None or right is None else left + right

    @property
    def _is_flexible(self) -> bool:
        return self._flexible

    def _adopt(self, dtype: torch.dtype, device: torch.device) -> LinearOperator:
        if not self._flexible:
            return super()._adopt(dtype, device)
        return _SumOperator(self._left._adopt(dtype, device), self._right._adopt(dtype, device), flexible=True)

    def _matvec(self, v: torch.Tensor) -> torch.Tensor:
        return self._left._matvec(v) + self._right._matvec(v)

    def _matmat(self, V: torch.Tensor) -> torch.Tensor:
        return self._left._matmat(V) + self._right._matmat(V)


def _as_number(factor: Any) -> float | None:
    """A finite real number, or None where ``factor`` is something else."""
    if isinstance(factor, (torch.Tensor, np.ndarray)):
        if factor.ndim != 0:
            return None
        factor = factor.item()
    if isinstance(factor, (bool, np.bool_)) or not isinstance(factor, (int, float, np.integer, np.floating)):
        return None
    if not math.isfinite(factor):
        raise UsageError(f"an operator times {factor} is not an operator; the factor must be finite")
    return float(factor)
