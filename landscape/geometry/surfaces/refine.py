"""Levels of nodes until the stated error is met, or the grid itself costs no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from landscape.geometry.surfaces.drawn import Drawn
from landscape.geometry.surfaces.nodes import LEVELS, Lattice
from landscape.geometry.surfaces.outputs import NotInterpolated, Outputs
from landscape.geometry.surfaces.trial import Trial
from landscape.geometry.surfaces.values import LevelValues

#: By how much the error exceeds what a checkerboard of nodes predicts of itself, at most.
_CAUTION = 1.5


@dataclass(frozen=True)
class Stated:
    """The largest error on the grid, as it is stated: in units of the loss, of its range, and in log₁₀."""

    absolute: float
    of_range: float
    log10: float

    @classmethod
    def of(cls, absolute: float, log10: float, values: LevelValues) -> Stated:
        """With the range that the level has on the grid."""
        spread = float(np.ptp(values.grid[""]))
        return cls(absolute, absolute / spread if spread > 0 else 0.0 if absolute == 0 else np.inf, log10)


def stated(values: LevelValues, before: np.ndarray) -> Stated:
    """max(1.5 · checkerboard, difference to the level before), measured: docs/accuracy.md.

    On a line, which has no checkerboard, 1.5 times the difference.
    """
    loss, at_nodes, predicted = values.grid[""], values.at_nodes, values.predicted
    caution = _CAUTION if len(loss) == 1 else 1.0

    def largest(read: Callable[[np.ndarray], np.ndarray]) -> float:
        with np.errstate(all="ignore"):
            apart = caution * np.abs(read(loss) - read(before)).max()
            return float(np.maximum(apart, _CAUTION * np.abs(read(predicted) - read(at_nodes)).max()))

    return Stated.of(largest(lambda x: x), largest(np.log10), values)


@dataclass
class Settled:
    """What was settled upon.

    Attributes
    ----------
    values, lattice, error
        What the level says, its nodes, the error as stated.
    evaluations : float
        Of the network, in passes over all the data.
    reason : str
        What was not reached; empty where all was.
    num_drawn : int
        Of how many examples drawn at random; 0: of all.
    """

    values: LevelValues
    lattice: Lattice
    error: Stated
    evaluations: float
    reason: str = ""
    num_drawn: int = 0


def refine(
    outputs: Outputs | Drawn,
    axes: tuple[np.ndarray, np.ndarray],
    tol: float,
    *,
    trial: Trial | None,
    progress: Callable[[float], None],
    spent_before: float = 0.0,
) -> Settled:
    """The first level whose stated error is at most ``tol`` of the range, or the finest.

    What a level says of itself is far too careful at first; where that is not within ``tol``, it is held against the
    next one on a few of the examples, before this is evaluated on all.

    Raises
    ------
    NotInterpolated
        Where outputs cannot be interpolated, or the grid costs no more than all nodes of the next level.
    """
    points, before = int(np.prod([len(axis) for axis in axes])), None

    def spent() -> float:
        return spent_before + outputs.evaluations + (trial.evaluations if trial else 0.0)

    for count in levels_for(axes):
        lattice = Lattice(count, axes)
        values = outputs.level(lattice, before=before is None, report=lambda: progress(spent()))
        error = stated(values, values.before if before is None else before)
        if error.of_range > tol and trial is not None and count < LEVELS[-1]:
            tried = Stated.of(*trial.bound(outputs, lattice), values)
            error = min(error, tried, key=lambda one: one.absolute)
        evaluations = spent()
        progress(evaluations)
        if error.of_range <= tol:
            return Settled(values, lattice, error, evaluations)
        missed = missed_words(tol, evaluations, error)
        if points <= Lattice(2 * count - 1, axes).size:
            raise NotInterpolated(missed)
        before = values.grid[""]
    return Settled(values, lattice, error, evaluations, missed)


def levels_for(axes: tuple[np.ndarray, np.ndarray]) -> list[int]:
    """Levels with fewer nodes than the grid has points; none where the grid is as small."""
    points = int(np.prod([len(axis) for axis in axes]))
    return [count for count in LEVELS if Lattice(count, axes).size < points]


def missed_words(tol: float, evaluations: float, error: Stated) -> str:
    """Why ``tol`` was not reached."""
    return (
        f"{percent(tol)} of the range was asked, and {evaluations:.0f} evaluations have an error of at most "
        f"{percent(error.of_range)}"
    )


def percent(share: float) -> str:
    """Three digits of a share."""
    return f"{100 * share:.3g} %"
