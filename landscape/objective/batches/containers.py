"""Batches of the caller's own types: taken apart into tensors, and put together again around others."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from landscape.errors import ObjectiveError
from landscape.objective.batches.hashing import ATOMS, Content, Packed, parts_of


class Column(Packed):
    """A list of things that are no tensors, such as the names of files: one for each example, if it is as long."""

    def __init__(self, items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, rows: slice | Tensor) -> Column:
        if isinstance(rows, slice):
            return Column(self.items[rows])
        chosen = [self.items[i] for i in rows.tolist()]
        return Column(np.array(chosen, dtype=self.items.dtype) if isinstance(self.items, np.ndarray) else chosen)

    def __repr__(self) -> str:
        return f"Column({list(self.items)!r})"

    def add_to(self, content: Content) -> None:
        content.fact("column")
        content.add(list(self.items))

    def joined(self, others: Sequence[Column]) -> Column:
        """This one and others behind it."""
        if isinstance(self.items, np.ndarray):
            return Column(np.concatenate([self.items, *(other.items for other in others)]))
        return Column([item for column in (self, *others) for item in column.items])


class Nest(Packed):
    """An object of the caller's as its tensors and columns, and the template that they are put back into."""

    def __init__(self, leaves: Sequence[Any], template: Template) -> None:
        self.leaves, self.template = leaves, template

    def whole(self) -> Any:
        """The object, of its own type, around these tensors; the caller's is left as it was."""
        return self.template.around(self.leaves)

    def add_to(self, content: Content) -> None:
        content.fact("nest")
        self.template.add_to(content)
        for leaf in self.leaves:
            content.add(leaf)


class Template:
    """An object without its tensors.

    Attributes
    ----------
    original : object
        As the caller gave it; never changed.
    places : sequence
        What of it is replaced, in the order of the leaves.
    counted : bool
        Whether first dimensions say how many examples there are; they do not in a PackedSequence.
    """

    def __init__(self, original: Any, places: Sequence[Any], kept: Sequence[Any], *, counted: bool) -> None:
        self.original, self.counted = original, counted
        self.places, self._kept = places, kept
        try:
            content = Content()
            self.add_to(content)
            self._name = content.hexdigest()
        except ObjectiveError:  # its digest raises this again; until then it is like no other
            self._name = f"{type(original).__name__} at {id(original)}"

    def around(self, leaves: Sequence[Any]) -> Any:
        """A copy of the original with other tensors and lists in their places; all else is shared."""
        memo: dict[int, Any] = {id(thing): thing for thing in self._kept}
        for place, leaf in zip(self.places, leaves, strict=True):
            memo[id(place)] = leaf.items if isinstance(leaf, Column) else leaf
        return copy.deepcopy(self.original, memo)

    def arrays(self) -> list[np.ndarray]:
        """Arrays in what is not replaced."""
        return [array for thing in self._kept for array in arrays_in(thing)]

    def add_to(self, content: Content) -> None:
        """What the original is, its tensors left out."""
        inside = Content({id(place): number for number, place in enumerate(self.places)})
        inside.add(self.original, type(self.original).__name__)
        content.fact(inside.hexdigest())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and self._name == other._name

    def __hash__(self) -> int:
        return hash(self._name)

    def __repr__(self) -> str:
        return self._name


pytree.register_pytree_node(
    Nest, lambda nest: (list(nest.leaves), nest.template), lambda leaves, template: Nest(list(leaves), template)
)


def pack(batch: Any) -> Any:
    """The batch as a nest that torch can walk: arrays as tensors, and each object of another type as a Nest.

    Types are not registered with torch, whose registry is shared with other libraries.

    Raises
    ------
    ObjectiveError
        If an object cannot be rebuilt around other tensors.
    """
    return pytree.tree_map(_packed, batch, is_leaf=_stands_alone)


def unpack(batch: Any) -> Any:
    """The batch as the caller knows it."""
    if type(batch) is Tensor or (type(batch) in (tuple, list) and all(type(part) is Tensor for part in batch)):
        return list(batch) if type(batch) is list else batch  # a loss may take its items out
    return pytree.tree_map(_unpacked, batch, is_leaf=lambda part: isinstance(part, Nest))


def holds_tensors(thing: Any) -> bool:
    """Whether a tensor is anywhere in a thing, as an item or an attribute; an array only where it is an item."""
    return _Search().visit(thing, arrays=True)


def arrays_in(thing: Any) -> list[np.ndarray]:
    """Every array in a thing."""
    found: list[np.ndarray] = []
    seen: set[int] = set()

    def visit(part: Any) -> None:
        if isinstance(part, np.ndarray):
            found.append(part)
        elif not isinstance(part, ATOMS) and id(part) not in seen:
            seen.add(id(part))
            for _, inner in parts_of(part):
                visit(inner)

    visit(thing)
    return found


def _stands_alone(part: Any) -> bool:
    return isinstance(part, (Nest, PackedSequence)) or (type(part) is list and bool(part) and not holds_tensors(part))


def _packed(part: Any) -> Any:
    if isinstance(part, (Tensor, Packed, *ATOMS)):
        return part
    if isinstance(part, np.ndarray):
        return _as_leaf(part)
    if type(part) is list:
        return Column(part)
    search = _Search()
    if not search.visit(part, arrays=True):
        return part
    nest = search.nest(part)
    shared = _not_replaced(nest, part)
    if shared:
        search.share(shared)
        nest = search.nest(part)
    return nest


def _as_leaf(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return torch.as_tensor(np.ascontiguousarray(leaf).reshape(leaf.shape)) if _is_numeric(leaf) else Column(leaf)
    return Column(leaf) if isinstance(leaf, list) else leaf


def _is_numeric(array: np.ndarray) -> bool:
    return array.dtype.kind in "biufc" and array.dtype.itemsize <= (16 if array.dtype.kind == "c" else 8)


def _unpacked(part: Any) -> Any:
    if isinstance(part, Nest):
        return part.whole()
    return part.items if isinstance(part, Column) else part


def _not_replaced(nest: Nest, original: Any) -> set[int]:
    """Leaves of an object, by ``id``, that its type shares between copies: indices that it keeps for itself.

    Raises
    ------
    ObjectiveError
        If the type copies itself in a way by which the loss would not see the tensors that it is given.
    """
    marks = [leaf.detach() if isinstance(leaf, Tensor) else Column(leaf.items[:]) for leaf in nest.leaves]
    reason = ""
    try:
        rebuilt = nest.template.around(marks)
        search = _Search()
        search.visit(rebuilt, arrays=True)
        marked = {id(mark.items if isinstance(mark, Column) else mark) for mark in marks}
        shared = {id(place): place for place in nest.template.places if id(place) in search.leaves}
        indices = all(
            isinstance(p, Tensor) and not p.is_floating_point() and not p.is_complex() for p in shared.values()
        )
        all_there = len(marked & set(search.leaves)) + len(shared) == len(marks) == len(search.leaves)
        if type(rebuilt) is type(original) and indices and all_there and len(shared) < len(marks):
            return set(shared)
    except Exception as error:
        reason = f" ({type(error).__name__}: {error})"
    raise ObjectiveError(
        f"a batch of type {type(original).__name__} cannot be made again around other tensors, which every evaluation "
        f"needs{reason}. Hand over its tensors as a tuple or a dict, with Objective.from_loss"
    )


class _Search:
    """Where the tensors of an object stand, and what of it can be shared because it holds none.

    Attributes
    ----------
    leaves : dict
        By ``id``: tensors, arrays that are items of mappings, sequences and dataclasses, and lists without tensors
        beside them.
    """

    def __init__(self) -> None:
        self.leaves: dict[int, Any] = {}
        self._kept: dict[int, Any] = {}
        self._seen: dict[int, bool] = {}
        self._counted = True

    def nest(self, original: Any) -> Nest:
        """Of what was visited."""
        places = tuple(self.leaves.values())
        template = Template(original, places, tuple(self._kept.values()), counted=self._counted)
        return Nest([_as_leaf(place) for place in places], template)

    def share(self, chosen: set[int]) -> None:
        """Take leaves for what stays as it is."""
        self._kept |= {place: self.leaves.pop(place) for place in chosen}

    def visit(self, thing: Any, *, arrays: bool) -> bool:
        """Whether a leaf is in a thing."""
        if isinstance(thing, ATOMS):
            return False
        if id(thing) in self._seen:
            return self._seen[id(thing)]
        if isinstance(thing, Tensor) or (arrays and isinstance(thing, np.ndarray) and _is_numeric(thing)):
            self.leaves[id(thing)] = thing
            self._seen[id(thing)] = True
            return True
        self._seen[id(thing)] = True  # what points back to it is copied with it
        arrays = arrays and (isinstance(thing, (Mapping, list, tuple)) or dataclasses.is_dataclass(thing))
        parts = self._parts(thing)
        inside = [self.visit(part, arrays=arrays) for part in parts]
        self._seen[id(thing)] = any(inside)
        if any(inside):
            for part, holds in zip(parts, inside, strict=True):
                if not holds:
                    self._keep(part)
        return any(inside)

    def _parts(self, thing: Any) -> list[Any]:
        if isinstance(thing, PackedSequence):
            self._counted = False
            self._kept[id(thing.batch_sizes)] = thing.batch_sizes  # stays on the CPU, whatever the device
            return [part for part in (thing.data, thing.sorted_indices, thing.unsorted_indices) if part is not None]
        return [part for _, part in parts_of(thing)]

    def _keep(self, part: Any) -> None:
        if type(part) is list and part:
            self.leaves[id(part)] = part
        else:
            self._kept[id(part)] = part
