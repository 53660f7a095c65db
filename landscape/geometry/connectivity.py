"""What lies between two minima."""

from __future__ import annotations

import numpy as np
import torch

from landscape.errors import UsageError
from landscape.geometry.slices import Progress
from landscape.objective import Objective, Vector
from landscape.results import LineSlice


def interpolate(
    objective: Objective, theta_a: Vector, theta_b: Vector, *, points: int = 51, progress: Progress | None = None
) -> LineSlice:
    """The loss at ``(1 − t)·θ_a + t·θ_b`` for equally spaced t from 0 to 1, with its ``barrier``.

    Parameters
    ----------
    objective : Objective
    theta_a, theta_b : (P,) tensors or arrays
        The ends, evaluated exactly as given.
    points : int
        At least 3, ends included.
    progress : callable, optional
        Called as ``progress(done, points)`` after each point.

    Returns
    -------
    LineSlice
        ``kind="interpolation"``; ``step_norm`` is ``‖θ_b − θ_a‖``. Its ``barrier``,
        ``max_t L(t) − [(1 − t)·L(0) + t·L(1)]``, is a maximum over the points evaluated, so a lower bound of the one
        over the whole line. NaN stays NaN. A line that ends at two minima has no centre, so no curvature is checked.

    Raises
    ------
    UsageError
        If an end has another shape than θ, or there are fewer than 3 points.

    Notes
    -----
    Costs ``points`` losses.

    References
    ----------
    Frankle, Dziugaite, Roy, Carbin (2020), Linear Mode Connectivity and the Lottery Ticket Hypothesis, ICML, §2.
    Entezari, Sedghi, Saukh, Neyshabur (2022), The Role of Permutation Invariance in Linear Mode Connectivity of Neural
    Networks, ICLR, §2, for the barrier against the chord.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> data = torch.ones(4, 1), torch.ones(4, 1)
    >>> objective = Objective(model, lambda f, t: ((f**2 - t) ** 2).mean(), data)
    >>> round(interpolate(objective, torch.tensor([-1.0]), torch.tensor([1.0])).barrier, 6)
    1.0
    """
    if int(points) != points or points < 3:
        raise UsageError(f"points={points!r} must be a whole number of at least 3: both ends and something between")
    start, end = (objective._point(theta) for theta in (theta_a, theta_b))
    t = np.arange(points) / (int(points) - 1)
    loss = np.empty(len(t))
    for index, share in enumerate(t.tolist()):
        # At 0 and 1 this is the end itself, to the last bit.
        loss[index] = objective.loss((1 - share) * start + share * end)
        if progress is not None:
            progress(index + 1, len(t))
    length = float(torch.linalg.vector_norm((end - start).cpu().double()))
    return LineSlice(t=t, loss=loss, direction="from one minimum to the other", step_norm=length, kind="interpolation")
