"""The optimizer of a checkpoint, made again from what was stored of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from landscape.checkpoints import Checkpoint
from landscape.checkpoints.compatibility import load_state, optimizer_state_for
from landscape.checkpoints.writer import named_tensors
from landscape.edge_of_stability.settings import stored_state
from landscape.errors import CheckpointError, LandscapeError, UsageError, in_one_line
from landscape.optimizers import OPTIMIZERS, make_optimizer

#: ``make(parameters) -> Optimizer``, for a class that is not found by its name.
Make = Callable[[list[Any]], Optimizer]


def rebuilt(checkpoint: Checkpoint, model: nn.Module, make: Make | None = None) -> Optimizer:
    """The checkpoint's optimizer over the parameters of a model, with its settings and state.

    Built by ``make``; else by the name and options in the checkpoint's settings, where our training wrote it; else as
    the class of torch.optim that has the stored name.

    Raises
    ------
    CheckpointError
        If the checkpoint has no optimizer, or that of other parameters.
    UsageError
        If its class is known by none of these ways.
    """
    saved = stored_state(checkpoint)
    groups = _groups(checkpoint, saved, named_tensors(model))
    optimizer = _built(checkpoint, saved, groups, make)
    state = optimizer_state_for(checkpoint.path, saved, optimizer, model)
    load_state(checkpoint.path, optimizer, state, "optimizer")
    return optimizer


def _groups(
    checkpoint: Checkpoint, saved: Mapping[str, Any], named: Mapping[str, nn.Parameter]
) -> list[dict[str, Any]]:
    missing = [name for group in saved["param_groups"] for name in group["params"] if name not in named]
    if missing:
        raise CheckpointError(
            f"{checkpoint.path} holds the optimizer of parameters that the model does not have: "
            f"{', '.join(missing[:6])}"
        )
    return [{"params": [named[name] for name in group["params"]]} for group in saved["param_groups"]]


def _built(
    checkpoint: Checkpoint, saved: Mapping[str, Any], groups: list[dict[str, Any]], make: Make | None
) -> Optimizer:
    kind, rate = str(saved["class"]), float(saved["param_groups"][0].get("lr", 1e-3))
    flat = [parameter for group in groups for parameter in group["params"]]
    if make is not None:
        return make(flat if len(groups) == 1 else groups)
    name, options = checkpoint.config.get("optimizer"), checkpoint.config.get("options")
    if name in OPTIMIZERS and isinstance(options, Mapping):
        found = make_optimizer(name, flat, lr=rate or 1.0, **options)
        if type(found).__name__ == kind:
            return found
    known = getattr(torch.optim, kind, None)
    if isinstance(known, type) and issubclass(known, Optimizer):
        try:
            return known(groups, lr=rate)  # type: ignore[call-arg]
        except LandscapeError:
            raise
        except Exception as error:
            raise UsageError(
                f"torch.optim.{kind} cannot be built again ({in_one_line(error)}); pass make=lambda parameters: "
                f"{kind}(parameters, …)"
            ) from error
    raise UsageError(
        f"{checkpoint.path} holds the state of {kind}, which is no optimizer of torch.optim; pass "
        f"make=lambda parameters: {kind}(parameters, lr=…), with the settings that its groups do not store"
    )
