"""Models with their neurons in the order that was found, running statistics included."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from landscape.errors import UsageError
from landscape.geometry.endpoints import constants_of
from landscape.objective import Objective
from landscape.params import ParamLayout
from landscape.results.alignment import Alignment

Network = TypeVar("Network", nn.Module, Objective)


def permuted_copy(of: Network, alignment: Alignment) -> Network:
    """A copy of a model with its neurons permuted, or the objective of such a copy.

    The buffers that belong to θ, such as running statistics, are permuted with it, so that
    ``interpolate(objective_a, permuted_copy(objective_b, alignment))`` is the line between the two models.

    Parameters
    ----------
    of : nn.Module or Objective
        The second model of :func:`align`, which stays as it is.
    alignment : Alignment

    Raises
    ------
    UsageError
        If it does not have the parameters and buffers of the alignment.
    """
    if isinstance(of, Objective):
        twin = of.with_dtype(of.dtype)
        twin.module = copy.deepcopy(of.module)
        held = constants_of(of)
        _permute(twin.module.model, of.layout, alignment)
        missing = [name for name in alignment.buffers if name not in held]
        _check(not missing, f"it has no buffer {missing[:1]}")
        return twin.with_constants(_buffers({name: held[name] for name in alignment.buffers}, alignment))
    twin_model = copy.deepcopy(of)
    _permute(twin_model, ParamLayout.of(twin_model, list(alignment.tensors)), alignment)
    return twin_model


@torch.no_grad()
def _permute(model: nn.Module, layout: ParamLayout, alignment: Alignment) -> None:
    _check(layout.names == alignment.tensors, "its parameters are other ones")
    _check(layout.size == len(alignment.order), f"θ has {layout.size} entries, not {len(alignment.order)}")
    named = dict(model.named_parameters())
    flat = layout.flatten(named)
    for name, values in layout.unflatten(flat[torch.from_numpy(alignment.order).to(flat.device)]).items():
        named[name].copy_(values)
    buffers = dict(model.named_buffers())
    _check(all(name in buffers for name in alignment.buffers), "its buffers are other ones")
    for name, values in _buffers({name: buffers[name] for name in alignment.buffers}, alignment).items():
        buffers[name].copy_(values)


def _buffers(named: dict[str, Tensor], alignment: Alignment) -> dict[str, Tensor]:
    orders = torch.from_numpy(alignment.buffer_order).split(alignment.buffer_sizes.tolist()) if named else ()
    found = {}
    for (name, tensor), order in zip(named.items(), orders, strict=True):
        _check(tensor.numel() == len(order), f"buffer {name!r} has {tensor.numel()} entries, not {len(order)}")
        found[name] = tensor.reshape(-1)[order.to(tensor.device)].reshape(tensor.shape)
    return found


def _check(fits: bool, seen: str) -> None:
    if not fits:
        raise UsageError(f"this model is not the one that was aligned: {seen}")
