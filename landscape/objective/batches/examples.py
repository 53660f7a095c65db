"""How many examples a batch holds, and batches cut into them, joined and cast."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from landscape.errors import ObjectiveError
from landscape.objective.arithmetic import counterpart
from landscape.objective.batches.containers import Column, Nest
from landscape.objective.batches.hashing import digest_of


def count_examples(batch: Any) -> int | None:
    """The first dimension that all tensors of a batch share; None where it does not say how many examples there are.

    Numbers and scalar tensors are not counted, and a batch of nothing else is one example. Lists of text count where
    there are no tensors.
    """
    if not all(nest.template.counted for nest in _nests(batch)):
        return None
    leaves = pytree.tree_leaves(batch)
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    if any(leaf.is_nested or leaf.layout != torch.strided for leaf in tensors):
        return None
    lengths = {len(leaf) for leaf in tensors if leaf.ndim}
    if not lengths:
        others = [leaf for leaf in leaves if not isinstance(leaf, (Tensor, type(None), bool, int, float, complex))]
        lengths = {len(leaf) for leaf in others if isinstance(leaf, Column)}
        if not others:
            return 1
        if not all(isinstance(leaf, Column) for leaf in others):
            return None
    return lengths.pop() if len(lengths) == 1 else None


def first_dimensions(batch: Any) -> list[int]:
    """Of each tensor in a batch."""
    return [leaf.size(0) for leaf in pytree.tree_leaves(batch) if isinstance(leaf, Tensor) and leaf.ndim]


def cut(batch: Any, size: int) -> list[Any]:
    """Cut one batch into parts of ``size`` examples; the last may be shorter."""
    total = count_examples(batch) or 0
    return [take(batch, slice(start, start + size)) for start in range(0, total, size)]


def take(batch: Any, rows: slice | Tensor) -> Any:
    """The examples of a batch that ``rows`` selects; what is not one for each example stays as it is."""
    count = count_examples(batch)
    return pytree.tree_map(lambda leaf: leaf[rows] if _is_by_example(leaf, count) else leaf, batch)


def can_cut(batch: Any) -> bool:
    """Whether something in a batch stands along its examples, and their number is known."""
    count = count_examples(batch)
    return count is not None and any(_is_by_example(leaf, count) for leaf in pytree.tree_leaves(batch))


def cast(batch: Any, dtype: torch.dtype, device: torch.device, *, copy: bool = False) -> Any:
    """Move a batch to a device, and its floating-point tensors to a dtype, complex ones to that of its precision.

    A tensor that stays as it is becomes another handle on the same numbers: a loss that calls ``requires_grad_`` on its
    batch does not mark the caller's. With ``copy`` it becomes a tensor of its own, which one may write to.
    """

    def move(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        moved = leaf.to(device=device, dtype=counterpart(leaf, dtype), copy=copy)
        if moved.is_inference():
            return moved.clone()  # autograd refuses tensors made in inference mode
        return moved.detach() if moved is leaf and not leaf.requires_grad else moved

    with torch.inference_mode(False):
        return pytree.tree_map(move, batch)


def join(batches: list[Any]) -> Any | None:
    """One batch of all examples, or None where they cannot stand in one."""
    if not all(can_cut(batch) for batch in batches):
        return None
    if len(batches) == 1:
        return batches[0]
    flat = [pytree.tree_flatten(batch) for batch in batches]
    counts = [count_examples(batch) for batch in batches]
    if any(spec != flat[0][1] for _, spec in flat):
        return None
    first, *others = (
        [_kind_of(leaf, count) for leaf in leaves] for (leaves, _), count in zip(flat, counts, strict=True)
    )
    if any(other != first for other in others):
        return None
    columns = zip(*(leaves for leaves, _ in flat), strict=True)
    return pytree.tree_unflatten([_join_leaves(column, counts[0]) for column in columns], flat[0][1])


def is_ragged(batches: list[Any]) -> bool:
    """Whether every tensor differs in its other dimensions from batch to batch.

    Then a mean may run over examples, or over the entries of each (tokens, pixels), and both look alike in one batch.
    """
    shapes = [
        tuple(leaf.shape[1:] for leaf in pytree.tree_leaves(batch) if isinstance(leaf, Tensor) and leaf.ndim)
        for batch in batches
    ]
    if len(shapes) < 2 or len({len(shape) for shape in shapes}) > 1 or not shapes[0]:
        return False
    return all(len(set(column)) > 1 for column in zip(*shapes, strict=True))


def _nests(batch: Any) -> list[Nest]:
    leaves = pytree.tree_leaves(batch, is_leaf=lambda part: isinstance(part, Nest))
    return [leaf for leaf in leaves if isinstance(leaf, Nest)]


def constant_arrays(batch: Any) -> list[Any]:
    """Arrays inside objects, which stay as they are."""
    return [array for nest in _nests(batch) for array in nest.template.arrays()]


def _is_by_example(leaf: Any, count: int | None) -> bool:
    return leaf.ndim > 0 if isinstance(leaf, Tensor) else isinstance(leaf, Column) and len(leaf) == count


def _kind_of(leaf: Any, count: int | None) -> tuple[Any, ...]:
    """What leaves of two batches must have in common to be joined."""
    if not _is_by_example(leaf, count):
        try:
            return ("one for all", digest_of(leaf))
        except ObjectiveError:
            return ("one for all", id(leaf))
    if isinstance(leaf, Column):
        return ("column", type(leaf.items), getattr(leaf.items, "dtype", None))
    return (type(leaf), leaf.dtype, leaf.device, tuple(leaf.shape[1:]))


def _join_leaves(leaves: tuple[Any, ...], count: int | None) -> Any:
    if not _is_by_example(leaves[0], count):
        return leaves[0]
    return leaves[0].joined(leaves[1:]) if isinstance(leaves[0], Column) else torch.cat(leaves)
