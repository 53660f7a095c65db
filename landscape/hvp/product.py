"""What the ways to multiply by ∇²L(θ) are made from, and what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor

from landscape.params import ParamLayout


class LossParts(Protocol):
    """L(θ) = Σ shares[i] · part(i, θ), with everything but θ held fixed."""

    @property
    def layout(self) -> ParamLayout:
        """How θ is made of tensors."""

    @property
    def shares(self) -> Sequence[float]:
        """Weight of each chunk; they sum to 1."""

    @property
    def losses_seen(self) -> Sequence[float] | None:
        """The loss of each chunk, perhaps at another θ, where it was once made."""

    def chunk(self, index: int) -> Any:
        """The batch that is chunk ``index``: a nest of tensors."""

    def part(self, index: int, tensors: Sequence[Tensor]) -> Tensor:
        """Mean loss of chunk ``index`` at the parameters ``tensors``."""

    @property
    def held(self) -> Mapping[str, Tensor]:
        """What is fixed besides the data, by name: parameters outside θ, those of the loss, and buffers."""

    def loss_on(self, chunk: Any, tensors: Sequence[Tensor], held: Mapping[str, Tensor] | None = None) -> Tensor:
        """Mean loss of a batch at the parameters ``tensors``, with ``held`` in place of what is fixed."""

    def value(self, index: int, tensors: Sequence[Tensor]) -> float:
        """Mean loss of chunk ``index`` as a number."""

    def borrowed(self) -> AbstractContextManager[None]:
        """The state in which the model may be called."""

    def in_double(self, *, lift: bool = False) -> LossParts:
        """The same loss in float64; with ``lift`` also where the model casts to a lower precision by itself."""


class Product(Protocol):
    """∇²L(θ)·v at one θ."""

    @property
    def name(self) -> str:
        """The route, as it is written in results."""

    def __call__(self, v: Tensor) -> Tensor:
        """The product with one vector (P,)."""

    def block(self, V: Tensor) -> Tensor:
        """The products with the columns of V (P, K)."""

    def of_chunk(self, index: int, v: Tensor) -> Tensor:
        """∇²L_index(θ)·v of one chunk, without its share."""


class SomeChunks:
    """The part of a loss that some of its chunks make up."""

    def __init__(self, parts: LossParts, indices: Sequence[int], shares: Sequence[float]) -> None:
        self._parts, self._indices = parts, indices
        self.layout, self.shares = parts.layout, list(shares)
        seen = parts.losses_seen
        self.losses_seen = None if seen is None else [seen[i] for i in indices]

    def chunk(self, index: int) -> Any:
        """One of the chunks."""
        return self._parts.chunk(self._indices[index])

    def part(self, index: int, tensors: Sequence[Tensor]) -> Tensor:
        """Its mean loss."""
        return self._parts.part(self._indices[index], tensors)

    @property
    def held(self) -> Mapping[str, Tensor]:
        """What is fixed besides the data."""
        return self._parts.held

    def loss_on(self, chunk: Any, tensors: Sequence[Tensor], held: Mapping[str, Tensor] | None = None) -> Tensor:
        """Mean loss of a batch."""
        return self._parts.loss_on(chunk, tensors, held)

    def value(self, index: int, tensors: Sequence[Tensor]) -> float:
        """One of its chunks' mean loss as a number."""
        return self._parts.value(self._indices[index], tensors)

    def borrowed(self) -> AbstractContextManager[None]:
        """The state in which the model may be called."""
        return self._parts.borrowed()

    def in_double(self, *, lift: bool = False) -> SomeChunks:
        """The same in float64."""
        return SomeChunks(self._parts.in_double(lift=lift), self._indices, self.shares)


def first_chunk(parts: LossParts) -> SomeChunks:
    """The loss of the first chunk alone, to try a route on."""
    return one_chunk(parts, 0)


def one_chunk(parts: LossParts, index: int) -> SomeChunks:
    """The loss of one chunk alone."""
    return SomeChunks(parts, [index], [1.0])


def other_chunks(parts: LossParts) -> SomeChunks:
    """What is left of the loss without the first chunk."""
    return SomeChunks(parts, range(1, len(parts.shares)), parts.shares[1:])


def each_column(product: Product, V: Tensor) -> Tensor:
    """A block of products one after another, where a route has no better way."""
    return torch.stack([product(V[:, i].contiguous()) for i in range(V.shape[1])], dim=1)


def distinct_bytes(tensors: Sequence[Tensor]) -> int:
    """Memory that tensors hold, each storage counted once."""
    held = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(held.values())
