"""Vectors as long as θ: their lengths and products, whole, or in slices where ranks make products together.

A basis of m vectors is m·P numbers, which one process holds. Of R ranks each holds P/R entries of every vector. Sums
over entries, such as inner products, are then summed over ranks, by one exchange for a block of them and to the same
bits on each, so that all decide alike; a vector is whole only while it is multiplied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from landscape.device import widened

if TYPE_CHECKING:
    from landscape.distributed import Group


def column_norms(V: Tensor) -> Tensor:
    """``‖v‖`` of each column of V (P, K) as float64 (K,), also where squares would leave the range of the dtype."""
    largest = torch.linalg.vector_norm(V, ord=torch.inf, dim=0)
    divisor = torch.where(largest > 0, largest, torch.ones_like(largest))
    norms: Tensor = widened(largest) * widened(torch.linalg.vector_norm(V / divisor, dim=0))
    return norms


def norm(v: Tensor) -> float:
    """``‖v‖``, also where the squares of the entries would leave the range of the dtype."""
    largest = float(v.abs().max())
    if largest == 0:
        return 0.0
    return largest * float(torch.linalg.vector_norm(v / largest))


def dot(v: Tensor, w: Tensor) -> float:
    """``vᵀw`` summed in float64."""
    return float(torch.dot(v.cpu().to(torch.float64), w.cpu().to(torch.float64)))


class Slices:
    """Which entries of vectors of length P this rank holds: p of them in a row; by itself, all.

    What is said here of vectors (p,) and columns (p, K) is of the whole vectors; every rank must ask. Where one process
    measures by itself, each method is the plain operation, to the bit.

    Parameters
    ----------
    dim : int
        P.
    group : Group, optional
        The ranks that make products together.
    """

    def __init__(self, dim: int, group: Group | None = None) -> None:
        self.dim, self._group = dim, group
        world, rank = (1, 0) if group is None else (group.world, group.rank)
        self._longest = -(-dim // world)
        self.place = slice(min(rank * self._longest, dim), min((rank + 1) * self._longest, dim))

    @property
    def is_whole(self) -> bool:
        """Whether this process holds all entries."""
        return self._group is None

    @property
    def size(self) -> int:
        """p; 0 on the last ranks where P is as small as that."""
        return self.place.stop - self.place.start

    def own(self, V: Tensor) -> Tensor:
        """This rank's entries (p,) or (p, K) of a vector (P,) or of columns (P, K): a copy, unless they are all."""
        return V if self._group is None else V[self.place].clone()

    def whole(self, V: Tensor) -> Tensor:
        """The vector (P,) or columns (P, K) of which V (p,) or (p, K) are this rank's entries, on every rank."""
        if self._group is None:
            return V
        columns = V[:, None] if V.ndim == 1 else V
        rows = V.new_empty(columns.shape[1], self._longest * self._group.world)
        mine = V.new_zeros(self._longest)
        for row, column in zip(rows, columns.T, strict=True):
            mine[: self.size] = column
            self._group.gather(mine, row, "a vector")
        return rows[0, : self.dim] if V.ndim == 1 else rows[:, : self.dim].T

    def in_memory(self, V: Tensor) -> Tensor:
        """The same of columns, in the memory of the CPU where they are put together: for records."""
        if self._group is None:
            return V
        out = torch.empty(self.dim, V.shape[1], dtype=V.dtype)
        for i in range(V.shape[1]):
            out[:, i] = self.whole(V[:, i])
        return out

    def sum(self, partial: Tensor) -> Tensor:
        """The sum over ranks of what each has made of its entries, as the products ``VᵀW`` (K, L) are."""
        if self._group is None or not partial.numel():
            return partial
        summed = partial.clone(memory_format=torch.contiguous_format)
        self._group.sum_(summed, "inner products")
        return summed

    def norms(self, V: Tensor) -> Tensor:
        """``‖v‖`` of each column of V (p, K), float64 (K,)."""
        if self._group is None:
            return column_norms(V)
        own = column_norms(V) if self.size else widened(V.new_zeros(V.shape[1]))
        return column_norms(self._of_all(own.cpu())).to(own)

    def norm(self, v: Tensor) -> float:
        """``‖v‖`` of v (p,)."""
        return norm(v) if self._group is None else float(self.norms(v[:, None]))

    def largest(self, V: Tensor) -> float:
        """The largest ``|entry|``."""
        own = V.abs().amax() if V.numel() else V.new_zeros(())
        return float(own if self._group is None else self._of_all(widened(own).cpu()).amax())

    def dots(self, V: Tensor, W: Tensor) -> np.ndarray:
        """``vᵀw`` for each pair of columns of V and W (p, K), summed in float64: (K,)."""
        own = torch.tensor([dot(V[:, i], W[:, i]) for i in range(V.shape[1])], dtype=torch.float64)
        dots: np.ndarray = self.sum(own).numpy()
        return dots

    def outside(self, V: Tensor, Q: Tensor) -> Tensor:
        """``(I − QQᵀ)V`` for orthonormal columns Q (p, K) and V (p,) or (p, L), to rounding: taken out twice."""
        for _ in range(2):
            V = V - Q @ self.sum(Q.T @ V)
        return V

    def qr(self, V: Tensor) -> tuple[Tensor, Tensor]:
        """Orthonormal columns Q (p, c), c the lesser of P and K, and R (c, K) with ``QR = V`` (p, K).

        Each rank factors its own rows, and all of them the factors R of all, one below the other (Demmel, Grigori,
        Hoemmen & Langou 2012, SIAM J. Sci. Comput. 34(1), §3): as stable as Householder's on the whole.
        """
        if self._group is None:
            whole = torch.linalg.qr(V)
            return whole.Q, whole.R
        own = torch.linalg.qr(V)
        K = V.shape[1]
        padded = torch.zeros(K, K, dtype=torch.float64)
        padded[: len(own.R)] = own.R
        heights = [min(K, max(min(self._longest, self.dim - r * self._longest), 0)) for r in range(self._group.world)]
        factors = [factor[:height] for factor, height in zip(self._of_all(padded), heights, strict=True)]
        rotation, R = torch.linalg.qr(torch.cat(factors))
        first = sum(heights[: self._group.rank])
        return own.Q @ rotation[first : first + len(own.R)].to(V), R.to(V)

    def _of_all(self, own: Tensor) -> Tensor:
        """What each rank has, (R, …), of a small tensor on the CPU."""
        assert self._group is not None
        rows = own.new_zeros(self._group.world, *own.shape)
        rows[self._group.rank] = own
        if rows.numel():
            self._group.sum_(rows, "small numbers of each rank")
        return rows


#: Of one process, of whatever length.
WHOLE = Slices(0)
