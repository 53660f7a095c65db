"""What lies between two minima."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landscape.checks import check_count, check_share
from landscape.device import full_precision
from landscape.geometry.endpoints import Between, between
from landscape.geometry.metrics import Metrics, Readings
from landscape.geometry.surfaces.evaluate import slice_values
from landscape.geometry.surfaces.memory import remembering
from landscape.jobs import Executor
from landscape.objective import Objective, Vector
from landscape.progress import Progress
from landscape.results import LineSlice


@full_precision()
def interpolate(
    objective: Objective,
    *ends: Vector | Objective,
    points: int = 51,
    batch_statistics: str | None = None,
    metrics: Metrics = None,
    tol: float | None = None,
    resume: str | Path | None = None,
    executor: Executor | str | None = None,
    progress: Progress | None = None,
) -> LineSlice:
    """The loss at ``(1 − t)·θ_a + t·θ_b`` for equally spaced t from 0 to 1, with its ``barrier``.

    ``interpolate(objective_a, objective_b)`` joins two models, each with its own buffers;
    ``interpolate(objective, theta_a, theta_b)`` two points of one model in which θ is all that training moves.

    Parameters
    ----------
    objective : Objective
        Whose loss it is; the first end, too, where only one is given.
    ends : Objectives, or (P,) tensors or arrays
        Evaluated exactly as given. Objectives must be of the same data and loss, each of a model of its own. A vector
        that is the objective's own θ stands for its model.
    points : int
        At least 3, ends included: as many losses.
    batch_statistics : {"interpolate", "recompute", "fixed"}, optional
        ``"interpolate"``, the default for two objectives: running statistics, and other buffers that differ, move
        linearly, so that both ends are the two models as they are. ``"recompute"``: at each point, ends included, those
        that the data have there, by more passes over the data. ``"fixed"``: everything but θ stays as in ``objective``.
        Left out for vectors, a model in which training moves more than θ is refused. What each does to the barrier:
        docs/accuracy.md.
    metrics : mapping from name to metric, or ("accuracy",)
        What else is evaluated, as in :func:`evaluate_line`; of the network that the loss sees at that point, its
        statistics included, also where a metric is an objective of other data.
    tol : float, optional
        Largest error of the loss that is wanted, of its range on the line: then the network is evaluated at few points
        and its outputs interpolated, as in :func:`evaluate_line`. Left out, and where buffers move too, at every point.
    resume, executor
        As in :func:`evaluate_line`.
    progress : callable, optional
        Called as ``progress(done, points)`` after each point.

    Returns
    -------
    LineSlice
        ``kind="interpolation"``; ``step_norm`` is ``‖θ_b − θ_a‖``. Its ``barrier``,
        ``max_t L(t) − [(1 − t)·L(0) + t·L(1)]``, is a maximum over the points of the grid, so a lower bound of the one
        over the whole line, but for ``error``. NaN stays NaN. No curvature is checked.

    Raises
    ------
    UsageError
        If an end has another shape than θ, there are fewer than 3 points, or an end would not be the model it comes
        from: buffers unknown from a vector; frozen parameters, or whole numbers on which the loss depends, that differ.

    References
    ----------
    Frankle, Dziugaite, Roy, Carbin (2020), Linear Mode Connectivity and the Lottery Ticket Hypothesis, ICML, §2.
    Entezari, Sedghi, Saukh, Neyshabur (2022), The Role of Permutation Invariance in Linear Mode Connectivity of Neural
    Networks, ICLR, §2, for the barrier against the chord. Izmailov et al. (2018), Averaging Weights Leads to Wider
    Optima, UAI, and Jordan et al. (2023), REPAIR, ICLR, for recomputed statistics.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> data = torch.ones(4, 1), torch.ones(4, 1)
    >>> objective = Objective(model, lambda f, t: ((f**2 - t) ** 2).mean(), data)
    >>> round(interpolate(objective, torch.tensor([-1.0]), torch.tensor([1.0])).barrier, 6)
    1.0
    """
    points = check_count("points", points, least=3, hint="both ends and something between")
    path = between(objective, ends, batch_statistics)
    steps = np.arange(points) / (points - 1)
    readings = Readings(objective, metrics)
    # From −1 to 1, so that its ends are nodes and both models are evaluated as they are.
    x = (np.arange(points) - np.arange(points)[::-1]) / (points - 1)

    def question() -> tuple[Any, ...]:
        return path.objective, path.a, path.b, path.batch_statistics, list(path.moving)

    with remembering(resume, question, executor) as memory:
        found = slice_values(
            readings, partial(_on_path, path), (np.zeros(1), x), (1.0, 1.0),
            exact=((0.0, -1.0), (0.0, 1.0)), progress=progress,
            moving=bool(path.moving[0]) or path.batch_statistics == "recompute", memory=memory,
            tol=tol if tol is None else check_share("tol", tol, hint="0.01, not 1 %"),
        )  # fmt: skip
    values = found.values[:, 0]
    return LineSlice(
        t=steps,
        loss=values[0],
        direction="from one minimum to the other",
        step_norm=float(torch.linalg.vector_norm((path.b - path.a).cpu().double())),
        kind="interpolation",
        batch_statistics=path.batch_statistics,
        **readings.fields(values[1:]),
        **found.fields,
    )


def _on_path(path: Between, _: float, right: float) -> tuple[Objective, torch.Tensor]:
    return path.at((1 - right) / 2, (1 + right) / 2)
