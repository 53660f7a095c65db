"""Levels of nodes until the stated error is met, or the grid itself costs no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from landscape.geometry.metrics import Function
from landscape.geometry.surfaces.drawn import Drawn
from landscape.geometry.surfaces.network import NotInterpolated
from landscape.geometry.surfaces.nodes import LEVELS, Lattice
from landscape.geometry.surfaces.outputs import Outputs
from landscape.geometry.surfaces.trial import Trial
from landscape.geometry.surfaces.values import LevelValues, Named


@dataclass(frozen=True)
class Caution:
    """How large an error is at most, in units of what a level knows of itself.

    Attributes
    ----------
    checkerboard : float
        Of how far its nodes are from what the other half of them predicts.
    before : float
        Of its distance to the level before.
    """

    checkerboard: float
    before: float


#: Of losses on the grid; and of whatever else is read there, logarithms and metrics, which bend more: docs/accuracy.md.
OF_LOSS, OF_OTHERS = Caution(1.0, 0.5), Caution(1.5, 1.0)
#: On a line, which has no checkerboard: times the distance to the level before.
_ON_LINE = 1.5


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
    """max(checkerboard, half the difference to the level before), measured: docs/accuracy.md.

    On a line, which has no checkerboard, 1.5 times the difference.
    """
    of_loss = _largest(values, before, "", lambda x: x, OF_LOSS)
    return Stated.of(of_loss, _largest(values, before, "", np.log10, OF_OTHERS), values)


def _largest(
    values: LevelValues,
    before: np.ndarray,
    name: str,
    read: Callable[[np.ndarray], np.ndarray],
    caution: Caution,
) -> float:
    grid, at_nodes, predicted = values.grid[name], values.at_nodes[name], values.predicted[name]
    times = _ON_LINE if len(grid) == 1 else caution.before
    with np.errstate(all="ignore"):
        apart = times * np.abs(read(grid) - read(before)).max()
        return float(np.maximum(apart, caution.checkerboard * np.abs(read(predicted) - read(at_nodes)).max()))


def errors_of(
    values: LevelValues, before: Named, own: Outputs | Drawn, lattice: Lattice, functions: dict[str, Function],
    trial: Trial | None,
) -> dict[str, float]:  # fmt: skip
    """The largest error on the grid of loss and metrics, as of the loss by :func:`stated`, or by a trial if smaller."""
    found = {
        name: _largest(values, before[name], name, lambda x: x, OF_OTHERS if name else OF_LOSS) for name in values.grid
    }
    if trial is None:
        return found
    tried = trial.bounds(own, lattice, functions)
    return {name: min(error, tried[name][0]) for name, error in found.items()}


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
    before : dict of str to (Y, X) array
        What the level before says.
    is_tried : bool
        Whether the error was seen on examples that were tried at the next level.
    metric_errors : dict of str to float
        Of the metrics on the data of the loss.
    """

    values: LevelValues
    lattice: Lattice
    error: Stated
    evaluations: float
    reason: str = ""
    num_drawn: int = 0
    before: Named = field(default_factory=dict)
    is_tried: bool = False
    metric_errors: dict[str, float] = field(default_factory=dict)


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
    points, before = int(np.prod([len(axis) for axis in axes])), dict[str, np.ndarray]()

    def spent() -> float:
        return spent_before + outputs.evaluations + (trial.evaluations if trial else 0.0)

    for count in levels_for(axes):
        lattice = Lattice(count, axes)
        values = outputs.level(lattice, before=not before, report=lambda: progress(spent()))
        before = before or values.before
        error, is_tried = stated(values, before[""]), False
        if error.of_range > tol and trial is not None and count < LEVELS[-1]:
            tried = Stated.of(*trial.bounds(outputs, lattice, {})[""], values)
            error, is_tried = min((error, False), (tried, True), key=lambda one: one[0].absolute)
        evaluations = spent()
        progress(evaluations)
        if error.of_range <= tol:
            return Settled(values, lattice, error, evaluations, before=before, is_tried=is_tried)
        missed = missed_words(tol, evaluations, error)
        if points <= Lattice(2 * count - 1, axes).size:
            raise NotInterpolated(missed)
        earlier, before = before, values.grid
    return Settled(values, lattice, error, evaluations, missed, before=earlier, is_tried=is_tried)


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
