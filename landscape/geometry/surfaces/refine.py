"""Levels of nodes until the stated error is met, or the grid itself costs no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from landscape.geometry.metrics import Function
from landscape.geometry.surfaces.drawn import Drawn
from landscape.geometry.surfaces.lattice import Lattice
from landscape.geometry.surfaces.network import NotInterpolated
from landscape.geometry.surfaces.nodes import LEVELS
from landscape.geometry.surfaces.outputs import Outputs
from landscape.geometry.surfaces.trial import Said, Shown, Trial
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
#: Of the error that is wanted: more examples are tried where that much is expected of them.
_NEARLY = 1.1


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


def finished(
    values: LevelValues, before: Named, own: Outputs | Drawn, functions: dict[str, Function], trial: Trial | None,
    shown: Shown | None,
) -> dict[str, float]:  # fmt: skip
    """The largest error of loss and metrics, as of the loss by :func:`stated`, or by a trial where that is smaller.

    What the trial would add there is added to the grid. There is none where ``shown`` is None.
    """
    found = {
        name: _largest(values, before[name], name, lambda x: x, OF_OTHERS if name else OF_LOSS) for name in values.grid
    }
    if trial is None or shown is None:
        return found
    said = trial.said(own, shown, functions)
    better = [name for name in found if said[name].error < found[name]]
    found |= {name: said[name].error for name in better}
    corrected = [name for name in better if said[name].corrects]
    if isinstance(own, Outputs) and corrected:
        added = trial.corrections(own, shown, functions)
        for name in corrected:
            values.grid[name] = _sum_of(values.grid[name], added[name])
    return found


def _sum_of(values: np.ndarray, added: np.ndarray) -> np.ndarray:
    """But where nothing would be left of what is positive, such as a loss: there it stays as it is."""
    found = values + added
    return np.where((found > 0) | (values <= 0), found, values)


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
    shown : Shown or None
        By what the error is shown, where it is by examples that were tried.
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
    shown: Shown | None = None
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

    What a level says of itself is far too careful at first; where that is not within ``tol``, it is held against finer
    ones on a few of the examples. Half of the next level is all that is taken where these say that it will do.

    Raises
    ------
    NotInterpolated
        Where outputs cannot be interpolated, or the grid costs no more than all nodes of the next level.
    """
    points, before = int(np.prod([len(axis) for axis in axes])), dict[str, np.ndarray]()

    def spent() -> float:
        return spent_before + outputs.evaluations + (trial.evaluations if trial else 0.0)

    def level(lattice: Lattice, *, first: bool) -> LevelValues:
        return outputs.level(lattice, before=first, report=lambda: progress(spent()))

    for count in levels_for(axes):
        lattice, shown = Lattice(count, axes), None
        values = level(lattice, first=not before)
        before = before or values.before
        error = stated(values, before[""])
        if error.of_range > tol and trial is not None and count < LEVELS[-1]:
            tried, shown = _try_out(trial, outputs, lattice, values, tol)
            if shown.lattice.is_half:
                half = level(shown.lattice, first=False)
                of_half = Stated.of(tried.absolute, tried.log10, half)
                if of_half.of_range <= tol:
                    return Settled(half, shown.lattice, of_half, spent(), before=values.grid, shown=shown)
                shown = None
            if shown is not None and tried.absolute < error.absolute:
                error = tried
            else:
                shown = None
        evaluations = spent()
        progress(evaluations)
        if error.of_range <= tol:
            return Settled(values, lattice, error, evaluations, before=before, shown=shown)
        missed = missed_words(tol, evaluations, error)
        if points <= lattice.finer.size:
            raise NotInterpolated(missed)
        earlier, before = before, values.grid
    return Settled(values, lattice, error, evaluations, missed, before=earlier, shown=shown)


def _try_out(
    trial: Trial, outputs: Outputs | Drawn, lattice: Lattice, values: LevelValues, tol: float
) -> tuple[Stated, Shown]:
    """The error of a level, or of half of the finer one, by whatever shows first that it is within ``tol``.

    Cheapest first: held against half of the finer level, corrected by the examples from that half, or from all of it,
    and the half corrected likewise, at last from half of the level after it. Where more examples seem to do, they are
    tried before the next of these. Where none does, the smallest of the level's own.
    """
    halfway, finer = lattice.halfway, lattice.finer
    if halfway is None or halfway.size >= values.grid[""].size:
        ways = [Shown(lattice, finer)]
    elif isinstance(outputs, Drawn):  # whose values are read again, and have errors by chance of their own
        ways = [Shown(lattice, halfway), Shown(halfway, finer)]
    else:
        ways = [Shown(lattice, halfway), Shown(lattice, halfway, lattice)]
        ways += [Shown(lattice, finer, halfway), Shown(halfway, finer, halfway)]
        beyond = finer.halfway
        if beyond is not None and finer.count < LEVELS[-1] and beyond.size < values.grid[""].size:
            ways.append(Shown(halfway, beyond, finer))
    found = list[tuple[Stated, Shown]]()

    def tried(shown: Shown) -> Said:
        said = trial.said(outputs, shown, {})[""]
        found.append((Stated.of(said.error, said.log10, values), shown))
        return said

    for shown in ways:
        said = tried(shown)
        nearly = Stated.of(said.by_more, said.log10, values).of_range <= _NEARLY * tol
        if found[-1][0].of_range > tol and nearly and isinstance(outputs, Outputs) and outputs.is_led:
            tried(replace(shown, by_more=True))
        if found[-1][0].of_range <= tol:
            return found[-1]
    return min((one for one in found if one[1].lattice is lattice), key=lambda one: one[0].absolute)


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
