"""The few examples on which a training is watched: drawn once, from whatever the data are, and nothing else moves."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from landscape import distributed
from landscape.device import accelerators, generators_kept
from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.objective.batches import Batches, count_examples


def fixed_subset(
    model: nn.Module | Objective, loss_fn: Any, data: Any, *, size: int, seed: int, check: bool
) -> Objective:
    """The loss on ``size`` examples, drawn at random where they can be counted, else the first ones.

    ``drawn_from`` of what comes back is how many there were, where that is known.
    """
    _refuse_shards(model)
    if isinstance(model, Objective):
        if loss_fn is not None or data is not None:
            raise UsageError("an Objective has its loss and data; leave loss_fn and data out, or pass the model")
        return _of_objective(model, size, seed)
    if loss_fn is None or data is None:
        raise UsageError("pass an Objective, or model, loss_fn and data")
    with undisturbed():
        batches, whole = _few(data, size, seed)
    objective = Objective(model, loss_fn, batches, check=check)
    objective.drawn_from = objective.num_examples if whole is None else whole
    return objective


def _refuse_shards(model: Any) -> None:
    given = model.module.model if isinstance(model, Objective) else distributed.unwrapped(model)
    copied = isinstance(model, Objective) and distributed.origin_of(given) is not None
    if copied or (isinstance(given, nn.Module) and distributed.is_in_shards(given)):
        raise UsageError(
            "the parameters are in shards, and a monitor, which measures by itself, cannot follow them. Let all ranks "
            "make an Objective of the model now and then, and measure together; or save checkpoints by save_checkpoint"
        )


def few_examples(data: Any, size: int, seed: int) -> tuple[list[Any], int | None]:
    """Batches of at most ``size`` examples and how many there are in all (None: not known); no generator is moved."""
    with undisturbed():
        return _few(data, size, seed)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Reading data may draw: loaders an order, transforms anything. All generators end where they began."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (the caller's own, put back)
    with generators_kept(accelerators()):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def _drawn(whole: int, size: int, seed: int) -> np.ndarray:
    """Numbers of the examples, in the order of the data."""
    if size >= whole:
        return np.arange(whole)
    return np.sort(np.random.default_rng(seed).choice(whole, size, replace=False))


def _of_objective(objective: Objective, size: int, seed: int) -> Objective:
    if size >= objective.num_examples:
        return objective
    if objective.batches.joined is not None and not objective.interacting:
        return objective.subset(_drawn(objective.num_examples, size, seed))
    part = objective.on_batches(_first(objective.batches.batches, size))
    part.drawn_from = objective.num_examples
    return part


def _few(data: Any, size: int, seed: int) -> tuple[list[Any], int | None]:
    if isinstance(data, DataLoader):
        if (data.batch_size is None and data.batch_sampler is None) or isinstance(data.dataset, IterableDataset):
            return _first(data, size), None
        return _collated(data.dataset, data.collate_fn, size, seed)
    if isinstance(data, IterableDataset):
        return _first(DataLoader(data, batch_size=size), size), None
    if isinstance(data, Dataset):
        return _collated(data, default_collate, size, seed)
    if isinstance(data, Iterator):
        return _first(data, size), None
    batches = Batches(data, weight=lambda batch: 1.0)
    if batches.joined is None:
        return _first(batches.batches, size), None
    whole = batches.num_examples
    return [batches.pick(_drawn(whole, size, seed))], whole


def _collated(dataset: Any, collate: Callable[[list[Any]], Any], size: int, seed: int) -> tuple[list[Any], int | None]:
    whole = len(dataset)
    return [collate([dataset[int(i)] for i in _drawn(whole, size, seed)])], whole


def _first(batches: Any, size: int) -> list[Any]:
    """The first batches that hold at least so many examples together."""
    found: list[Any] = []
    held = 0
    for batch in batches:
        found.append(batch)
        held += count_examples(batch) or 1
        if held >= size:
            break
    return found


def describe_data(objective: Objective) -> str:
    """``32 of 1,257 examples``."""
    whole = objective.drawn_from
    return f"{objective.num_examples:,}" + (f" of {whole:,}" if whole > objective.num_examples else "") + " examples"


__all__: Sequence[str] = ("describe_data", "few_examples", "fixed_subset", "undisturbed")
