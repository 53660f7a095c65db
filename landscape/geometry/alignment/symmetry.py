"""The permutations of neurons that leave a network the same function, found by tracing it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from landscape.geometry.alignment.axes import Axis, leaves, resolved
from landscape.geometry.alignment.blocks import Block, Permutations, TooMany, blocks_of, permuted
from landscape.geometry.alignment.calls import Dims, Facts

#: A permutation may be another for each index of the axes that decide it, as long as these are not more.
_MOST_COPIES = 4096


@dataclass(frozen=True)
class Symmetry:
    """Groups of axes that are permuted alike, and where they stand.

    Attributes
    ----------
    sizes : dict of axis to int
        Of each group, in the order in which they are applied.
    over : dict of axis to tuple of axes
        A group may be permuted otherwise for each index of these: within each head, say. Some may be no group
        themselves; then ``lengths`` has how long they are.
    blocks : dict of name to blocks
        Of each tensor that is permuted.
    where : dict of axis to tuple of str
        ``fc1.weight[0]``: the tensors and dimensions it stands in.
    names : dict of axis to str
    dropped : tuple of str
        What looked like a symmetry and was not.
    """

    sizes: dict[int, int]
    over: dict[int, tuple[int, ...]]
    lengths: dict[int, int]
    blocks: dict[str, tuple[Block, ...]]
    where: dict[int, tuple[str, ...]]
    names: dict[int, str]
    dropped: tuple[str, ...] = ()

    def identity(self) -> dict[int, Tensor]:
        """Every neuron where it is."""
        return {axis: torch.arange(size).expand(*self.copies(axis), size).clone() for axis, size in self.sizes.items()}

    def drawn(self, generator: torch.Generator, only: Iterable[int] | None = None) -> dict[int, Tensor]:
        """Permutations at random, of all groups or of some."""
        found = self.identity()
        for axis in found if only is None else only:
            found[axis] = torch.rand(found[axis].shape, generator=generator).argsort(-1)
        return found

    def copies(self, axis: int) -> tuple[int, ...]:
        """How many permutations a group has, along each axis that decides."""
        return tuple(self.lengths[one] for one in self.over.get(axis, ()))

    def without(self, axes: Iterable[int], remark: str = "") -> Symmetry:
        """The same with fewer groups."""
        gone = set(axes)
        kept = {axis: size for axis, size in self.sizes.items() if axis not in gone}
        remarks = tuple(f"{self.names[axis]}: {remark}" for axis in sorted(gone)) if remark else ()
        return replace(self, sizes=kept, dropped=self.dropped + remarks)

    def dependents(self, axis: int) -> tuple[int, ...]:
        """Groups whose permutation may be another for each index of this one."""
        return tuple(one for one in self.sizes if axis in self.over.get(one, ()))

    def apply(self, named: Mapping[str, Tensor], permutations: Permutations) -> dict[str, Tensor]:
        """Tensors by their names, permuted: entry i becomes what was entry ``permutation[i]``."""
        found: dict[str, Tensor] = {}
        orders = {axis: permutations[axis] for axis in self.sizes}
        for name, tensor in named.items():
            here = {axis: order.to(tensor.device) for axis, order in orders.items()}
            found[name] = tensor.clone(memory_format=torch.contiguous_format)
            for block in self.blocks.get(name, ()):
                part = block.of(tensor.contiguous())
                block.of(found[name]).copy_(permuted(part, block.axes, here, self.over))
        return found


def symmetry_of(named: Mapping[str, Dims], facts: Facts) -> Symmetry:
    """The groups that a pass leaves free to be permuted, of the tensors whose dimensions are given."""
    blocks: dict[str, tuple[Block, ...]] = {}
    for name, dims in named.items():
        try:
            blocks[name] = tuple(blocks_of(dims))
        except TooMany:
            for dim in dims:
                for leaf in leaves(dim):
                    leaf.fixed = True
    mixed = {leaf.number for mixing in facts.mixings for dim in mixing.mixed for leaf in leaves(dim)}
    by_number = {leaf.number: leaf for dims in named.values() for dim in dims for leaf in leaves(dim)}
    # What nothing sums over never reaches the output, as rows of a table that these data do not look up.
    groups = {number: leaf for number, leaf in by_number.items() if not leaf.fixed and number in mixed}
    over = _deciding(groups, blocks, facts)
    order = _in_order(groups, over)
    where = _where(named, groups)
    return Symmetry(
        sizes={axis: groups[axis].size for axis in order},
        over={axis: over[axis] for axis in order},
        lengths={axis: size for b in _all(blocks) for axis, size in zip(b.axes, b.shape, strict=True)},
        blocks=blocks,
        where=where,
        names=_names(order, over, where),
    )


def _deciding(
    groups: Mapping[int, Axis], blocks: Mapping[str, Sequence[Block]], facts: Facts
) -> dict[int, tuple[int, ...]]:
    """For each group the axes that may decide how it is permuted.

    Such an axis stands in every tensor in which the group stands, so that each entry knows which permutation is its
    own, and no operation sums over it while it keeps the group.
    """
    beside: dict[int, set[int]] = {}
    for axes in _axes_of_all(facts.seen):
        for axis in axes & groups.keys():
            beside[axis] = beside[axis] & axes if axis in beside else set(axes)
    for mixing in facts.mixings:
        mixed = {leaf.number for dim in mixing.mixed for leaf in leaves(dim)}
        for dim in mixing.kept:
            for leaf in leaves(dim):
                if leaf.number in beside:
                    beside[leaf.number] -= mixed - {leaf.number}
    sizes = {number: size for b in _all(blocks) for number, size in zip(b.axes, b.shape, strict=True)}
    found: dict[int, tuple[int, ...]] = {}
    for axis in sorted(groups):
        inside = [block.axes for of_tensor in blocks.values() for block in of_tensor if axis in block.axes]
        once = [one for one in beside.get(axis, ()) if all(axes.count(one) == 1 for axes in inside)]
        # Of two that could decide each other, the one that came up first does.
        chosen = sorted(one for one in once if one != axis and not (one > axis and axis in beside.get(one, ())))
        copies = math.prod(sizes[one] for one in chosen)
        found[axis] = tuple(chosen) if copies <= _MOST_COPIES else ()
    return found


def _all(blocks: Mapping[str, Sequence[Block]]) -> Iterator[Block]:
    for of_tensor in blocks.values():
        yield from of_tensor


def _axes_of_all(seen: Iterable[Dims]) -> Iterator[set[int]]:
    """The axes of each block of every tensor; of one with too many blocks, each by itself."""
    done: set[tuple[int, ...]] = set()
    for dims in seen:
        key = tuple(axis.number for dim in dims for axis in resolved(dim))
        if key in done:
            continue
        done.add(key)
        try:
            for block in blocks_of(dims):
                yield set(block.axes)
        except TooMany:
            for dim in dims:
                for leaf in leaves(dim):
                    yield {leaf.number}


def _in_order(groups: Iterable[int], over: Mapping[int, Sequence[int]]) -> list[int]:
    """What decides before what hangs on it."""
    found: list[int] = []

    def settle(axis: int) -> None:
        if axis in found:
            return
        for one in over[axis]:
            if one in over:
                settle(one)
        found.append(axis)

    for axis in groups:
        settle(axis)
    return found


def _where(named: Mapping[str, Dims], groups: Mapping[int, Axis]) -> dict[int, tuple[str, ...]]:
    found: dict[int, dict[str, None]] = {axis: {} for axis in groups}
    for name, dims in named.items():
        for place, dim in enumerate(dims):
            for leaf in leaves(dim):
                if leaf.number in found:
                    found[leaf.number][f"{name}[{place}]"] = None
    return {axis: tuple(places) for axis, places in found.items()}


def _names(
    order: Sequence[int], over: Mapping[int, Sequence[int]], where: Mapping[int, Sequence[str]]
) -> dict[int, str]:
    """After the first tensor in which a group stands, ``fc1``; ``fc1, each`` where it is one within another."""
    found: dict[int, str] = {}
    for axis in order:
        made = [place for place in where[axis] if place.endswith("[0]")]  # by a layer, rather than read by one
        first = (made or where[axis])[0].rpartition("[")[0]
        base = first.rpartition(".")[0] or first
        name = f"{base}, in each" if over[axis] else base
        taken = sum(one == name or one.startswith(f"{name} (") for one in found.values())
        found[axis] = f"{name} ({taken + 1})" if taken else name
    return found
