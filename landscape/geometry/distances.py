"""How far a point is from the start and from the end of a training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.device import widened
from landscape.geometry.endpoints import end_as_given
from landscape.objective import Objective, Vector
from landscape.results.base import Array
from landscape.results.distances import Distances


def distances(objective: Objective, *, start: Any, end: Any, theta: Vector | None = None) -> Distances:
    r"""‖θ − θ₀‖ and ‖θ − θ_T‖, whole and by tensors.

    Parameters
    ----------
    objective : Objective
        Says what is part of θ, and in which dtype.
    start, end : Checkpoint, Objective, Module, or (P,) tensor or array
        θ₀ and θ_T.
    theta : (P,) tensor or array, optional
        Left out, that of the objective.

    Returns
    -------
    Distances
        Differences of what is given, in the objective's dtype, summed in float64: exact but for that.

    Raises
    ------
    UsageError
        If one of them is of another model, or of another length than P.

    Notes
    -----
    Costs no loss, gradient or product. Buffers are no part of it, and neither are symmetries: two networks that
    compute the same may lie far apart. That :math:`‖θ - θ_0‖` grows like a logarithm of the step while the training is
    at its beginning is what Hoffer, Hubara, Soudry (2017), NeurIPS, found.

    Examples
    --------
    >>> model = torch.nn.Linear(2, 1)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (torch.ones(4, 2), torch.zeros(4, 1)))
    >>> found = distances(objective, start=torch.zeros(3), end=torch.ones(3), theta=torch.tensor([1.0, 1.0, 0.0]))
    >>> found.names, found.from_start.round(3).tolist(), found.distance_from_end
    (('weight', 'bias'), [1.414, 0.0], 1.0)
    """
    here = objective.point(objective.theta if theta is None else theta)
    first = objective.point(end_as_given(objective, start, called="start").theta)
    last = objective.point(end_as_given(objective, end, called="end").theta)
    return Distances(
        names=tuple(objective.layout.names),
        sizes=np.array(objective.layout.sizes, dtype=np.int64),
        from_start=_by_tensor(objective, widened(here) - widened(first)),
        from_end=_by_tensor(objective, widened(here) - widened(last)),
        norms_at_start=_by_tensor(objective, widened(first)),
        start_step=_step_of(start),
        end_step=_step_of(end),
    )


def _by_tensor(objective: Objective, vector: Tensor) -> Array:
    """(K,): the norm of each tensor's part."""
    parts = vector.split(list(objective.layout.sizes))
    return np.array([float(torch.linalg.vector_norm(part)) for part in parts], dtype=float)


def _step_of(given: Any) -> int:
    step = getattr(given, "step", None)
    return int(step) if isinstance(step, int) else -1
