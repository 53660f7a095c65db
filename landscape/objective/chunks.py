"""How many examples to evaluate at a time: as many as the caches hold what their backward pass keeps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from landscape import hvp
from landscape.objective.batches import count_examples, take, unpack

if TYPE_CHECKING:
    from landscape.objective import Objective

AUTO_CHUNK = 4096
DOUBLE_CHUNK = 32  # convolutions in float64 have no fast kernel, and run up to three times as fast in small ones
AUTO_CHUNK_BYTES = 16 * 2**20  # what a chunk keeps for the backward pass; beyond the caches it gets up to twice as slow


def even(count: int, most: int) -> int:
    """The chunk size that cuts ``count`` examples into as many chunks as ``most`` would, without a short last one."""
    return math.ceil(count / math.ceil(count / most))


def automatic(objective: Objective) -> int:
    """The chunk size that fits this model and these data."""
    few, more = (_saved_bytes(objective, count) for count in (2, 6))
    per_example = (more - few) / 4  # the difference leaves out the parameters, which every chunk keeps
    most = max(1, min(AUTO_CHUNK, int(AUTO_CHUNK_BYTES // max(per_example, 1))))
    return even(objective.num_examples, most)


def _saved_bytes(objective: Objective, count: int) -> int:
    """What the forward pass on ``count`` examples keeps; the first ones, repeated where there are too few.

    Outputs that the loss does without count too: matrices through the outputs hold them.
    """
    few = objective.first_batch(count)
    batch = take(few, torch.arange(count) % (count_examples(few) or 1))
    parts = objective.on_batches([batch]).parts()
    unseen = objective.module.unseen_bytes(unpack(batch), objective.dtype)
    return hvp.count_saved_bytes(lambda: parts.part_with_graph(0)) + unseen
