"""Weights as they evaluate: averages kept beside a model, and optimizers that train at another point than they mean."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from landscape.errors import UsageError


def averaged_model(average: Any) -> nn.Module:
    """The model inside an ``AveragedModel``, or inside whatever keeps its averages in ``.module``; a model itself.

    Raises
    ------
    UsageError
        If it is no module.
    """
    inside = getattr(average, "module", None)
    found = inside if isinstance(inside, nn.Module) else average
    if not isinstance(found, nn.Module):
        raise UsageError(
            f"ema is a {type(average).__name__}; pass a module with the averaged weights, such as "
            "torch.optim.swa_utils.AveragedModel"
        )
    return found


def stands_in_training_mode(optimizer: Any) -> bool:
    """Whether a schedule-free optimizer has the parameters where gradients are taken, not at the average."""
    groups = getattr(optimizer, "param_groups", None) or ()
    return any(bool(group.get("train_mode", False)) for group in groups)


@contextmanager
def evaluation_point(optimizer: Any) -> Iterator[None]:
    """Within the block the parameters stand where a schedule-free optimizer evaluates; then where they stood before.

    Its own way back is arithmetic, and rounds; so the parameters are kept and put back, to the last bit.

    Warns
    -----
    RuntimeWarning
        If it stands in its training mode and has no ``eval()``.
    """
    if not stands_in_training_mode(optimizer):
        yield
        return
    if not (callable(getattr(optimizer, "eval", None)) and callable(getattr(optimizer, "train", None))):
        warnings.warn(
            f"{type(optimizer).__name__} stands in its training mode and has no eval(): what is saved are the weights "
            "it takes gradients at, not those it means. Put it into its evaluation mode before writer.step()",
            RuntimeWarning,
            stacklevel=5,
        )
        yield
        return
    groups = optimizer.param_groups
    kept = [[p.detach().clone() for p in group["params"]] for group in groups]
    settings = [{key: value for key, value in group.items() if key != "params"} for group in groups]
    try:
        optimizer.eval()
        yield
    finally:
        with torch.no_grad():
            for group, tensors, setting in zip(groups, kept, settings, strict=True):
                for parameter, tensor in zip(group["params"], tensors, strict=True):
                    parameter.copy_(tensor)
                group.update(setting)
