"""Mini-batches of the data of an objective, drawn without replacement."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from landscape.geometry.batch_statistics import layers
from landscape.objective import Objective


class Drawn(NamedTuple):
    """One batch.

    Attributes
    ----------
    objective : Objective
        The loss on it.
    factor : float
        By which that loss is multiplied, so that the mean over all batches is the loss on all data, however unevenly
        the batches count in it.
    share : float
        Of the examples.
    """

    objective: Objective
    factor: float
    share: float


def batches(objective: Objective, size: int | None, rng: np.random.Generator) -> Iterator[Drawn]:
    """Batches of about ``size`` examples, without end: the data are shuffled and cut anew once all were there.

    All data each time where ``size`` is None or not below N, and where the question is one of all data as one batch.
    Batches that nothing cuts come whole, in random order.
    """
    whole = size is None or size >= objective.num_examples
    pieces = [] if objective.can_pick else objective.batches.cut(None)
    if whole or objective.mode == "train" or (not objective.can_pick and len(pieces) < 2):
        while True:
            yield Drawn(objective, 1.0, 1.0)
    assert size is not None
    # Each layer of a normalisation takes its statistics from the batch, which then is one chunk.
    at_once = bool(layers(objective.module.model))
    while True:
        epoch = list(_shuffled(objective, size, pieces, rng))
        for batch in epoch:
            picked = objective.batches.pick(batch) if objective.can_pick else batch
            if objective.weighs_examples and objective.weigh(picked) <= 0:
                continue  # nothing in it counts
            part = objective.at_once(picked) if at_once else objective.on_batches([picked])
            factor = part.total_weight * len(epoch) / objective.total_weight
            yield Drawn(part, factor, part.num_examples / objective.num_examples)


def _shuffled(objective: Objective, size: int, pieces: list[Any], rng: np.random.Generator) -> Iterator[Any]:
    """One epoch: numbers of examples, in parts that differ by one at most, or the pieces as they came."""
    if objective.can_pick:
        yield from np.array_split(rng.permutation(objective.num_examples), math.ceil(objective.num_examples / size))
    else:
        yield from (pieces[i] for i in rng.permutation(len(pieces)))
