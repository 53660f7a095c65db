"""The data of an objective: read once, kept in a fixed order, cut into weighted chunks, hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from landscape.arithmetic import counterpart
from landscape.errors import ObjectiveError, UsageError

Weight = Callable[[Any], float]

AUTO_CHUNK = 4096
DOUBLE_CHUNK = 32  # convolutions in float64 have no fast kernel, and run up to three times as fast in small ones
AUTO_CHUNK_BYTES = 16 * 2**20  # what a chunk keeps for the backward pass; beyond the caches it gets up to twice as slow


class Batches:
    """Data in a fixed order, as given.

    Parameters
    ----------
    data : tuple, DataLoader or iterable of batches
        A tuple, dict or tensor is one batch; anything else is iterated once. A batch is any nest of tuples, lists and
        dicts of tensors or NumPy arrays.

    Raises
    ------
    ObjectiveError
        If there is no batch or no example.
    """

    def __init__(self, data: Any) -> None:
        with torch.random.fork_rng(devices=[]):  # a loader draws its order from the global generator
            raw = [data] if isinstance(data, (tuple, dict, Tensor, np.ndarray)) else list(_iterate(data))
        self.batches = [pytree.tree_map(_as_tensor, batch) for batch in raw]
        if not self.batches or not any(count_examples(batch) for batch in self.batches):
            raise ObjectiveError(
                "the data is empty: no example to evaluate the loss on. Pass (inputs, targets) or batches"
            )
        self.sizes = [count_examples(batch) for batch in self.batches]
        self.joined = _join(self.batches)
        if self.joined is not None:
            self.batches = [self.joined]  # the joined copy is kept, the pieces are let go

    @property
    def num_examples(self) -> int:
        """N, summed over batches."""
        return sum(self.sizes)

    def cut(self, size: int | None) -> list[Any]:
        """Chunks of ``size`` examples in order; the batches as they came where it is None or they cannot be cut."""
        if self.joined is None:
            return self.batches
        if size is not None:
            return cut(self.joined, size)
        ends = np.cumsum(self.sizes)
        return [take(self.joined, slice(end - n, end)) for n, end in zip(self.sizes, ends, strict=True)]

    def first(self, count: int) -> Any:
        """The first ``count`` examples as one batch; the whole first batch where it cannot be cut."""
        return take(self.batches[0], slice(0, count)) if can_cut(self.batches[0]) else self.batches[0]

    def digest(self) -> str:
        """SHA-256 over every tensor's dtype, shape and bytes, in order; where they join, the cut leaves no trace."""
        seal = hashlib.sha256()
        for batch in self.batches:
            for leaf in pytree.tree_leaves(batch):
                if isinstance(leaf, Tensor):
                    seal.update(f"{leaf.dtype}{tuple(leaf.shape)}".encode())
                    plain = leaf.detach().cpu().contiguous()
                    seal.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
                else:
                    seal.update(repr(leaf).encode())
        return seal.hexdigest()

    def first_nonfinite(self) -> str | None:
        """Where the first NaN or infinity stands, in words."""
        for index, batch in enumerate(self.batches):
            for leaf in pytree.tree_leaves(batch):
                if isinstance(leaf, Tensor) and leaf.is_floating_point() and not bool(leaf.isfinite().all()):
                    row = int((~leaf.isfinite()).reshape(len(leaf), -1).any(1).nonzero()[0]) if leaf.ndim else 0
                    return self._place(index, row)
        return None

    def _place(self, batch: int, row: int) -> str:
        if self.joined is not None:
            ends = np.cumsum(self.sizes)
            batch = int(np.searchsorted(ends, row, side="right"))
            row -= int(ends[batch]) - self.sizes[batch]
        return f"batch {batch} of {len(self.sizes)}, example {row} of {self.sizes[batch]}"


def cut(batch: Any, size: int) -> list[Any]:
    """Cut one batch into parts of ``size`` examples; the last may be shorter."""
    total = count_examples(batch)
    return [take(batch, slice(start, start + size)) for start in range(0, total, size)]


def take(batch: Any, rows: slice | Tensor) -> Any:
    """The examples of a batch that ``rows`` selects."""
    return pytree.tree_map(lambda leaf: leaf[rows] if isinstance(leaf, Tensor) else leaf, batch)


def can_cut(batch: Any) -> bool:
    """Whether all tensors of a batch share their first dimension, and nothing else is in it."""
    leaves = pytree.tree_leaves(batch)
    return all(isinstance(x, Tensor) and x.ndim > 0 for x in leaves) and len({len(x) for x in leaves}) == 1


def count_examples(batch: Any) -> int:
    """Length of the first tensor's first dimension; a batch without one counts as 1."""
    for leaf in pytree.tree_leaves(batch):
        if isinstance(leaf, Tensor) and leaf.ndim > 0:
            return len(leaf)
    return 1


def cast(batch: Any, dtype: torch.dtype, device: torch.device) -> Any:
    """Move a batch to a device, and its floating-point and complex tensors to a dtype."""

    def move(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        moved = leaf.to(device=device, dtype=counterpart(leaf, dtype))
        return moved.clone() if moved.is_inference() else moved  # autograd refuses tensors made in inference mode

    with torch.inference_mode(False):
        return pytree.tree_map(move, batch)


def check_chunk(chunk: int | str | None) -> None:
    """Refuse a chunk size that is none."""
    if chunk is None or chunk == "auto" or (isinstance(chunk, int) and chunk > 0):
        return
    raise UsageError(f"chunk={chunk!r} must be 'auto', a number of examples, or None for the batches as they come")


def _iterate(data: Any) -> Iterable[Any]:
    try:
        return iter(data)
    except TypeError:
        raise ObjectiveError(
            f"data of type {type(data).__name__} cannot be read: pass (inputs, targets), a DataLoader or batches"
        ) from None


def _as_tensor(leaf: Any) -> Any:
    return torch.as_tensor(leaf) if isinstance(leaf, np.ndarray) else leaf


def _join(batches: list[Any]) -> Any | None:
    """One batch of all examples, or None where they cannot stand in one."""
    if not all(can_cut(batch) for batch in batches):
        return None
    flat = [pytree.tree_flatten(batch) for batch in batches]
    signatures = {(str(spec), tuple((x.dtype, x.shape[1:]) for x in leaves)) for leaves, spec in flat}
    if len(signatures) != 1:
        return None
    columns = zip(*(leaves for leaves, _ in flat), strict=True)
    return pytree.tree_unflatten([c[0] if len(c) == 1 else torch.cat(c) for c in columns], flat[0][1])
