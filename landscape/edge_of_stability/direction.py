"""An update as a vector to look along."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from landscape.device import place_of_float64, widened
from landscape.errors import UsageError
from landscape.objective import Objective, Vector
from landscape.results import OptimizerUpdate


def direction_of(objective: Objective, update: OptimizerUpdate | Vector, *, decay: bool) -> tuple[Tensor, float]:
    """u (P,) in float64 on the objective's device, with or without decoupled weight decay, and its length.

    Raises
    ------
    UsageError
        If it does not fit, is zero, or is not finite.
    """
    if isinstance(update, OptimizerUpdate):
        update = update.vector if decay else update.without_decay
    u = widened(torch.as_tensor(update).detach()).to(place_of_float64(objective.device))
    if u.shape != (objective.layout.size,):
        raise UsageError(f"an update of shape {tuple(u.shape)} does not fit: θ has shape ({objective.layout.size},)")
    length = float(torch.linalg.vector_norm(u))
    if not math.isfinite(length) or length == 0:
        raise UsageError(f"the update has length {length:g}: there is no way to look along")
    return u, length
