"""What neurons give on the same data in both networks, as blocks to be matched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.device import widened
from landscape.errors import ObjectiveError
from landscape.geometry.alignment.axes import leaves
from landscape.geometry.alignment.blocks import blocks_of
from landscape.geometry.alignment.calls import Facts, Tap
from landscape.geometry.alignment.matching import Pair
from landscape.geometry.alignment.network import Network
from landscape.geometry.alignment.symmetry import Symmetry
from landscape.geometry.alignment.tracing import arguments_of
from landscape.hvp.modes import OperationMode

#: Values of a neuron, over examples and places, that are compared.
MOST_VALUES = 16_384


class _Listening(OperationMode):
    """Keeps some arguments of operations, known by their number in the pass."""

    def __init__(self, taps: Sequence[Tap]) -> None:
        super().__init__()
        self._wanted: dict[int, list[str]] = {}
        for tap in taps:
            self._wanted.setdefault(tap.operation, []).append(tap.argument)
        self.heard: dict[tuple[int, str], Tensor] = {}
        self._number = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        self._number += 1
        for argument in self._wanted.get(self._number, ()):
            found = arguments_of(func, args, kwargs).get(argument)
            if isinstance(found, Tensor):
                self.heard[self._number, argument] = found.clone()
        return func(*args, **kwargs)


def activation_pairs(
    network: Network,
    symmetry: Symmetry,
    facts: Facts,
    ends: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    *,
    centred: bool,
    seed: int,
) -> list[Pair]:
    """For each tensor that a layer passes on, the neurons of both networks against examples and places.

    Parameters
    ----------
    centred : bool
        Each neuron's mean is taken away and it is divided by its spread, so that products are correlations.
    seed : int
        Where a neuron has more than ``MOST_VALUES`` of them, so many are drawn, the same of both networks.
    """
    taps = [
        tap for tap in facts.taps if any(leaf.number in symmetry.sizes for dim in tap.mixed for leaf in leaves(dim))
    ]
    heard = []
    for named in ends:
        listening = _Listening(taps)
        network.run_in(listening, named)
        heard.append(listening.heard)
    rng = np.random.default_rng(seed)
    found: list[Pair] = []
    for tap in taps:
        key = tap.operation, tap.argument
        if not all(key in one and one[key].shape == heard[0][key].shape for one in heard):
            raise ObjectiveError(
                "the two networks do not run through the same operations on these data, so their activations cannot be "
                "compared; use method='weights'"
            )
        for block in blocks_of(tap.dims):
            if any(axis in symmetry.sizes for axis in block.axes):
                parts = [widened(block.of(one[key].contiguous())).nan_to_num(0, 0, 0).cpu() for one in heard]
                found.append(_pair(parts, block.axes, symmetry, rng, centred=centred))
    return found


def _pair(
    parts: Sequence[Tensor],
    axes: Sequence[int],
    symmetry: Symmetry,
    rng: np.random.Generator,
    *,
    centred: bool,
) -> Pair:
    """Neurons in front, all else as samples behind them."""
    neurons = [place for place, axis in enumerate(axes) if axis in symmetry.sizes or _decides(axis, axes, symmetry)]
    others = [place for place in range(len(axes)) if place not in neurons]
    sizes = [parts[0].shape[place] for place in neurons]
    rows = [part.permute([*neurons, *others]).reshape(*sizes, -1) for part in parts]
    count = rows[0].shape[-1]
    if count > MOST_VALUES:
        drawn = torch.from_numpy(np.sort(rng.choice(count, MOST_VALUES, replace=False)))
        rows = [row.index_select(-1, drawn) for row in rows]
    if centred:
        rows = [row - row.mean(-1, keepdim=True) for row in rows]
        rows = [row / row.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(row.dtype).tiny) for row in rows]
    return Pair(rows[0], rows[1], (*(axes[place] for place in neurons), None))


def _decides(axis: int, axes: Sequence[int], symmetry: Symmetry) -> bool:
    """Whether it is no group but decides how one of these is permuted."""
    return any(axis in symmetry.over.get(one, ()) for one in axes)
