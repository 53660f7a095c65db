"""How many examples to evaluate at a time, and how many to try things on: what they keep for the backward pass says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from landscape import hvp
from landscape.device import total_bytes
from landscape.objective.batches import cast, count_examples, take, unpack

if TYPE_CHECKING:
    from landscape.objective import Objective

AUTO_CHUNK = 4096
DOUBLE_CHUNK = 32  # convolutions in float64 have no fast kernel, and run up to three times as fast in small ones
#: What a chunk keeps for the backward pass. Beyond the caches it gets up to twice as slow; but each chunk also adds a
#: gradient as long as θ to a sum, some passes through memory, so it keeps a few times as much as θ, up to a limit.
CACHE_BYTES, TIMES_THETA, MOST_BYTES = 16 * 2**20, 4, 512 * 2**20
#: On a device: this share of its memory, since a product keeps several times what the backward pass does.
OF_A_DEVICE = 1 / 32
#: Examples that things are tried on; fewer, at least ``LEAST``, where these would keep more than ``FEW_BYTES``.
FEW, LEAST, FEW_BYTES = 12, 4, 64 * 2**20


@dataclass(frozen=True)
class Scale:
    """What was seen on the first examples.

    Attributes
    ----------
    per_example : float or None
        Bytes that an example keeps for the backward pass; None where examples cannot be cut, or nothing was evaluated.
    few : int
        Examples that things are tried on.
    writes : bool
        Whether model or loss change the tensors of their batch in place, as one may that a loader has just made.
    """

    per_example: float | None
    few: int = FEW
    writes: bool = False


def size_up(objective: Objective) -> Scale:
    """Evaluate the loss on 2 and on 12 examples, or 4 where an example is large; what cannot be evaluated says so when
    it is evaluated in earnest."""
    try:
        if objective.batches.joined is None or objective.interacting:
            return Scale(None, writes=_evaluated(objective, objective.first_batch(FEW), count_bytes=False)[1])
        return _measured(objective)
    except Exception:
        return Scale(None)


def automatic(objective: Objective, scale: Scale) -> int:
    """The chunk size that fits this model and these data."""
    per_example = scale.per_example
    if per_example is None:
        per_example = _measured(objective).per_example or 0.0
    gradient = objective.layout.size * torch.empty((), dtype=objective.dtype).element_size()
    least, most = CACHE_BYTES, MOST_BYTES
    if (memory := total_bytes(objective.device)) is not None:  # no caches to stay in, and a launch for each operation
        least = most = int(OF_A_DEVICE * memory)
    wanted = min(max(least, TIMES_THETA * gradient), most)
    return even(objective.num_examples, max(1, min(AUTO_CHUNK, int(wanted // max(per_example, 1)))))


def in_double(chunk: int, model: nn.Module, device: torch.device) -> int:
    """The chunk size in float64 of what is evaluated ``chunk`` examples at a time in float32: as many bytes."""
    if device.type != "cpu":
        return max(1, chunk // 2)
    filters = any(isinstance(part, nn.modules.conv._ConvNd) for part in model.modules())
    filters = filters or any(p.ndim > 3 for p in model.parameters())
    return min(chunk, DOUBLE_CHUNK) if filters else max(1, chunk // 2)


def even(count: int, most: int) -> int:
    """The chunk size that cuts ``count`` examples into as many chunks as ``most`` would, without a short last one."""
    return math.ceil(count / math.ceil(count / most))


def _measured(objective: Objective) -> Scale:
    two, wrote = _evaluated(objective, _first(objective, 2))
    count = FEW if two / 2 <= FEW_BYTES / FEW else LEAST
    more, wrote_more = _evaluated(objective, _first(objective, count))
    per_example = max(more - two, 0) / (count - 2)  # the difference leaves out the parameters, which every chunk keeps
    few = max(LEAST, min(FEW, int(FEW_BYTES // max(per_example, 1))))
    return Scale(per_example, few, wrote or wrote_more)


def _first(objective: Objective, count: int) -> object:
    """The first examples, repeated where there are too few."""
    few = objective.first_batch(count)
    return take(few, torch.arange(count) % (count_examples(few) or 1))


def _evaluated(objective: Objective, batch: object, *, count_bytes: bool = True) -> tuple[int, bool]:
    """What the forward pass on a copy of these examples keeps, and whether it wrote into them.

    Outputs that the loss does without count too: matrices through the outputs hold them.
    """
    few = cast(batch, objective.dtype, objective.device, copy=True)
    leaves = [leaf for leaf in pytree.tree_leaves(few) if isinstance(leaf, Tensor)]
    before = [leaf._version for leaf in leaves]
    alone, kept = objective.at_once(few), 0
    if count_bytes:
        parts = alone.parts()
        unseen = objective.module.unseen_bytes(unpack(batch), objective.dtype)
        kept = hvp.count_saved_bytes(lambda: parts.part_with_graph(0)) + unseen
    else:
        alone.loss()
    return kept, any(leaf._version != version for leaf, version in zip(leaves, before, strict=True))
