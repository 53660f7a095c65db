"""Levels of nodes until the stated error is met, or the grid itself costs no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from landscape.geometry.surfaces.nodes import LEVELS, Lattice
from landscape.geometry.surfaces.outputs import LevelValues, NotInterpolated, Outputs

#: By how much the error exceeds what a checkerboard of nodes predicts of itself, at most.
_CAUTION = 1.5


@dataclass(frozen=True)
class Stated:
    """The largest error on the grid, as it is stated: in units of the loss, of its range, and in log₁₀."""

    absolute: float
    of_range: float
    log10: float


def stated(values: LevelValues, before: np.ndarray) -> Stated:
    """max(1.5 · checkerboard, difference to the level before), measured: docs/accuracy.md."""
    loss, at_nodes, predicted = values.grid[""], values.at_nodes, values.predicted

    def largest(read: Callable[[np.ndarray], np.ndarray]) -> float:
        with np.errstate(all="ignore"):
            apart = np.abs(read(loss) - read(before)).max()
            return float(np.maximum(apart, _CAUTION * np.abs(read(predicted) - read(at_nodes)).max()))

    absolute, spread = largest(lambda x: x), float(np.ptp(loss))
    of_range = absolute / spread if spread > 0 else 0.0 if absolute == 0 else np.inf
    return Stated(absolute, of_range, largest(np.log10))


def refine(
    outputs: Outputs, axes: tuple[np.ndarray, np.ndarray], tol: float, progress: Callable[[float, int], None]
) -> tuple[LevelValues, Lattice, Stated, str]:
    """The first level whose stated error is at most ``tol`` of the range, or the finest.

    Returns
    -------
    tuple
        What it says, its nodes, its error, and the reason where it was not reached.

    Raises
    ------
    NotInterpolated
        Where outputs cannot be interpolated, or the grid costs no more than all nodes of the next level.
    """
    points, before = int(np.prod([len(axis) for axis in axes])), None
    for count in levels_for(axes):
        lattice = Lattice(count, axes)
        values = outputs.level(
            lattice, before=before is None, report=lambda share, size=lattice.size: progress(share, size)
        )
        error = stated(values, values.before if before is None else before)
        if error.of_range <= tol:
            return values, lattice, error, ""
        missed = f"± {100 * error.of_range:.2g} % of the range from {lattice.size} evaluations, {100 * tol:.2g} % asked"
        if points <= Lattice(2 * count - 1, axes).size:
            raise NotInterpolated(missed)
        before = values.grid[""]
    return values, lattice, error, missed


def levels_for(axes: tuple[np.ndarray, np.ndarray]) -> list[int]:
    """Levels with fewer nodes than the grid has points; none where the grid is as small."""
    points = int(np.prod([len(axis) for axis in axes]))
    return [count for count in LEVELS if Lattice(count, axes).size < points]
