"""A curve of low loss between two minima."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from landscape.checks import check_choice, check_count, check_not_negative, check_positive, check_seed, check_share
from landscape.device import full_precision
from landscape.errors import UsageError
from landscape.geometry.connecting.training import OPTIMIZERS, RATES, Recipe, point_on, train
from landscape.geometry.endpoints import Between, between
from landscape.geometry.metrics import Metrics, Readings
from landscape.objective import Objective, Vector
from landscape.progress import Progress
from landscape.results import Connection
from landscape.results.connection import CURVES


@full_precision()
def connect(
    objective: Objective,
    *ends: Vector | Objective,
    curve: str = "bezier",
    bends: int = 1,
    steps: int = 1000,
    lr: float | None = None,
    optimizer: str = "adam",
    batch: int | None = 128,
    weight_decay: float = 0.0,
    tol: float | None = None,
    points: int = 31,
    metrics: Metrics = None,
    batch_statistics: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Connection:
    r"""Train a curve :math:`φ` from one minimum to another so that :math:`E_t L(φ(t))`, t uniform, is low.

    ``connect(objective_a, objective_b)`` joins two models, each with its own buffers; ``connect(objective, theta_a,
    theta_b)`` two points of one model. Both ends stay as they are; the bends begin on the straight line between them.

    Parameters
    ----------
    objective : Objective
        Whose loss it is; the first end, too, where only one is given.
    ends : Objectives, or (P,) tensors or arrays
        As for :func:`interpolate`.
    curve : {"bezier", "polygon"}
        A Bézier curve, for one bend w :math:`φ(t) = (1−t)^2 θ_a + 2t(1−t)\,w + t^2 θ_b`, or straight pieces from bend
        to bend.
    bends : int
        How many points between the ends are trained.
    steps : int
        Each takes a gradient of one batch at one t.
    lr : float, optional
        Constant for the first half of the steps, then falling to a hundredth. Left out, 0.01 for Adam, 0.05 for SGD.
    optimizer : {"adam", "sgd"}
        Of :mod:`torch.optim`; SGD with momentum 0.9.
    batch : int or None
        Examples of a step, drawn without replacement; None: all. Data that come as batches which nothing cuts are taken
        batch by batch.
    weight_decay : float
        Adds ``weight_decay/2·‖φ(t)‖²`` to the loss that is trained, and to nothing that is reported.
    tol : float, optional
        End early once no point of the grid lies above the higher end by more than this share of what the straight line
        rises; looked at before the first step and after each tenth of them.
    points : int
        At least 3, ends included, at which curve and line are evaluated; of a polygon as many more as it takes for each
        bend to be one of them, with a point between.
    metrics : mapping from name to metric, or ("accuracy",)
        What else is evaluated along the curve, as in :func:`evaluate_line`.
    batch_statistics : {"recompute", "fixed"}, optional
        Of running statistics of normalisation layers. ``"recompute"``, the default: at each point evaluated, ends
        included, those that the data have there, and in training those of the batch. Other buffers that differ between
        two models move on a straight line.
    seed : int
        Of the batches and of t.
    progress : callable, optional
        Called as ``progress(done, in all)`` after each step and each point.

    Returns
    -------
    Connection
        ``barrier`` and ``highest`` are over the points of the grid; ``barrier_bound`` and ``bound`` estimate how high
        the loss is at most between them. ``at(t)`` gives θ on the curve. That the loss is low on a curve is proved by
        the curve; that none was found proves nothing.

    Raises
    ------
    UsageError
        As :func:`interpolate`, and for settings out of range.

    Notes
    -----
    Costs ``steps`` gradients of a batch and ``2·points`` losses; where ``tol`` is given, a few losses at a look, and a
    grid of them at the last. Recomputed statistics take passes over the data for each loss beside. If the loss stops
    being finite, training ends with the bends before that, and ``reason`` says so.

    References
    ----------
    Garipov, Izmailov, Podoprikhin, Vetrov & Wilson (2018), Loss surfaces, mode connectivity, and fast ensembling of
    DNNs, NeurIPS, section 3, equation 2, for the loss, both curves, and the decay of the learning rate. Draxler,
    Veschgini, Salmhofer & Hamprecht (2018), Essentially no barriers in neural network energy landscape, ICML.

    Examples
    --------
    Around a ring of minima the straight line goes over its middle:

    >>> class Point(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.w = torch.nn.Parameter(torch.tensor([1.0, 0.1]))
    >>> ring = Objective.from_loss(Point(), lambda m, batch: (m.w.square().sum() - 1) ** 2, torch.ones(1), check=False)
    >>> found = connect(ring, torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 0.1]), bends=3, steps=200, lr=0.05)
    >>> found.line_barrier > 0.9, found.barrier < 0.05
    (True, True)
    """
    check_choice("curve", curve, CURVES)
    check_choice("optimizer", optimizer, OPTIMIZERS)
    check_choice("batch_statistics", batch_statistics, (None, "recompute", "fixed"))
    bends, points = check_count("bends", bends), check_count("points", points, least=3)
    recipe = Recipe(
        curve=curve, steps=check_count("steps", steps), optimizer=optimizer,
        lr=RATES[optimizer] if lr is None else check_positive("lr", lr),
        batch=None if batch is None else check_count("batch", batch),
        weight_decay=check_not_negative("weight_decay", weight_decay), seed=check_seed(seed),
    )  # fmt: skip
    tol = None if tol is None else check_share("tol", tol, hint="0.01, not 1 %")
    given = (objective, *ends) if len(ends) == 1 else ends
    if len(given) != 2:
        raise UsageError(
            "a curve has two ends: connect(objective_a, objective_b), or connect(objective, theta_a, theta_b) where θ "
            "is all that differs between them"
        )
    way = between(objective, given, batch_statistics or "recompute")
    grid = _grid(curve, bends, points)
    walk = _Walk(way, Readings(objective, metrics), curve, grid, progress, recipe.steps)
    return walk.connected(_straight(way, bends), recipe, tol, given)


@dataclass
class _Walk:
    """What is evaluated on a grid of t, and counted."""

    way: Between
    readings: Readings
    curve: str
    grid: np.ndarray
    progress: Progress | None
    steps: int
    losses: int = 0
    _done: int = field(default=0)

    def connected(
        self, control: Tensor, recipe: Recipe, tol: float | None, given: tuple[Vector | Objective, ...]
    ) -> Connection:
        line = self._line()
        is_done = None if tol is None else self._is_done(line, tol)
        if is_done is not None and line.max() <= max(line[0], line[-1]):
            trained = train(self.way, control, replace(recipe, steps=0))
            reason = "no step was needed: the straight line rises above neither end"
        else:
            trained = train(self.way, control, recipe, is_done=is_done, report=self._report_step)
            reason = trained.reason
        values = self._along(trained.control)
        return Connection(
            t=self.grid,
            loss=values[0],
            line=line,
            control=trained.control.cpu().numpy(),
            curve=self.curve,
            ends=np.array([self._own_loss(one, loss) for one, loss in zip(given, values[0][[0, -1]], strict=True)]),
            history=np.array(trained.history),
            num_gradients=trained.num_gradients,
            num_losses=self.losses,
            method=str(recipe),
            reason=reason,
            seed=recipe.seed,
            batch_statistics=self.way.batch_statistics,
            **self.readings.fields(values[1:]),
        )

    @property
    def _most(self) -> int:
        return self.steps + 2 * len(self.grid)

    def _report(self, done: int) -> None:
        if self.progress is not None and done > self._done:
            self.progress(done, self._most)
        self._done = max(self._done, done)

    def _report_step(self, done: int) -> None:
        self._report(len(self.grid) + done)

    def _loss(self, theta: Tensor, t: float) -> float:
        self.losses += 1
        return self.way.holding(1 - t, t, theta).loss(theta)

    def _line(self) -> np.ndarray:
        """(M,) the loss on the straight line."""
        found = []
        for index, t in enumerate(self.grid.tolist(), start=1):
            here, theta = self.way.at(1 - t, t)
            found.append(here.loss(theta))
            self.losses += 1
            self._report(index)
        return np.array(found)

    def _along(self, control: Tensor) -> np.ndarray:
        """(1 + metrics, M) along the curve."""
        found = []
        begun = max(self._done, len(self.grid) + self.steps)
        for index, t in enumerate(self.grid.tolist(), start=1):
            theta = point_on(self.curve, control, t)
            found.append(self.readings.at(self.way.holding(1 - t, t, theta), theta))
            self.losses += 1
            self._report(begun + index)
        return np.array(found, dtype=float).T

    def _is_done(self, line: np.ndarray, tol: float) -> Callable[[Tensor], bool]:
        """Whether no point of the grid is too high; the middle first, where most curves are."""
        ends = max(line[0], line[-1])
        limit = ends + tol * (line.max() - ends)
        inner = sorted(self.grid[1:-1].tolist(), key=lambda t: abs(t - 0.5))

        def is_done(control: Tensor) -> bool:
            return all(self._loss(point_on(self.curve, control, t), t) <= limit for t in inner)

        return is_done

    def _own_loss(self, given: Vector | Objective, on_curve: float) -> float:
        """The loss of a model as it is, where its running statistics are known."""
        if self.way.batch_statistics != "recompute":
            return float(on_curve)
        objective = given if isinstance(given, Objective) else self.readings.objective
        if not isinstance(given, Objective) and not torch.equal(objective.point(given), objective.theta):
            return math.nan
        self.losses += 1
        return objective.loss()


def _grid(curve: str, bends: int, points: int) -> np.ndarray:
    """(M,) t from 0 to 1."""
    pieces = bends + 1 if curve == "polygon" else 1
    steps = max(2, math.ceil((points - 1) / pieces)) * pieces
    return np.arange(steps + 1) / steps


def _straight(way: Between, bends: int) -> Tensor:
    """(K + 2, P): both ends, and between them points equally spaced, of which either curve is the straight line."""
    last = way.b.to(way.a.device)
    return torch.stack([way.a, *(torch.lerp(way.a, last, (k + 1) / (bends + 1)) for k in range(bends)), last])
