"""Unit balls in which optimizers step that are not Euclidean: of the largest entry, and of the largest singular value.

Each knows the point of the ball that goes farthest along a vector, its dual norm, and what bounds ``dᵀHd`` on it: for
any positive W of its own form, ``dᵀHd ≤ λ_max(W^{-1/2}HW^{-1/2})·max dᵀWd``, and the maximum on the right is a sum.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from landscape.device import widened
from landscape.edge_of_stability.operators import Map, Sandwiched
from landscape.operators import LinearOperator
from landscape.params import ParamLayout

#: Entries of W are at least this share of their mean over a tensor, for zero has no inverse: small, the bound is the
#: maximum itself where that is possible; at 1 it loses less where it is not.
FLOORS = (0.01, 1.0)


class NormBall(ABC):
    """``{d : ‖dₗ‖ ≤ rₗ}`` over the tensors of θ.

    Parameters
    ----------
    layout : ParamLayout
    radii : sequence of float, optional
        rₗ of each tensor, 1 if left out; one that does not move has 0.
    """

    def __init__(self, layout: ParamLayout, radii: Sequence[float] | None = None) -> None:
        self.layout = layout
        self.radii = tuple(radii) if radii is not None else (1.0,) * len(layout.names)

    @property
    def size(self) -> float:
        """``max ‖d‖₂²`` over the ball."""
        return sum(r * r * self._size_of(shape) for r, shape in zip(self.radii, self.layout.shapes, strict=True))

    def farthest(self, v: Tensor) -> Tensor:
        """The point of the ball with the largest ``⟨v, d⟩``, (P,) float64; a corner of it also where v is zero."""
        pieces = zip(self.radii, self.layout.split(widened(v)), strict=True)
        return torch.cat([(r * self.corner(piece)).reshape(-1) for r, piece in pieces])

    def weighted(self, H: LinearOperator, pull: Tensor, floor: float = FLOORS[0]) -> tuple[LinearOperator, float]:
        """``W^{-1/2}HW^{-1/2}`` and ``max dᵀWd`` over the ball, W made of the pull ``Hd`` at a point d.

        Where d is the maximum and nothing is lost by relaxing the problem, the largest eigenvalue is 1 and the product
        of both is ``dᵀHd``: the bound is then the maximum itself.
        """
        maps: list[Map] = []
        total = 0.0
        for r, piece in zip(self.radii, self.layout.split(widened(pull)), strict=True):
            apply, trace = self._inverse_root(piece / r if r > 0 else torch.ones_like(piece), floor)
            maps.append(apply)
            total += r * r * trace
        return Sandwiched(H, self.layout, maps), total

    @staticmethod
    @abstractmethod
    def corner(piece: Tensor) -> Tensor:
        """For one tensor the farthest point of the ball of radius 1, in its shape or as a matrix."""

    @staticmethod
    @abstractmethod
    def norm(piece: Tensor) -> float:
        """‖dₗ‖ of one tensor."""

    @staticmethod
    @abstractmethod
    def _size_of(shape: torch.Size) -> float:
        """The largest squared 2-norm of one tensor in the ball of radius 1."""

    @staticmethod
    @abstractmethod
    def _inverse_root(piece: Tensor, floor: float) -> tuple[Map, float]:
        """``W^{-1/2}`` on one tensor, and the largest ``dᵀWd`` for radius 1."""

    def dual_norm(self, v: Tensor) -> float:
        """``max ⟨v, d⟩`` over the ball."""
        return float(v @ self.farthest(v))


class LargestEntry(NormBall):
    """``‖d‖_∞ ≤ 1``: signSGD, Lion."""

    @staticmethod
    def corner(piece: Tensor) -> Tensor:
        return widened(torch.where(piece < 0, -1.0, 1.0))

    @staticmethod
    def norm(piece: Tensor) -> float:
        return float(piece.abs().max())

    @staticmethod
    def _size_of(shape: torch.Size) -> float:
        return float(shape.numel())

    @staticmethod
    def _inverse_root(piece: Tensor, floor: float) -> tuple[Map, float]:
        weights = _floored(piece.abs(), floor)
        root = weights.rsqrt()
        return lambda v: root * v, float(weights.sum())


class LargestSingularValue(NormBall):
    """The largest singular value of every tensor, as a matrix of its first axis by the others, is at most 1: Muon.

    Of a tensor with one axis it is the 2-norm.
    """

    @staticmethod
    def corner(piece: Tensor) -> Tensor:
        """``UVᵀ`` of ``UΣVᵀ``: all singular values 1."""
        U, _, V = torch.linalg.svd(as_matrix(piece), full_matrices=False)
        found: Tensor = U @ V
        return found

    @staticmethod
    def norm(piece: Tensor) -> float:
        return float(torch.linalg.svdvals(as_matrix(piece))[0])

    @staticmethod
    def _size_of(shape: torch.Size) -> float:
        return float(min(as_matrix(torch.empty(shape, device="meta")).shape))

    @staticmethod
    def _inverse_root(piece: Tensor, floor: float) -> tuple[Map, float]:
        """W is the symmetric factor of the polar decomposition on the shorter side."""
        matrix, shape = as_matrix(piece), piece.shape
        U, values, V = torch.linalg.svd(matrix, full_matrices=False)
        values, on_the_left = _floored(values, floor), matrix.shape[0] <= matrix.shape[1]
        basis = U if on_the_left else V.T
        root = basis @ torch.diag(values.rsqrt()) @ basis.T

        def apply(v: Tensor) -> Tensor:
            v = as_matrix(v)
            product: Tensor = root @ v if on_the_left else v @ root
            return product.reshape(shape)

        return apply, float(values.sum())


#: norm → its ball
BALLS: dict[str, type[NormBall]] = {"linf": LargestEntry, "spectral": LargestSingularValue}


def as_matrix(piece: Tensor) -> Tensor:
    """The first axis by all others."""
    return piece.reshape(len(piece), -1) if piece.ndim > 0 else piece.reshape(1, 1)


def _floored(values: Tensor, floor: float) -> Tensor:
    """Positive: each at least a small share of the mean."""
    mean = float(values.mean())
    return values.clamp_min(floor * mean if mean > 0 else 1.0)
