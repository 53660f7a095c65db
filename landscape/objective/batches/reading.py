"""Whatever holds data, as a list of batches."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, default_collate

from landscape.device import accelerators, generators_kept
from landscape.errors import ObjectiveError
from landscape.objective.batches.containers import holds_tensors

#: Examples of a Dataset that are collated at a time; how they are evaluated is settled later.
READ = 256


def read(data: Any) -> list[Any]:
    """The batches in ``data``: itself where it is one, else what iterating over it gives.

    Raises
    ------
    ObjectiveError
        If it is none of what is known, or the items of a Dataset do not stack.
    """
    if isinstance(data, (str, bytes, os.PathLike)):
        raise _unreadable(data)
    if is_dataset(data):
        return _collated(data)
    if isinstance(data, (DataLoader, Iterator)):
        return list(data)
    if type(data) is tuple:
        return [tuple(_as_array(part) if hasattr(part, "to_numpy") else part for part in data)]
    if _is_record(data):
        return [data]
    if isinstance(data, Iterable):
        found = list(data)
        pairs = all(isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) for item in found)
        return [data] if found and pairs and not isinstance(data, Sequence) and holds_tensors(data) else found
    if hasattr(type(data), "__getitem__") and hasattr(type(data), "__len__"):
        raise ObjectiveError(
            f"data of type {type(data).__name__} can be indexed but says neither that its items are examples nor that "
            "they are batches: pass DataLoader(data, batch_size=...) for examples, list(data) for batches"
        )
    if holds_tensors(data):
        return [data]
    raise _unreadable(data)


def is_dataset(data: Any) -> bool:
    """Whether the items of ``data`` are single examples: torch's Dataset, or one made for its loader."""
    return isinstance(data, Dataset) or hasattr(type(data), "__getitems__")


def _is_record(data: Any) -> bool:
    """One batch, though one may be able to iterate over it: over its columns, fields or keys."""
    if isinstance(data, (tuple, Mapping, Tensor, np.ndarray)):
        return True
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        return True
    return hasattr(type(data), "keys") and hasattr(type(data), "__getitem__")


def _as_array(frame: Any) -> np.ndarray:
    """The numbers of a data frame or a series, of pandas and others like it: yes and no as one and zero."""
    array = np.array(frame.to_numpy())  # pandas gives its own, which nothing may write to
    if array.dtype.kind in "biuf":
        return array
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ObjectiveError(
            f"a {type(frame).__name__} in the data is not all numbers ({error}). Turn text into columns of yes and no, "
            "as pandas.get_dummies does, dates into numbers, and fill what is missing"
        ) from error


def _collated(dataset: Any) -> list[Any]:
    """As a loader would, in order and without dropping the last."""
    if type(dataset) is TensorDataset:
        return [tuple(dataset.tensors)]
    items = iter(dataset) if isinstance(dataset, IterableDataset) else _by_index(dataset)
    batches = []
    while examples := list(islice(items, READ)):
        try:
            batches.append(default_collate(examples))
        except (TypeError, RuntimeError, KeyError, ValueError, AttributeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ObjectiveError(
                f"the examples of this {type(dataset).__name__} do not stack into a batch ({reason}). Pass "
                "DataLoader(dataset, batch_size=..., collate_fn=...) that you write, or a list of batches"
            ) from error
    return batches


def _by_index(dataset: Any) -> Iterator[Any]:
    try:
        count = len(dataset)
    except TypeError:
        raise ObjectiveError(
            f"a {type(dataset).__name__} without __len__ does not say how many examples it has. Add it, or pass a "
            "DataLoader or a list of batches"
        ) from None
    return (dataset[index] for index in range(count))


def _unreadable(data: Any) -> ObjectiveError:
    return ObjectiveError(
        f"data of type {type(data).__name__} cannot be read: pass (inputs, targets), a DataLoader, a Dataset or batches"
    )


def reading() -> Any:
    """The state in which data are read: a loader draws its order from a global generator, which stays as it was."""
    return generators_kept(accelerators())
