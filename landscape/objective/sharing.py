"""What of the data this rank evaluates, where several measure one question: a run of chunks of about equal weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from landscape import distributed
from landscape.distributed import Group, Sums
from landscape.objective.batches import cast

if TYPE_CHECKING:
    from landscape.objective import Objective

#: A part of the data of fewer examples for each rank is evaluated whole by every rank: an exchange costs more.
LEAST = 64


class Placed(Sequence[Any]):
    """Chunks on a device and in a dtype; where they are not needed, as soon as somebody asks."""

    def __init__(self, pieces: Sequence[Any], dtype: torch.dtype, device: torch.device, *, at_once: bool) -> None:
        self._pieces, self._dtype, self._device = pieces, dtype, device
        self._placed: list[Any] = [cast(piece, dtype, device) if at_once else None for piece in pieces]

    def __len__(self) -> int:
        return len(self._pieces)

    def __getitem__(self, index: Any) -> Any:
        if self._placed[index] is None:
            self._placed[index] = cast(self._pieces[index], self._dtype, self._device)
        return self._placed[index]


@dataclass
class Own:
    """The part of the data that this rank evaluates.

    Attributes
    ----------
    chunks : sequence
        None where there are fewer of them than ranks, and nothing can be cut.
    shares : list of float
        Of each chunk in this part; they sum to 1.
    sums : Sums
        Adds up what the ranks make of their parts.
    losses_seen : list of float or None
        The loss of each chunk, where it was once made.
    """

    chunks: Sequence[Any]
    shares: list[float]
    sums: Sums
    losses_seen: list[float] | None = None


def own_part(objective: Objective, group: Group, pieces: Sequence[Any]) -> Own:
    """This rank's run of the chunks with a weight; cut finer, where there are fewer chunks than ranks."""
    if (size := _finer(objective, group, len(pieces))) is not None:
        pieces = [piece for piece in objective.batches.cut(size) if objective.weigh(piece) > 0]
    weights = [objective.weigh(piece) for piece in pieces]
    edges = runs(weights, group.world)
    held, total = [sum(weights[first:last]) for first, last in edges], sum(weights)
    first, last = edges[group.rank]
    return Own(
        Placed(pieces[first:last], objective.dtype, objective.device, at_once=True),
        [weight / held[group.rank] for weight in weights[first:last]],
        Sums(group, held[group.rank] / total, max(held) / total),
    )


def runs(weights: Sequence[float], world: int) -> list[tuple[int, int]]:
    """Where the run of each rank begins and ends: of about equal weight, and none empty as long as there are enough.

    >>> runs([4.0, 4.0, 4.0, 1.0], 2)
    [(0, 2), (2, 4)]
    >>> runs([1.0], 3)
    [(0, 1), (1, 1), (1, 1)]
    """
    count, reached = len(weights), [0.0, *accumulate(weights)]
    edges = [0]
    for rank in range(1, world):
        wanted = reached[-1] * rank / world
        nearest = min(range(count + 1), key=lambda edge: abs(reached[edge] - wanted))
        most = count - (world - rank) if count >= world else min(rank, count)
        least = edges[-1] + 1 if count >= world else min(rank, count)
        edges.append(min(max(nearest, least), most))
    edges.append(count)
    return list(pairwise(edges))


def _finer(objective: Objective, group: Group, count: int) -> int | None:
    """The chunk size by which there is a chunk for every rank, where ``count`` chunks are too few; None where there are
    enough, or they must stay as they are."""
    is_cut = objective.chunk is not None and objective.batches.joined is not None and objective.mode == "eval"
    if count >= group.world or not is_cut or objective.interacting:
        return None
    return math.ceil(objective.num_examples / group.world)


def is_worth_it(num_examples: int) -> bool:
    """Whether a part of the data is shared out, too."""
    group = distributed.current()
    return group is not None and num_examples >= LEAST * group.world


def check_alike(objective: Objective) -> None:
    """Refuse ranks that were asked different questions, or whose arithmetic differs.

    Raises
    ------
    LandscapeError
    """
    if distributed.current() is None:
        return
    distributed.check_same(
        str(torch.get_num_threads()), "threads of torch",
        "Sums round differently with them: set OMP_NUM_THREADS, or torch.set_num_threads, alike on all ranks",
    )  # fmt: skip
    distributed.check_same(
        str([objective.num_examples, objective.total_weight, _bits(objective.batches.batches)]), "data",
        "Every rank is given all the data, in the same order, and landscape shares them out: leave out a "
        "DistributedSampler, and seed what shuffles them",
    )  # fmt: skip
    settings = [objective.layout.names, objective.layout.size, objective.chunk, objective.few, objective.interacting]
    settings += [objective.mode, objective.loss_name, objective.dtype, distributed.checksum([objective.theta])]
    distributed.check_same(
        str(settings), "parameters or settings",
        "Give all ranks the same model, as by loading one file or by the same seed, and the same options",
    )  # fmt: skip


def _bits(batches: Sequence[Any]) -> list[int]:
    """Sums of the bytes of the tensors, by which most data differ; their hash would take much longer."""
    leaves = [leaf for leaf in pytree.tree_leaves(list(batches)) if isinstance(leaf, Tensor)]
    plain = [leaf for leaf in leaves if leaf.layout == torch.strided and not leaf.is_nested and not leaf.is_quantized]
    return [_sum_of_bits(leaf) for leaf in plain]


def _sum_of_bits(leaf: Tensor) -> int:
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    real = torch.view_as_real(leaf.resolve_conj()) if leaf.is_complex() else leaf
    return int(real.detach().view(whole[real.element_size()]).sum(dtype=torch.int64))
