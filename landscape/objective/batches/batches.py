"""The data of an objective in a fixed order: batches as they came, or joined and cut anew."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from landscape.checks import check_count
from landscape.errors import ObjectiveError, UsageError
from landscape.objective.batches.containers import pack, unpack
from landscape.objective.batches.examples import (
    can_cut,
    constant_arrays,
    count_examples,
    cut,
    first_dimensions,
    is_ragged,
    join,
    take,
)
from landscape.objective.batches.hashing import Content
from landscape.objective.batches.reading import is_dataset, read, reading
from landscape.objective.batches.weighing import Weight, weigh

_SAY_WEIGHT = (
    "Say what the mean of the loss runs over in a batch, weight=lambda batch: ..., such as its graphs, sequences or "
    "tokens that count"
)


class Batches:
    """Data in a fixed order, as given.

    Parameters
    ----------
    data : tuple, DataLoader, Dataset or iterable of batches
        A tuple, mapping, dataclass, object that holds tensors, or tensor is one batch; a Dataset is batched as a loader
        would; anything else is iterated once. A batch is any nest of these, of tensors and of NumPy arrays.
    weight : callable, optional
        ``weight(batch)``: what the mean of the loss runs over, where that is not examples.

    Attributes
    ----------
    joined : nest of tensors or None
        All examples as one batch, where they can be cut.
    sizes : list of int
        Examples of each batch as it came; its weight, where the batches do not say how many they are.

    Raises
    ------
    ObjectiveError
        If there is no batch or no example, or nothing says how many examples a batch has and ``weight`` is left out.
    """

    def __init__(self, data: Any, *, weight: Weight | None = None) -> None:
        with reading():
            raw = read(data)
        self._of_dataset = is_dataset(data)
        self.batches = [pack(batch) for batch in raw]
        if not self.batches or all(_is_empty(batch) for batch in self.batches):
            raise ObjectiveError(
                "the data is empty: no example to evaluate the loss on. Pass (inputs, targets) or batches"
            )
        counts = [count_examples(batch) for batch in self.batches]
        self.joined = join(self.batches)
        self._whole = None in counts
        if self.joined is None and weight is None:
            _refuse_unknown_counts(self.batches, counts)
        weighed = weight if self._whole or is_ragged(self.batches) else None
        self.sizes = [
            round(weigh(batch, weighed)) if weighed else int(n or 0)
            for batch, n in zip(self.batches, counts, strict=True)
        ]
        if self.joined is not None:
            self.batches = [self.joined]  # the joined copy is kept, the pieces are let go

    @property
    def num_examples(self) -> int:
        """N, summed over batches."""
        return sum(self.sizes)

    def kept_whole(self) -> Batches:
        """The same data in the batches in which they came, which nothing cuts.

        Raises
        ------
        ObjectiveError
            If they came one by one from a Dataset.
        """
        if self._of_dataset:
            raise ObjectiveError(
                "the loss is not a mean over examples, and a Dataset does not say which examples stand together in a "
                "batch. Pass DataLoader(dataset, batch_size=...) or a list of batches"
            )
        twin = copy.copy(self)
        twin.batches, twin.joined, twin._whole = self.cut(None), None, True
        return twin

    def cut(self, size: int | None) -> list[Any]:
        """Chunks of ``size`` examples in order; the batches as they came where it is None or they cannot be cut."""
        if self.joined is None:
            return self.batches
        if size is not None:
            return cut(self.joined, size)
        ends = np.cumsum(self.sizes)
        return [take(self.joined, slice(end - n, end)) for n, end in zip(self.sizes, ends, strict=True)]

    def in_pieces(self, sizes: Sequence[int]) -> Batches:
        """The same data, where they join, as if they had come in batches of these sizes, which sum to N."""
        twin = copy.copy(self)
        twin.sizes = list(sizes)
        return twin

    def can_cut(self, batch: Any) -> bool:
        """Whether a part of one of these batches is a batch."""
        return not self._whole and can_cut(batch)

    def first(self, count: int, weight: Weight | None = None) -> Any:
        """The first ``count`` examples with a weight as one batch; the first whole batch with one where none is cut.

        Padding that is an example, or a graph of which no node counts, has weight 0, and a mean over it is 0/0.

        Raises
        ------
        ObjectiveError
            If nothing has a weight above 0.
        """
        for batch in self.batches:
            if not self.can_cut(batch):
                if not _is_empty(batch) and (weight is None or weigh(batch, weight) > 0):
                    return batch
                continue
            all_rows = range(count_examples(batch) or 0)
            counted = (r for r in all_rows if weight is None or weigh(take(batch, slice(r, r + 1)), weight) > 0)
            rows = list(islice(counted, count))
            if rows:
                in_front = rows[-1] == len(rows) - 1
                return take(batch, slice(0, len(rows)) if in_front else torch.tensor(rows))
        raise ObjectiveError("weight(batch) gave no more than 0 everywhere; it must count what the mean runs over")

    def pick(self, indices: Any) -> Any:
        """The examples with these numbers (M,), in this order, as one batch.

        Raises
        ------
        ObjectiveError
            If the batches stay whole, or do not join to one tensor per input.
        UsageError
            If there is no index, or one is outside 0 … N − 1.
        """
        if self.joined is None:
            raise ObjectiveError(
                "these batches cannot be cut into examples: "
                + (
                    "they stay as they came, because their examples interact (interacting=True, or a loss that is no "
                    "mean over them) or cannot be counted. Make an objective of fewer batches"
                    if self._whole
                    else "their tensors do not join along the first dimension. Pass data whose batches have tensors of "
                    "equal shape but for the first dimension"
                )
            )
        chosen = torch.as_tensor(np.asarray(indices, dtype=np.int64).reshape(-1))
        if not len(chosen) or int(chosen.min()) < 0 or int(chosen.max()) >= self.num_examples:
            raise UsageError(
                f"{len(chosen)} indices do not fit: at least one is needed, each in 0 … {self.num_examples - 1}"
            )
        return take(self.joined, chosen)

    def digest(self) -> str:
        """SHA-256 of the data by value: structure, names, types, tensors; where they join, the cut leaves no trace.

        Raises
        ------
        ObjectiveError
            If a batch holds something without a value, such as a lambda or an open file.
        """
        content = Content()
        alone: Any = self.batches[0] if len(self.batches) == 1 else None
        if type(alone) in (tuple, list) and len(alone) == 2 and all(_is_plain(part) for part in alone):
            # Pairs keep the digest that they had in the first versions, so that stored results stay theirs.
            return content.of_tensors(alone)
        content.fact("batches", len(self.batches))
        for batch in self.batches:
            content.add(batch, "batch")
        return content.hexdigest()

    def first_nonfinite(self) -> str | None:
        """Where the first NaN or infinity stands, in words."""
        for index, batch in enumerate(self.batches):
            for leaf in pytree.tree_leaves(batch):
                if isinstance(leaf, Tensor) and (row := _first_nonfinite_row(leaf)) is not None:
                    return self._place(index, row)
            for array in constant_arrays(batch):
                if array.dtype.kind in "fc" and not np.isfinite(array).all():
                    return self._place(index, None)
        return None

    def _place(self, batch: int, row: int | None) -> str:
        if self.joined is not None and row is not None:
            ends = np.cumsum(self.sizes)
            batch = int(np.searchsorted(ends, row, side="right"))
            row -= int(ends[batch]) - self.sizes[batch]
        where = f"batch {batch} of {len(self.sizes)}"
        counted = self.sizes[batch] if self.joined is not None else count_examples(self.batches[batch])
        return where if row is None or counted is None else f"{where}, example {row} of {counted}"


def check_chunk(chunk: int | str | None) -> None:
    """Refuse a chunk size that is none."""
    if chunk is not None and chunk != "auto":
        check_count("chunk", chunk, hint="or 'auto', or None for the batches as they come")


def _refuse_unknown_counts(batches: list[Any], counts: list[int | None]) -> None:
    """Weights would be guessed, and with them every number."""
    if (
        len(batches) > 1
        and all(isinstance(batch, Tensor) for batch in batches)
        and (None in counts or is_ragged(batches))
    ):
        shapes = " and ".join(str(tuple(batch.shape)) for batch in batches[:2])
        raise ObjectiveError(
            f"a list is a list of batches, and these are bare tensors of different shapes ({shapes}). Pass a tuple, "
            "(inputs, targets), for one batch; or, where they are batches, weight=lambda batch: len(batch)"
        )
    if None in counts:
        index = counts.index(None)
        lengths = sorted(set(first_dimensions(batches[index])))
        seen = (
            f"its tensors have first dimensions {', '.join(map(str, lengths))}"
            if len(lengths) > 1
            else f"a {type(unpack(batches[index])).__name__} does not say it in the first dimension of its tensors"
        )
        raise ObjectiveError(
            f"how many examples batch {index} of {len(batches)} has cannot be told: {seen}. {_SAY_WEIGHT}; "
            "batches are then kept as they come"
        )
    if is_ragged(batches):
        raise ObjectiveError(
            "the batches differ in every tensor's other dimensions (padded to different lengths, time first, images of "
            "different sizes), so the loss may be a mean over examples or over what each is made of, and these weigh "
            f"the batches differently. {_SAY_WEIGHT}; weight=lambda batch: len(batch[0]) counts examples"
        )


def _is_empty(batch: Any) -> bool:
    tensors = [leaf for leaf in pytree.tree_leaves(batch) if isinstance(leaf, Tensor)]
    return count_examples(batch) == 0 or (bool(tensors) and all(leaf.numel() == 0 for leaf in tensors))


def _is_plain(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.layout == torch.strided and not leaf.is_nested and not leaf.is_quantized


def _first_nonfinite_row(leaf: Tensor) -> int | None:
    """The first row of a tensor with NaN or infinity; 0 where it has no rows of its own."""
    if not (leaf.is_floating_point() or leaf.is_complex()):
        return None
    if leaf.is_nested:
        rows = [index for index, part in enumerate(leaf.unbind()) if not bool(part.isfinite().all())]
        return rows[0] if rows else None
    if leaf.layout != torch.strided:
        values = leaf.coalesce().values() if leaf.layout == torch.sparse_coo else leaf.values()
        return None if bool(values.isfinite().all()) else 0
    bad = ~leaf.isfinite()
    if not bool(bad.any()):
        return None
    return int(bad.reshape(len(leaf), -1).any(1).nonzero()[0]) if leaf.ndim else 0
