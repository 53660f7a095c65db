"""The values of a slice, from the network at every point of its grid or from its outputs at a few nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from landscape.geometry.metrics import GRADIENT, Pass, Readings
from landscape.geometry.surfaces.nodes import Lattice
from landscape.geometry.surfaces.on_drawn import can_draw, settled_on_drawn
from landscape.geometry.surfaces.outputs import NotInterpolated, Outputs
from landscape.geometry.surfaces.refine import levels_for, refine
from landscape.geometry.surfaces.trial import Trial
from landscape.objective import Objective
from landscape.progress import Progress


@dataclass(frozen=True)
class SliceValues:
    """Loss and metrics on a grid.

    Attributes
    ----------
    values : (K, Y, X) array
        The loss first.
    fields : dict
        What a record keeps of how they came about: ``error``, ``error_log10``, ``num_evaluations``, ``reason``, and of
        how many examples, ``num_drawn`` of ``num_examples``.
    """

    values: np.ndarray
    fields: dict[str, Any]


def slice_values(
    readings: Readings,
    at: Callable[[float, float], tuple[Objective, Tensor]],
    axes: tuple[np.ndarray, np.ndarray],
    radii: tuple[float, float],
    *,
    tol: float | None,
    moving: bool,
    progress: Progress | None,
    exact: Sequence[tuple[float, float]] = ((0.0, 0.0),),
) -> SliceValues:
    """Loss and metrics at each y and x of the axes.

    Parameters
    ----------
    readings : Readings
    at : callable
        θ at (y, x), and the objective with what belongs to it besides.
    axes : pair of arrays
        The grid along y and x: from -r to r, or a zero alone.
    radii : pair of floats
        r along y and x.
    tol : float or None
        Largest error that is wanted, of the range of the loss on the grid; None for every point evaluated.
    moving : bool
        Whether something besides θ moves with it, such as recomputed statistics.
    progress : callable or None
    exact : pairs of floats
        (y, x) in units of the radii, where the loss is that of all the data, whatever examples are drawn elsewhere.
    """
    counted, reason, spent = _Counted(progress), "", 0
    points = len(axes[0]) * len(axes[1])
    if tol is not None and levels_for(axes):
        try:
            if moving:
                raise NotInterpolated("statistics or other buffers move too")
            in_radii = axes[0] / radii[0], axes[1] / radii[1]
            moved = lambda up, right: at(up * radii[0], right * radii[1])[1]  # noqa: E731
            return _interpolated(readings, at(0.0, 0.0)[0], moved, in_radii, tol, counted, exact)
        except NotInterpolated as why:
            reason, spent = f"every point was evaluated: {why}", counted.done

    values = values_on_grid(
        lambda up, right: readings.at(*at(up, right)), axes, lambda done, most: counted(spent + done, spent + most)
    )
    fields = {"error": 0.0, "error_log10": 0.0, "num_evaluations": spent + points, "reason": reason}
    return SliceValues(values, fields)


def values_on_grid(
    values_at: Callable[[float, float], Sequence[float]],
    axes: tuple[np.ndarray, np.ndarray],
    progress: Progress | None,
) -> np.ndarray:
    """``values[:, j, i] = values_at(y[j], x[i])``, (K, Y, X), row by row; ``progress`` is called after each point."""
    rows: list[Sequence[float]] = []
    for up in axes[0].tolist():
        for right in axes[1].tolist():
            rows.append(values_at(up, right))
            if progress is not None:
                progress(len(rows), len(axes[0]) * len(axes[1]))
    return np.array(rows, dtype=float).T.reshape(-1, len(axes[0]), len(axes[1]))


def _interpolated(
    readings: Readings,
    here: Objective,
    moved: Callable[[float, float], Tensor],
    axes: tuple[np.ndarray, np.ndarray],
    tol: float,
    counted: _Counted,
    exact: Sequence[tuple[float, float]],
) -> SliceValues:
    passes, finest = readings.passes(here), Lattice(levels_for(axes)[-1], axes).size
    outputs = [Outputs(one, moved, most=finest) for one in passes]
    try:
        trial = Trial(here, moved)
    except NotInterpolated:
        trial = None

    def report(done: float) -> None:
        counted(round(done), finest)

    settled, spent = None, 0.0
    if can_draw(here):
        settled, spent = settled_on_drawn(passes[0], outputs[0], moved, axes, tol, exact, trial=trial, report=report)
    if settled is None:
        own = outputs[0]
        if trial is not None:
            own = outputs[0].led_by(trial.rows, exact)
            spent += outputs[0].evaluations if own.is_led else 0.0
        settled = refine(own, axes, tol, trial=trial, spent_before=spent, progress=report)
    beside = [one.level(settled.lattice, before=False, report=lambda: None).grid for one in outputs[1:]]
    grids = [settled.values.grid, *beside]
    for one, grid in zip(passes, grids, strict=True):
        grid |= _exactly(one, moved, axes)
    fields = {
        "error": settled.error.absolute, "error_log10": settled.error.log10,
        "num_evaluations": math.ceil(settled.evaluations - 1e-6), "reason": settled.reason,
        "num_drawn": settled.num_drawn, "num_examples": here.num_examples,
    }  # fmt: skip
    return SliceValues(readings.rows(grids), fields)


def _exactly(
    one: Pass, moved: Callable[[float, float], Tensor], axes: tuple[np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    """What outputs do not tell, at every point of the grid."""
    if not one.with_gradient:
        return {}
    values = values_on_grid(lambda up, right: [one.exactly(moved(up, right), {})[GRADIENT]], axes, None)
    return {GRADIENT: values[0]}


class _Counted:
    """Progress that remembers how much was done."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self.done = progress, 0

    def __call__(self, done: int, most: int) -> None:
        if done > self.done and self._progress is not None:
            self._progress(done, most)
        self.done = max(self.done, done)
