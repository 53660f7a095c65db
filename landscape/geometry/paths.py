"""The loss on the plane that paths through parameter space span best."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from landscape.checks import check_count, check_not_negative, check_seed, check_share
from landscape.device import full_precision
from landscape.errors import UsageError
from landscape.geometry.batch_statistics import refuse_other_buffers, where_theta_moves
from landscape.geometry.endpoints import End, end_of
from landscape.geometry.metrics import Metrics, Readings
from landscape.geometry.planes.positions import stacked
from landscape.geometry.planes.principal import pca_plane
from landscape.geometry.surfaces.evaluate import slice_values
from landscape.geometry.surfaces.identity import digest
from landscape.geometry.surfaces.memory import Memory, remembering
from landscape.jobs import Executor
from landscape.objective import Objective
from landscape.progress import Progress
from landscape.results.paths import PathSlice

_FLAT = 1e-12  # of the longest extent: a path along a line still gets a plane of some width


@full_precision()
def evaluate_paths(
    objective: Objective,
    paths: Mapping[str, Any],
    *,
    points: int = 41,
    margin: float = 0.2,
    batch_statistics: str = "recompute",
    metrics: Metrics = None,
    tol: float | None = None,
    losses: bool = True,
    num_walks: int = 100,
    seed: int = 0,
    resume: str | Path | None = None,
    executor: Executor | str | None = None,
    progress: Progress | None = None,
) -> PathSlice:
    r"""The loss on a plane with the paths of one or several trainings on it.

    With two parameters the plane is all there is, and its axes are the parameters. With more, it is spanned by the
    first two principal components of all positions of all paths (:func:`pca_plane`), as in Li et al. (2018, §7) but
    about their mean, so that no path is the centre; ``explained`` says how much of the positions' variance it holds,
    and ``walks`` how much it would hold of random walks with the same steps.

    Parameters
    ----------
    objective : Objective
    paths : mapping from name to (T, P) array or sequence of T vectors (P,) or Checkpoints
        The positions of each path, in order: ``{"sgd": CheckpointDir("runs/sgd-s0")}``.
    points : int
        Along the longer side; at least 3.
    margin : float
        Room around the paths, as a share of their extent.
    batch_statistics : {"recompute", "fixed"}
        Of a model with running statistics. Each training has its own, and at each position others, so they are
        recomputed from the data at each point of the plane (:func:`~landscape.geometry.batch_statistics.recomputed`):
        then the loss depends on θ alone. Fixed, they are those of the objective's model everywhere, and no end of a
        path but its own has the loss it had in training.
    metrics : mapping from name to metric, or ("accuracy", "gradient_norm")
        What else is evaluated on the plane, as in :func:`evaluate_line`.
    tol : float, optional
        Left out, the network is evaluated at every point; else as in :func:`evaluate_plane`.
    losses : bool
        Whether the loss is evaluated at each position, too, and at its projection: the first with the buffers of a
        checkpoint, of a vector with those that the plane would have there.
    num_walks, seed : int
        Of the random walks.
    resume, executor
        As in :func:`evaluate_line`.
    progress : callable, optional
        Called as ``progress(done, most)`` after each point.

    Returns
    -------
    PathSlice
        Off the plane, a path is drawn at its projection, where the loss of the plane, ``plane_losses``, is not the loss
        of the path, ``losses``; both are exact.

    Raises
    ------
    UsageError
        For no path, positions of another length than P, positions that are not finite, or that never move. For a model
        in which training moves other buffers, too, which positions do not hold, unless they are to be fixed.

    Notes
    -----
    Costs at most ``points²`` losses, fewer where the plane is long and narrow, or with ``tol`` what a plane does; two
    for each position, or one where the plane is the whole space; where statistics are recomputed, passes over the data
    for each beside.

    References
    ----------
    Li, Xu, Taylor, Studer & Goldstein (2018), Visualizing the loss landscape of neural nets, NeurIPS, section 7.
    Antognini & Sohl-Dickstein (2018), PCA of high dimensional random walks with comparison to neural network training,
    NeurIPS.
    """
    points = check_count("points", points, least=3)
    check_not_negative("margin", margin)
    tol = tol if tol is None else check_share("tol", tol, hint="0.01, not 1 %")
    num_walks, seed = check_count("num_walks", num_walks), check_seed(seed)
    taken = {name: _path(objective, name, path) for name, path in paths.items()}
    if not taken:
        raise UsageError("no path was given; pass {name: positions}")
    theta = np.concatenate([positions for positions, _ in taken.values()])
    if not (theta != theta[0]).any():
        raise UsageError("the paths never move; give positions of more than one step")
    statistics, holding_at = where_theta_moves(objective, batch_statistics)
    if batch_statistics != "fixed":
        refuse_other_buffers(objective)
    plane = _plane(objective, {name: positions for name, (positions, _) in taken.items()}, num_walks, seed)
    x, y = _grids(plane.points, points, margin)
    middle = np.array([(x[0] + x[-1]) / 2, (y[0] + y[-1]) / 2])
    readings = Readings(objective, metrics)

    def question() -> tuple[Any, ...]:
        return objective, statistics, plane.origin, plane.axes, middle

    held = list(chain(*(held for _, held in taken.values())))
    with remembering(resume, question, executor) as memory:
        found = slice_values(
            readings, _On(plane, objective, middle, holding_at), (y - middle[1], x - middle[0]),
            (float(np.ptp(y)) / 2, float(np.ptp(x)) / 2), tol=tol, moving=statistics == "recompute",
            progress=progress, memory=memory,
        )  # fmt: skip
        along: dict[str, Any] = _losses(objective, theta, held, plane, holding_at, memory) if losses else {}
    return PathSlice(
        x=x,
        y=y,
        loss=found.values[0],
        directions=plane.directions,
        names=tuple(taken),
        lengths=np.array([len(rows) for rows, _ in taken.values()]),
        points=plane.points,
        outside=plane.outside,
        explained=plane.explained,
        batch_statistics=statistics,
        walks=plane.walks,
        **along,
        **readings.fields(found.values[1:]),
        **found.fields,
    )


def _path(objective: Objective, name: str, path: Any) -> tuple[np.ndarray, list[Any]]:
    """(T, P), and what belongs to each position besides, where that is known."""
    rows = path
    if not isinstance(path, (np.ndarray, Tensor)):
        rows = [end_of(objective, row) if hasattr(row, "theta") else row for row in path]
    theta = stacked(name, rows).astype(float)
    if theta.shape[1] != objective.layout.size:
        raise UsageError(
            f"run {name!r} has positions of shape ({theta.shape[1]},); this objective needs ({objective.layout.size},)"
        )
    return theta, [row.constants if isinstance(row, End) else None for row in rows]


@dataclass(frozen=True)
class _Plane:
    """Where the paths lie."""

    origin: np.ndarray
    axes: np.ndarray
    directions: tuple[str, ...]
    points: np.ndarray
    outside: np.ndarray
    explained: float
    walks: np.ndarray

    def at(self, objective: Objective, place: np.ndarray) -> Tensor:
        """θ at (x, y)."""
        return objective.point(self.origin + self.axes @ place)


@dataclass(frozen=True)
class _On:
    """Called with (y, x) from the middle: the objective with what belongs to θ there besides, and θ."""

    plane: _Plane
    objective: Objective
    middle: np.ndarray
    holding_at: Callable[[Tensor], Objective]

    def __call__(self, up: float, right: float) -> tuple[Objective, Tensor]:
        there = self.plane.at(self.objective, self.middle + np.array((right, up)))
        return self.holding_at(there), there


def _plane(objective: Objective, paths: dict[str, np.ndarray], num_walks: int, seed: int) -> _Plane:
    theta = np.concatenate(list(paths.values()))
    if theta.shape[1] == 2:
        whole = np.zeros(2), np.eye(2), _parameter_names(objective)
        return _Plane(*whole, points=theta, outside=np.zeros(len(theta)), explained=1.0, walks=np.empty((0, 2)))
    found = pca_plane(paths, num_walks=num_walks, seed=seed)
    return _Plane(found.origin, found.vectors, found.labels, found.coordinates, found.outside, found.share, found.walks)


def _losses(
    objective: Objective, theta: np.ndarray, held: list[Any], plane: _Plane, holding_at: Callable[[Tensor], Objective],
    memory: Memory,
) -> dict[str, np.ndarray]:  # fmt: skip
    """At each position, and at its projection."""

    def loss_at(here: Tensor, constants: Any) -> float:
        def computed() -> float:
            holding = holding_at(here) if constants is None else objective.with_constants(constants)
            return holding.loss(here)

        return float(memory.numbers(f"loss {digest(here, constants) if memory.keeps else ''}", computed))

    true, drawn = [], []
    for place, constants, row in zip(plane.points, held, theta, strict=True):
        true.append(loss_at(objective.point(row), constants))
        if plane.outside.any():
            drawn.append(loss_at(plane.at(objective, place), None))
    return {"losses": np.array(true), "plane_losses": np.array(drawn or true)}


def _parameter_names(objective: Objective) -> tuple[str, ...]:
    """Names of single parameters: ``fc.weight[0]``, or ``fc.bias`` where the tensor holds one number."""
    names = []
    for name, count in zip(objective.layout.names, objective.layout.sizes, strict=True):
        names += [name] if count == 1 else [f"{name}[{i}]" for i in range(count)]
    return tuple(names)


def _grids(coordinates: np.ndarray, points: int, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the loss is evaluated along x and y: square cells, ``points`` along the longer side."""
    low, high = coordinates.min(0), coordinates.max(0)
    longest = float((high - low).max())
    half = np.maximum((0.5 + margin) * (high - low), max(_FLAT, margin) * longest)
    middle, cell = (low + high) / 2, 2 * half.max() / (points - 1)
    counts = [max(3, round(2 * h / cell) + 1) for h in half]
    return tuple(np.linspace(m - h, m + h, n) for m, h, n in zip(middle, half, counts, strict=True))  # type: ignore[return-value]
