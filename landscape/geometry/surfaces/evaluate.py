"""The values of a slice, from the network at every point of its grid or from its outputs at a few nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from landscape.geometry.metrics import GRADIENT, Pass, Readings
from landscape.geometry.surfaces.elsewhere import PointValues
from landscape.geometry.surfaces.identity import digest
from landscape.geometry.surfaces.lattice import Lattice
from landscape.geometry.surfaces.memory import Memory, point
from landscape.geometry.surfaces.network import Moved, NotInterpolated, Scaled
from landscape.geometry.surfaces.on_drawn import can_draw, settled_on_drawn
from landscape.geometry.surfaces.outputs import Outputs
from landscape.geometry.surfaces.refine import Settled, finished, levels_for, refine
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
        What a record keeps of how they came about: ``error``, ``error_log10``, ``metric_error_values`` (K − 1,),
        ``num_evaluations``, ``reason``, and of how many examples, ``num_drawn`` of ``num_examples``.
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
    memory: Memory | None = None,
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
    memory : Memory, optional
        Where what is evaluated is kept, and found again.
    """
    counted, reason, spent, memory = _Counted(progress), "", 0, memory or Memory()
    points = len(axes[0]) * len(axes[1])
    if tol is not None and levels_for(axes):
        try:
            if moving:
                raise NotInterpolated("statistics or other buffers move too")
            in_radii = axes[0] / radii[0], axes[1] / radii[1]
            within = memory.inside(f"{radii[0]!r} {radii[1]!r}")
            moved = Scaled(at, radii)
            return _interpolated(readings, at(0.0, 0.0)[0], moved, in_radii, tol, counted, exact, within)
        except NotInterpolated as why:
            reason, spent = f"every point was evaluated: {why}", counted.done

    asked = memory.inside(digest(*readings.facts())) if memory.keeps else memory
    values = _everywhere(_ReadingsAt(readings, at), axes, asked, lambda done, most: counted(spent + done, spent + most))
    fields = {
        "error": 0.0, "error_log10": 0.0, "metric_error_values": np.zeros(len(values) - 1),
        "num_evaluations": spent + points, "reason": reason,
    }  # fmt: skip
    return SliceValues(values, fields)


@dataclass(frozen=True)
class _ReadingsAt:
    """Loss and metrics at (y, x)."""

    readings: Readings
    at: Callable[[float, float], tuple[Objective, Tensor]]

    @property
    def objective(self) -> Objective:
        return self.readings.objective

    def __call__(self, up: float, right: float) -> list[float]:
        return self.readings.at(*self.at(up, right))


@dataclass(frozen=True)
class _ExactlyAt:
    """What outputs do not tell of one pass, at (y, x)."""

    one: Pass
    moved: Moved

    @property
    def objective(self) -> Objective:
        return self.one.objective

    def __call__(self, up: float, right: float) -> list[float]:
        return [self.one.exactly(self.moved(up, right), {})[GRADIENT]]


def _everywhere(
    values_at: PointValues, axes: tuple[np.ndarray, np.ndarray], memory: Memory, progress: Progress | None
) -> np.ndarray:
    """At every point of the grid, (K, Y, X), by whoever evaluates it."""
    memory.bring_points(values_at, [(up, right) for up in axes[0].tolist() for right in axes[1].tolist()])
    known = lambda up, right: memory.numbers(point(up, right), lambda: values_at(up, right))  # noqa: E731
    return values_on_grid(known, axes, progress)


def values_on_grid(
    values_at: Callable[[float, float], Sequence[float] | np.ndarray],
    axes: tuple[np.ndarray, np.ndarray],
    progress: Progress | None,
) -> np.ndarray:
    """``values[:, j, i] = values_at(y[j], x[i])``, (K, Y, X), row by row; ``progress`` is called after each point."""
    rows = list[Sequence[float] | np.ndarray]()
    for up in axes[0].tolist():
        for right in axes[1].tolist():
            rows.append(values_at(up, right))
            if progress is not None:
                progress(len(rows), len(axes[0]) * len(axes[1]))
    return np.array(rows, dtype=float).T.reshape(-1, len(axes[0]), len(axes[1]))


def _interpolated(
    readings: Readings,
    here: Objective,
    moved: Moved,
    axes: tuple[np.ndarray, np.ndarray],
    tol: float,
    counted: _Counted,
    exact: Sequence[tuple[float, float]],
    memory: Memory,
) -> SliceValues:
    passes, finest = readings.passes(here), Lattice(levels_for(axes)[-1], axes).size
    shelves = [memory.inside(digest(one.objective)) if memory.keeps else memory for one in passes]
    outputs = [Outputs(one, moved, most=finest, shelf=shelf) for one, shelf in zip(passes, shelves, strict=True)]
    trial = _trial(here, moved, shelves[0])

    def report(done: float) -> None:
        counted(round(done), finest)

    settled, spent = None, 0.0
    if can_draw(here):
        settled, spent = settled_on_drawn(
            passes[0], outputs[0], moved, axes, tol, exact, trial=trial, shelf=shelves[0], report=report
        )
    if settled is None:
        own = outputs[0]
        if trial is not None:
            own = outputs[0].led_by(trial.leading, (len(trial.rows), len(trial.leading)), exact)
            spent += outputs[0].evaluations if own.is_led else 0.0
        settled = refine(own, axes, tol, trial=trial, spent_before=spent, progress=report)
        settled.metric_errors = finished(settled.values, settled.before, own, passes[0].functions, trial, settled.shown)
    beside = [
        _beside(one, held, moved, settled, shelf)
        for one, held, shelf in zip(passes[1:], outputs[1:], shelves[1:], strict=True)
    ]
    found = [(settled.values.grid, settled.metric_errors), *beside]
    for one, (grid, error), shelf in zip(passes, found, shelves, strict=True):
        grid |= _exactly(one, moved, axes, shelf)
        error[GRADIENT] = 0.0
    fields = {
        "error": settled.error.absolute, "error_log10": settled.error.log10,
        "metric_error_values": readings.rows([error for _, error in found])[1:],
        "num_evaluations": math.ceil(settled.evaluations - 1e-6), "reason": settled.reason,
        "num_drawn": settled.num_drawn, "num_examples": here.num_examples,
    }  # fmt: skip
    return SliceValues(readings.rows([grid for grid, _ in found]), fields)


def _trial(objective: Objective, moved: Moved, shelf: Memory) -> Trial | None:
    """None where there are too few examples for one."""
    try:
        return Trial(objective, moved, shelf=shelf)
    except NotInterpolated:
        return None


def _beside(
    one: Pass, held: Outputs, moved: Moved, settled: Settled, shelf: Memory
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """On other data at the same nodes: loss and metrics on the grid, and how far they may be off.

    Where the loss was settled by a trial, so are these, by one on these data.
    """
    values = held.level(settled.lattice, before=True, report=lambda: None)
    trial = _trial(one.objective, moved, shelf) if settled.shown else None
    errors = finished(values, values.before, held, one.functions, trial, settled.shown)
    return values.grid, errors


def _exactly(one: Pass, moved: Moved, axes: tuple[np.ndarray, np.ndarray], shelf: Memory) -> dict[str, np.ndarray]:
    """What outputs do not tell, at every point of the grid."""
    if not one.with_gradient:
        return {}
    return {GRADIENT: _everywhere(_ExactlyAt(one, moved), axes, shelf.inside("gradient"), None)[0]}


class _Counted:
    """Progress that remembers how much was done."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self.done = progress, 0

    def __call__(self, done: int, most: int) -> None:
        if done > self.done and self._progress is not None:
            self._progress(done, most)
        self.done = max(self.done, done)
