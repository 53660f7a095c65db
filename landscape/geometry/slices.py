"""The loss on lines and planes through a point of parameter space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.checks import check_count, check_positive, check_share
from landscape.errors import UsageError
from landscape.geometry.batch_statistics import where_theta_moves
from landscape.geometry.metrics import Metrics, Readings
from landscape.geometry.slice_curvature import Operator, centre_curvature
from landscape.geometry.surfaces.evaluate import slice_values
from landscape.objective import Objective, Vector
from landscape.progress import Progress
from landscape.results import LineSlice, PlaneSlice

#: Columns whose angle has a cosine this close to ±1 span a line, not a plane.
_PARALLEL = 1e-6
#: ``points="adaptive"``: a grid as fine as the default, and the error of what is between the evaluations.
ADAPTIVE = "adaptive"
_POINTS, _TOL = 51, 0.01


def evaluate_line(
    objective: Objective,
    direction: Vector,
    *,
    radius: float = 1.0,
    points: int | str = 51,
    theta: Vector | None = None,
    label: str = "",
    batch_statistics: str = "fixed",
    metrics: Metrics = None,
    tol: float | None = None,
    hessian: Operator | None = None,
    progress: Progress | None = None,
) -> LineSlice:
    """The loss at ``θ + t·d`` for ``points`` equally spaced t from ``-radius`` to ``radius``.

    Parameters
    ----------
    objective : Objective
    direction : (P,) or (P, 1) tensor or array
        d as it is, neither normalised nor centred: ``eigs.vectors[:, 0]``, a column of :func:`random_plane`.
    radius : float
        Largest |t|, in lengths of d.
    points : int or "adaptive"
        Odd and at least 3, so that θ itself is on the line: it is evaluated once, exactly, at ``t[points // 2] = 0``.
        ``"adaptive"``: 51, and ``tol=0.01`` where that is left out.
    theta : (P,) tensor or array, optional
        Where; left out, the model's parameters now.
    label : str
        What the direction is, for tables and plots.
    batch_statistics : {"fixed", "recompute"}
        Running statistics of normalisation layers stay those of the model, as L(θ) has them everywhere else, or are
        recomputed from the data at each point (:func:`~landscape.geometry.batch_statistics.recomputed`).
    metrics : mapping from name to metric, or ("accuracy",)
        What else is evaluated at each point, of the same network: θ, statistics and mode are those of the loss. Each is

        - a function in the place of the loss, called as that is, a mean over the examples of a batch:
          ``metric(output, target)``; ``metric(outputs, batch)`` with ``Objective.from_outputs``; ``metric(model,
          batch)`` with ``Objective.from_loss``. :func:`~landscape.geometry.metrics.accuracy` is ready;
        - an Objective of the same parameters, such as one of test data: its loss;
        - a pair of both, for the function on the data of that objective.

        ``{"test loss": test, "accuracy": ls.accuracy, "test accuracy": (ls.accuracy, test)}``.
    tol : float, optional
        Left out, the network is evaluated at every point. Else its outputs are evaluated at few nodes, θ itself among
        them, and interpolated; loss and metrics of outputs are computed from these at every point, until the largest
        error of the loss, as stated, is at most ``tol`` of its range on the grid (measured: docs/accuracy.md). Where
        the loss is a mean over 4,096 examples or more, as few are drawn at random as that allows: then θ has the loss
        of all, elsewhere ``error`` holds in 95 of 100 draws, and metrics on these data are of the same examples.
    hessian : LinearOperator, optional
        H of this objective at θ, where there is one: its products are faster than those that the curvature takes else.
    progress : callable, optional
        Called as ``progress(done, most)`` after each point that is evaluated.

    Returns
    -------
    LineSlice
        Losses in the objective's dtype, NaN and infinity as they come. ``curvature`` is ``dᵀHd`` from a Hessian-vector
        product, ``curvature_slice ± curvature_error`` the same from differences of the slope on this line: roundoff,
        truncation and kinks of ReLU are in that error (measured: docs/accuracy.md). All three in float64 where the
        model runs in it; NaN where statistics are recomputed: ∇²L holds them fixed. ``metrics["accuracy"]`` is (M,).
        ``num_evaluations`` is what it took, ``error`` the largest on the grid; ``reason`` says what kept it from
        ``tol``, or that every point was evaluated although few were asked for: where outputs cannot be had apart from
        the loss, are not finite at a node, or where more nodes would cost as much.

    Raises
    ------
    UsageError
        For a direction of another shape, zero or not finite, an even number of points, a radius that is not positive,
        a metric that is none or no mean over examples.

    Notes
    -----
    Costs ``points`` losses, or with ``tol`` 7, 13 or 25 and a few more on parts of the data, or one and those on drawn
    examples; for the curvature, on at most 64 examples in float64, 5 to 11 gradients, 2 losses and one Hessian-vector
    product. Metrics of outputs share the pass of the loss of their data; each further objective costs a loss a point,
    and ``metric(model, batch)`` what it calls.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (torch.ones(4, 1), torch.zeros(4, 1)))
    >>> line = evaluate_line(objective, np.ones(1), points=5, theta=np.zeros(1))
    >>> line.t.tolist(), line.loss.tolist()
    ([-1.0, -0.5, 0.0, 0.5, 1.0], [1.0, 0.25, 0.0, 0.25, 1.0])
    """
    count, tol = _how_asked(points, tol)
    t = _grid(radius, count, name="radius")
    d = _columns(objective, direction, count=1, name="direction")
    point = objective.point(theta)
    statistics, holding_at = where_theta_moves(objective, batch_statistics)
    readings = Readings(objective, metrics)
    by_hvp, by_differences, error = _curvature(objective, point, d, statistics, hessian)

    def at(_: float, right: float) -> tuple[Objective, Tensor]:
        there = _moved(point, d, (right,))
        return holding_at(there), there

    found = slice_values(
        readings, at, (np.zeros(1), t), (1.0, radius), tol=tol, moving=statistics == "recompute", progress=progress
    )
    values = found.values[:, 0]
    return LineSlice(
        t=t,
        loss=values[0],
        direction=label or "direction",
        step_norm=float(_lengths(d)[0]),
        curvature=float(by_hvp[0, 0]),
        curvature_slice=float(by_differences[0, 0]),
        curvature_error=float(error[0, 0]),
        batch_statistics=statistics,
        **readings.fields(values[1:]),
        **found.fields,
    )


def evaluate_plane(
    objective: Objective,
    plane: Vector,
    *,
    radius: float | tuple[float, float] = 1.0,
    points: int | str = 51,
    theta: Vector | None = None,
    labels: Sequence[str] = ("direction 1", "direction 2"),
    batch_statistics: str = "fixed",
    metrics: Metrics = None,
    tol: float | None = None,
    hessian: Operator | None = None,
    progress: Progress | None = None,
) -> PlaneSlice:
    """The loss at ``θ + x·d₁ + y·d₂`` on a square grid of ``points × points``.

    Parameters
    ----------
    objective : Objective
    plane : (P, 2) tensor or array
        Columns d₁ (along x) and d₂ (along y) as they are: :func:`random_plane`, ``eigs.vectors[:, :2]``.
    radius : float or pair of floats
        Largest |x| and |y|, in lengths of the columns.
    points : int or "adaptive"
        Along each axis; odd and at least 3, so that θ itself is evaluated, at ``loss[points // 2, points // 2]``.
    theta : (P,) tensor or array, optional
        Where; left out, the model's parameters now.
    labels : pair of str
        What the directions are, for tables and plots.
    batch_statistics, metrics, tol, hessian
        As in :func:`evaluate_line`.
    progress : callable, optional
        Called as ``progress(done, most)`` after each point that is evaluated.

    Returns
    -------
    PlaneSlice
        ``loss[j, i]`` at ``x[i], y[j]`` in the objective's dtype, NaN and infinity as they come, as is
        ``metrics["accuracy"][j, i]``; the centre's 2 × 2 curvature by both routes, as in :func:`evaluate_line`.

    Raises
    ------
    UsageError
        As for :func:`evaluate_line`, and if the columns are parallel.

    Notes
    -----
    Costs ``points²`` losses, or with ``tol`` 49, 169 or 625 and some on parts of the data; for the curvature, on at
    most 64 examples in float64, 10 to 22 gradients, 4 losses and two Hessian-vector products. Metrics cost what they
    do on a line.
    """
    count, tol = _how_asked(points, tol)
    radii = tuple(radius) if isinstance(radius, (tuple, list)) else (radius, radius)
    if len(radii) != 2 or len(labels) != 2:
        raise UsageError(f"a plane has two axes: radius={radius!r} and labels={labels!r} must be pairs")
    x, y = (_grid(r, count, name="radius") for r in radii)
    d = _columns(objective, plane, count=2, name="plane")
    units = d / torch.linalg.vector_norm(d, dim=0)
    if abs(float(units[:, 0] @ units[:, 1])) > 1 - _PARALLEL:
        raise UsageError("the two columns of the plane are parallel, so they span a line; use evaluate_line")
    point = objective.point(theta)
    statistics, holding_at = where_theta_moves(objective, batch_statistics)
    readings = Readings(objective, metrics)
    by_hvp, by_differences, error = _curvature(objective, point, d, statistics, hessian)

    def at(up: float, right: float) -> tuple[Objective, Tensor]:
        there = _moved(point, d, (right, up))
        return holding_at(there), there

    found = slice_values(
        readings, at, (y, x), radii[::-1], tol=tol, moving=statistics == "recompute", progress=progress
    )
    return PlaneSlice(
        x=x,
        y=y,
        loss=found.values[0],
        directions=tuple(labels),
        step_norms=_lengths(d),
        curvature=by_hvp,
        curvature_slice=by_differences,
        curvature_error=error,
        batch_statistics=statistics,
        **readings.fields(found.values[1:]),
        **found.fields,
    )


def _how_asked(points: int | str, tol: float | None) -> tuple[Any, float | None]:
    """Points and tolerance, with what ``points="adaptive"`` stands for."""
    if points == ADAPTIVE:
        points, tol = _POINTS, _TOL if tol is None else tol
    return points, tol if tol is None else check_share("tol", tol, hint="0.01, not 1 %")


def _curvature(
    objective: Objective, point: Tensor, d: Tensor, statistics: str, hessian: Operator | None
) -> tuple[np.ndarray, ...]:
    if statistics == "recompute":
        return (np.full((d.shape[1], d.shape[1]), np.nan),) * 3
    return centre_curvature(objective, point, d, hessian)


def _grid(radius: float, points: int, *, name: str) -> np.ndarray:
    """``points`` numbers from ``-radius`` to ``radius``, with an exact zero in the middle and exact symmetry."""
    points = check_count("points", points, least=3, hint="an odd one, whose middle is θ itself")
    if points % 2 == 0:
        raise UsageError(f"points={points} is even, so the centre would fall between two of them; use {points + 1}")
    check_positive(name, radius)
    half = points // 2
    return radius * (np.arange(-half, half + 1) / half)


def _columns(objective: Objective, given: Vector, *, count: int, name: str) -> Tensor:
    """``(P, count)`` in the objective's dtype, each column finite and not zero."""
    size = objective.layout.size
    expected = f"({size}, {count})" if count > 1 else f"({size},)"
    if not isinstance(given, (Tensor, np.ndarray)):
        raise UsageError(f"{name} must be a tensor or array of shape {expected}, not {type(given).__name__}")
    # A copy, since torch cannot take arrays with negative strides, nor read-only ones without a warning.
    columns = torch.as_tensor(np.array(given) if isinstance(given, np.ndarray) else given).detach()
    if columns.ndim == 1 and count == 1:
        columns = columns[:, None]
    if tuple(columns.shape) != (size, count):
        raise UsageError(f"{name} has shape {tuple(given.shape)}; this objective needs {expected}")
    columns = columns.to(objective.device, objective.dtype)
    if not bool(columns.isfinite().all()):
        raise UsageError(f"{name} holds NaN or infinity in {int((~columns.isfinite()).sum())} entries")
    if not bool((columns != 0).any(0).all()):
        raise UsageError(f"{name} has a column that is zero: it leads nowhere")
    return columns


def _moved(point: Tensor, columns: Tensor, steps: tuple[float, ...]) -> Tensor:
    """``θ + Σ steps[k]·columns[:, k]``; θ itself where all steps are zero."""
    for k, step in enumerate(steps):
        if step != 0:
            point = torch.add(point, columns[:, k], alpha=step)
    return point


def _lengths(columns: Tensor) -> np.ndarray:
    lengths: np.ndarray = np.linalg.norm(columns.cpu().double().numpy(), axis=0)
    return lengths
