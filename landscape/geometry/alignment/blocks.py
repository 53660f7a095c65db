"""Tensors cut into blocks whose dimensions are single axes, and such blocks permuted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.geometry.alignment.axes import Axis, Dim, is_held, length, resolved

#: A permutation of each axis, by its number: (…, n) whole numbers, with a dimension in front for each that decides.
Permutations = Mapping[int, Tensor]
MOST_BLOCKS = 4096


class TooMany(Exception):
    """A tensor has more blocks than can be dealt with."""


@dataclass(frozen=True)
class Block:
    """A part of a tensor.

    Attributes
    ----------
    steps : tuple of (shape, dimension, start, length)
        Views and cuts that lead to it.
    shape : tuple of int
        As which it is viewed at last.
    axes : tuple of int
        The numbers of its axes.
    """

    steps: tuple[tuple[tuple[int, ...], int, int, int], ...]
    shape: tuple[int, ...]
    axes: tuple[int, ...]

    def of(self, tensor: Tensor) -> Tensor:
        """A view of the tensor: what is written into it is written there."""
        for shape, place, start, size in self.steps:
            tensor = tensor.view(shape).narrow(place, start, size)
        return tensor.view(self.shape)


def blocks_of(dims: Sequence[Dim]) -> list[Block]:
    """The blocks of a tensor with these dimensions.

    Raises
    ------
    TooMany
    """
    return _cut([axis for dim in dims for axis in resolved(dim)], ())


def _cut(axes: list[Axis], steps: tuple[tuple[tuple[int, ...], int, int, int], ...]) -> list[Block]:
    place = next((i for i, axis in enumerate(axes) if axis.parts is not None and not is_held(axis)), None)
    shape = tuple(axis.size for axis in axes)
    if place is None:
        return [Block(steps, shape, tuple(axis.number for axis in axes))]
    found: list[Block] = []
    start = 0
    for part in axes[place].parts or ():
        size = length(part)
        inner = [*axes[:place], *resolved(part), *axes[place + 1 :]]
        found += _cut(inner, (*steps, (shape, place, start, size)))
        start += size
        if len(found) > MOST_BLOCKS:
            raise TooMany
    return found


def permuted(
    block: Tensor,
    axes: Sequence[int | None],
    permutations: Permutations,
    over: Mapping[int, Sequence[int]],
    *,
    but: Iterable[tuple[int, int | None]] = (),
) -> Tensor:
    """A block with its axes permuted.

    Parameters
    ----------
    permutations : mapping
        In the order in which they are applied: what decides comes before what hangs on it.
    over : mapping from axis to axes
        Which axes decide how one is permuted.
    but : iterable of (axis, place or None)
        Axes that are left as they are, everywhere or where they stand at one place of the block.
    """
    left = set(but)
    for axis, order in permutations.items():
        for place, one in enumerate(axes):
            if one != axis or (axis, None) in left or (axis, place) in left:
                continue
            deciding = over.get(axis, ())
            if not deciding:
                block = block.index_select(place, order)
                continue
            block = torch.take_along_dim(block, _spread(order, axes, place, deciding), place)
    return block


def _spread(order: Tensor, axes: Sequence[int | None], place: int, deciding: Sequence[int]) -> Tensor:
    """The order with its dimensions where those axes stand in the block, and length 1 elsewhere."""
    places = [*(axes.index(one) for one in deciding), place]
    ranked = sorted(range(len(places)), key=places.__getitem__)
    order = order.permute(ranked)
    shape = [1] * len(axes)
    for rank, size in zip(ranked, order.shape, strict=True):
        shape[places[rank]] = size
    return order.reshape(shape)
