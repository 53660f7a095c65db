"""The loss on the plane that paths through parameter space span best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from landscape.checks import check_count, check_not_negative
from landscape.errors import UsageError
from landscape.geometry.batch_statistics import moved_by_training, where_theta_moves
from landscape.geometry.metrics import Metrics, Readings
from landscape.geometry.surfaces.evaluate import values_on_grid
from landscape.objective import Objective
from landscape.progress import Progress
from landscape.results.paths import PathSlice

_FLAT = 1e-12  # of the longest extent: a path along a line still gets a plane of some width


def evaluate_paths(
    objective: Objective,
    paths: Mapping[str, Any],
    *,
    points: int = 41,
    margin: float = 0.2,
    batch_statistics: str = "recompute",
    metrics: Metrics = None,
    progress: Progress | None = None,
) -> PathSlice:
    r"""The loss on a plane with the paths of one or several trainings on it.

    With two parameters the plane is all there is, and its axes are the parameters. With more, it is spanned by the
    first two principal components of all positions of all paths, as in Li et al. (2018, §7) but about their mean, so
    that no path is the centre; ``explained`` says how much of the positions' variance it holds.

    Parameters
    ----------
    objective : Objective
    paths : mapping from name to (T, P) array or sequence of T vectors (P,)
        The positions of each path, in order: ``{"sgd": [c.theta() for c in CheckpointDir("runs/sgd-s0")]}``.
    points : int
        Along the longer side; at least 3.
    margin : float
        Room around the paths, as a share of their extent.
    batch_statistics : {"recompute", "fixed"}
        Of a model with running statistics. Each training has its own, and at each position others, so they are
        recomputed from the data at each point of the plane (:func:`~landscape.geometry.batch_statistics.recomputed`):
        then the loss depends on θ alone. Fixed, they are those of the objective's model everywhere, and no end of a
        path but its own has the loss it had in training.
    metrics : mapping from name to metric, or ("accuracy",)
        What else is evaluated on the plane, as in :func:`evaluate_line`.
    progress : callable, optional
        Called as ``progress(done, most)`` after each point.

    Returns
    -------
    PathSlice
        Off the plane, a path is drawn at its projection, where the loss of the plane is not the loss of the path.

    Raises
    ------
    UsageError
        For no path, positions of another length than P, positions that are not finite, or that never move. For a model
        in which training moves other buffers, too, which positions do not hold, unless they are to be fixed.

    Notes
    -----
    Costs at most ``points²`` losses, fewer where the plane is long and narrow; where statistics are recomputed, passes
    over the data for each beside.

    References
    ----------
    Li, Xu, Taylor, Studer & Goldstein (2018), Visualizing the loss landscape of neural nets, NeurIPS, section 7.
    """
    points = check_count("points", points, least=3)
    check_not_negative("margin", margin)
    size = objective.layout.size
    stacked = {name: _positions(name, path, size) for name, path in paths.items()}
    if not stacked:
        raise UsageError("no path was given; pass {name: positions}")
    theta = np.concatenate(list(stacked.values()))
    if np.ptp(theta, axis=0).max() == 0:
        raise UsageError("the paths never move; give positions of more than one step")
    statistics, holding_at = where_theta_moves(objective, batch_statistics)
    if batch_statistics != "fixed" and (moved := moved_by_training(objective)):
        raise UsageError(
            f"positions do not hold what training moves beside θ in this model: {', '.join(moved[:4])}. "
            "batch_statistics='fixed' draws the loss with all that as it is in the objective's model"
        )
    origin, axes, directions, explained = _plane(objective, theta)
    offsets = theta - origin
    coordinates = offsets @ axes
    outside = np.linalg.norm(offsets - coordinates @ axes.T, axis=1)
    x, y = _grids(coordinates, points, margin)
    readings = Readings(objective, metrics)

    def values_at(up: float, right: float) -> list[float]:
        theta_there = objective.point(origin + axes @ np.array((right, up)))
        return readings.at(holding_at(theta_there), theta_there)

    values = values_on_grid(values_at, (y, x), progress)
    return PathSlice(
        x=x,
        y=y,
        loss=values[0],
        directions=directions,
        names=tuple(stacked),
        lengths=np.array([len(path) for path in stacked.values()]),
        points=coordinates,
        outside=outside,
        explained=explained,
        batch_statistics=statistics,
        **readings.fields(values[1:]),
    )


def _positions(name: str, path: Any, size: int) -> np.ndarray:
    """(T, P) in float64."""
    rows: Sequence[Any] = list(path)
    if not rows:
        raise UsageError(f"path {name!r} has no position")
    theta = stacked(rows)
    if theta.ndim != 2 or theta.shape[1] != size:
        raise UsageError(f"path {name!r} has positions of shape {theta.shape[1:]}; this objective needs ({size},)")
    if not np.isfinite(theta).all():
        raise UsageError(f"path {name!r} holds NaN or infinity at {int((~np.isfinite(theta)).any(1).sum())} positions")
    return theta


def stacked(rows: Sequence[Any]) -> np.ndarray:
    """Vectors, be they tensors or arrays, as the rows of one float64 array."""
    return np.stack([np.asarray(row.detach().cpu() if hasattr(row, "detach") else row, dtype=float) for row in rows])


def _plane(objective: Objective, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], float]:
    """Origin (P,), orthonormal axes (P, 2), what they are, and the share of variance within."""
    if theta.shape[1] == 1:
        raise UsageError("one parameter makes a line, not a plane; use evaluate_line")
    if theta.shape[1] == 2:
        return np.zeros(2), np.eye(2), _parameter_names(objective), 1.0
    found = PCA(n_components=2, svd_solver="full").fit(theta) if len(theta) > 1 else None
    if found is None:
        raise UsageError("one position spans no plane; give the positions of several steps")
    shares = np.nan_to_num(found.explained_variance_ratio_)
    words = tuple(f"principal component {i + 1} ({100 * share:.0f} %)" for i, share in enumerate(shares))
    return found.mean_, found.components_.T, words, float(min(shares.sum(), 1.0))


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
