"""A product of which each rank makes its part, from its part of the data."""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.distributed import Sums
from landscape.hvp.product import Product


class Nothing:
    """The product of a part of the data without an example."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, v: Tensor) -> Tensor:
        return torch.zeros_like(v)

    def block(self, V: Tensor) -> Tensor:
        """Zeros, (P, K)."""
        return torch.zeros_like(V)

    def of_chunk(self, index: int, v: Tensor) -> Tensor:
        """There is no chunk."""
        raise IndexError(index)


class Summed:
    """∇²L(θ)·v as the sum over ranks: each multiplies by its own, and one all-reduce follows, outside every graph.

    Forward mode must never cross it: the tangent of an all-reduce is zero in torch 2.13, and nothing says so.

    Attributes
    ----------
    own : Product
        Of this rank's part of the data.
    sums : Sums
    name : str
        The route, the same on all ranks.
    """

    def __init__(self, own: Product, sums: Sums) -> None:
        self.own, self.sums, self.name = own, sums, own.name

    def __call__(self, v: Tensor) -> Tensor:
        return self.sums.tensor(lambda: self.own(v), v, [v], "a product")

    def block(self, V: Tensor) -> Tensor:
        """The products with the columns of V (P, K), by one all-reduce."""
        rows = self.sums.tensor(lambda: self.own.block(V).T, V.T, [V], f"a block of {V.shape[1]} products")
        return rows.T

    def of_chunk(self, index: int, v: Tensor) -> Tensor:
        """The product of the Hessian of one of this rank's own chunks; nothing is summed."""
        return self.own.of_chunk(index, v)
