"""The loss on lines and planes through a point of parameter space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from landscape.checks import check_share
from landscape.device import full_precision
from landscape.geometry.metrics import Metrics
from landscape.geometry.planes.named import Direction
from landscape.geometry.planes.spanned import spanned_line, spanned_plane
from landscape.geometry.slice_curvature import Operator
from landscape.geometry.walk import Walk, check_points, grid
from landscape.jobs import Executor
from landscape.objective import Objective, Vector
from landscape.progress import Progress
from landscape.results import LineSlice, ModelPlane, PcaPlane, PlaneSlice

#: ``points="adaptive"``: a grid as fine as the default, and the error of what is between the evaluations.
ADAPTIVE = "adaptive"
_POINTS, _TOL = 51, 0.01


@full_precision()
def evaluate_line(
    objective: Objective,
    direction: Vector | Direction,
    *,
    radius: float | str = 1.0,
    points: int | str = 51,
    theta: Vector | None = None,
    label: str = "",
    batch_statistics: str = "fixed",
    metrics: Metrics = None,
    weight_decay: Any = None,
    on: str | None = None,
    test: Objective | None = None,
    tol: float | None = None,
    hessian: Operator | None = None,
    resume: str | Path | None = None,
    executor: Executor | str | None = None,
    progress: Progress | None = None,
) -> LineSlice:
    """The loss at ``θ + t·d`` for ``points`` equally spaced t from ``-radius`` to ``radius``.

    Parameters
    ----------
    objective : Objective
    direction : (P,) or (P, 1) tensor or array, or Direction
        d as it is, neither normalised nor centred: ``eigs.vectors[:, 0]``, a column of :func:`random_plane`, or one of
        :func:`~landscape.geometry.planes.named.direction`.
    radius : float or "auto"
        Largest |t|, in lengths of d. ``"auto"``: where the loss is ten times that in the middle, as dᵀHd tells it; 2 to
        100 times where it can be had within ‖θ‖ (:mod:`~landscape.geometry.planes.radius`).
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
    metrics : mapping from name to metric, or ("accuracy", "gradient_norm")
        What else is evaluated at each point, of the same network: θ, statistics and mode are those of the loss. Each is

        - a function in the place of the loss, called as that is, a mean over the examples of a batch:
          ``metric(output, target)``; ``metric(outputs, batch)`` with ``Objective.from_outputs``; ``metric(model,
          batch)`` with ``Objective.from_loss``. :func:`~landscape.geometry.metrics.accuracy` is ready;
        - :func:`~landscape.geometry.metrics.gradient_norm`;
        - an Objective of the same parameters, such as one of test data: its loss;
        - a pair of a function and an objective, for the function on the data of that.

        ``{"test loss": test, "accuracy": ls.accuracy, "test accuracy": (ls.accuracy, test)}``.
    weight_decay : float or (P,) tensor or array, optional
        λ of an optimizer, or one for each parameter: then ``loss + ½λ‖θ‖²`` stands beside the loss as a metric, its
        second term exact. The curvature is that of the loss.
    on : {"train", "test", "both"}, optional
        Of which data, with ``test`` for the others: the loss and each metric of the training data (those of
        ``objective``), of the test data, or both from the same points, ``"test loss"``, ``"test accuracy"`` … as
        metrics. Left out: both where ``test`` is given. Recomputed statistics are always those of ``objective``'s data.
    test : Objective, optional
        Of the same model and loss on test data.
    tol : float, optional
        Left out, the network is evaluated at every point. Else its outputs are evaluated at few nodes, θ itself among
        them, and interpolated; loss and metrics of outputs are computed from these at every point, until the largest
        error of the loss, as stated, is at most ``tol`` of its range on the grid (measured: docs/accuracy.md). Where
        the loss is a mean over 4,096 examples or more, as few are drawn at random as that allows: then θ has the loss
        of all, elsewhere ``error`` holds in 95 of 100 draws, and metrics on these data are of the same examples.
    hessian : LinearOperator, optional
        H of this objective at θ, where there is one: its products are faster than those that the curvature takes else.
        Not used for the test loss.
    resume : path, optional
        A folder in which what is evaluated is kept as it comes, a second later at most, up to 256 MB: killed, the same
        call goes on where it was and ends as if nothing had been, to the bit where torch, device and threads are the
        same. Several slices share it, each in a file of its own: another model, loss, data, direction, radius or metric
        finds nothing there. Of functions module, name and code count, with what they close over; not what they call.
        Yours to delete, when the record is saved.
    executor : str or executor, optional
        Has the points or nodes evaluated in other processes: ``"dask:ADDRESS"``, or anything whose ``submit(function,
        *args)`` returns a future, such as a ``landscape.jobs.LocalExecutor`` or a Dask client. Model, loss, data and
        metrics go there pickled, so their classes and functions stand in modules. The record is the same, with as many
        threads there.
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
        a metric that is none or no mean over examples, test data that are asked for and not given.

    Notes
    -----
    Costs ``points`` losses, or with ``tol`` 7, 13 or 25 and a few more on parts of the data, or one and those on drawn
    examples; ``radius="auto"`` 3 losses, at most 13; for the curvature, on at most 64 examples in float64, 5 to 11
    gradients, 2 losses and one Hessian-vector product. Metrics of outputs share the pass of the loss of their data;
    each further objective costs a loss a point, the norm of a gradient a gradient a point, and ``metric(model, batch)``
    what it calls.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (torch.ones(4, 1), torch.zeros(4, 1)))
    >>> line = evaluate_line(objective, np.ones(1), points=5, theta=np.zeros(1))
    >>> line.t.tolist(), line.loss.tolist()
    ([-1.0, -0.5, 0.0, 0.5, 1.0], [1.0, 0.25, 0.0, 0.25, 1.0])
    """
    count, tol = _how_asked(points, tol)
    walk = Walk.of(
        objective, spanned_line(objective, direction, label), theta=theta, batch_statistics=batch_statistics,
        metrics=metrics, weight_decay=weight_decay, on=on, test=test,
    )  # fmt: skip
    count = check_points(count)
    with walk.kept_in(resume, executor) as walk:
        by_hvp, by_differences, error = walk.curvature(hessian)
        reach = walk.radius(radius, by_hvp)
        t = grid(reach.values[0], count)
        found = walk.values((np.zeros(1), t), reach, tol=tol, progress=progress)
    values = found.values[:, 0]
    return LineSlice(
        t=t,
        loss=values[0],
        direction=walk.given.labels[0],
        step_norm=float(walk.given.lengths[0]),
        curvature=float(by_hvp[0, 0]),
        curvature_slice=float(by_differences[0, 0]),
        curvature_error=float(error[0, 0]),
        batch_statistics=walk.statistics,
        param_norm=walk.param_norm,
        radius_words=reach.words,
        split=walk.split,
        **walk.fields(found, values, (t,)),
    )


@full_precision()
def evaluate_plane(
    objective: Objective,
    plane: Vector | Sequence[Vector | Direction] | PcaPlane | ModelPlane,
    *,
    radius: float | tuple[float, float] | str | None = None,
    points: int | str = 51,
    theta: Vector | None = None,
    labels: Sequence[str] | None = None,
    batch_statistics: str | None = None,
    metrics: Metrics = None,
    weight_decay: Any = None,
    on: str | None = None,
    test: Objective | None = None,
    marks: Mapping[str, Any] | None = None,
    tol: float | None = None,
    hessian: Operator | None = None,
    resume: str | Path | None = None,
    executor: Executor | str | None = None,
    progress: Progress | None = None,
) -> PlaneSlice:
    """The loss at ``θ + x·d₁ + y·d₂`` on a grid of ``points × points``.

    Parameters
    ----------
    objective : Objective
    plane : (P, 2) tensor or array, pair of directions, PcaPlane or ModelPlane
        Columns d₁ (along x) and d₂ (along y) as they are: :func:`random_plane`, ``eigs.vectors[:, :2]``, two of
        :func:`~landscape.geometry.planes.named.direction`. A plane of :func:`pca_plane` or :func:`model_plane` has
        its own origin in place of θ.
    radius : float, pair of floats or "auto", optional
        Largest |x| and |y|, in lengths of the columns. ``"auto"``: on each axis as for :func:`evaluate_line`, and one
        radius, the smaller, where the two are within a factor of 5; on a plane through positions, so that all of them
        are shown. Left out: 1, or ``"auto"`` on a plane through positions.
    points : int or "adaptive"
        Along each axis; odd and at least 3, so that θ itself is evaluated, at ``loss[points // 2, points // 2]``.
    theta : (P,) tensor or array, optional
        Where; left out, the origin of the plane, or else the model's parameters now.
    labels : pair of str, optional
        What the directions are, for tables and plots; left out, as the plane calls them.
    batch_statistics : {"fixed", "recompute"}, optional
        As in :func:`evaluate_line`; left out, recomputed on a plane through positions, each of which has its own, and
        else fixed.
    metrics, weight_decay, on, test, tol, hessian, resume, executor
        As in :func:`evaluate_line`.
    marks : mapping from name to (P,) tensor or array, Objective or Checkpoint, optional
        Positions whose loss and metrics are evaluated exactly, beside the surface, and drawn at their projections: with
        the buffers of an objective or checkpoint, of a vector with those that the surface has there. Left out: the
        three models of a :class:`~landscape.results.ModelPlane`.
    progress : callable, optional
        Called as ``progress(done, most)`` after each point that is evaluated.

    Returns
    -------
    PlaneSlice
        ``loss[j, i]`` at ``x[i], y[j]`` in the objective's dtype, NaN and infinity as they come, as is
        ``metrics["accuracy"][j, i]``; the centre's 2 × 2 curvature by both routes, as in :func:`evaluate_line`.
        ``mark_losses`` are those of the marks, ``mark_points`` where they are drawn, ``mark_outside`` how far from the
        plane they are.

    Raises
    ------
    UsageError
        As for :func:`evaluate_line`, and if the columns are parallel.

    Notes
    -----
    Costs ``points²`` losses, or with ``tol`` 49, 85, 169, 313 or 625 and some on parts of the data; a loss for each
    mark; twice what a line does for ``radius="auto"``; for the curvature, on at most 64 examples in float64, 10 to 22
    gradients, 4 losses and two Hessian-vector products. Metrics cost what they do on a line.
    """
    count, tol = _how_asked(points, tol)
    walk = Walk.of(
        objective, spanned_plane(objective, plane, labels), theta=theta, batch_statistics=batch_statistics,
        metrics=metrics, weight_decay=weight_decay, on=on, test=test,
    )  # fmt: skip
    count = check_points(count)
    with walk.kept_in(resume, executor) as walk:
        by_hvp, by_differences, error = walk.curvature(hessian)
        reach = walk.radius(radius, by_hvp)
        x, y = (grid(r, count) for r in reach.values)
        marked = walk.marked(walk.given.marks if marks is None else marks)
        found = walk.values((y, x), reach, tol=tol, progress=progress)
    return PlaneSlice(
        x=x,
        y=y,
        loss=found.values[0],
        directions=walk.given.labels,
        step_norms=walk.given.lengths,
        curvature=by_hvp,
        curvature_slice=by_differences,
        curvature_error=error,
        batch_statistics=walk.statistics,
        param_norm=walk.param_norm,
        radius_words=reach.words,
        split=walk.split,
        **walk.fields(found, found.values, (y, x)),
        **marked,
    )


def _how_asked(points: int | str, tol: float | None) -> tuple[Any, float | None]:
    """Points and tolerance, with what ``points="adaptive"`` stands for."""
    if points == ADAPTIVE:
        points, tol = _POINTS, _TOL if tol is None else tol
    return points, tol if tol is None else check_share("tol", tol, hint="0.01, not 1 %")
