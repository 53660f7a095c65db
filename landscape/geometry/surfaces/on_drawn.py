"""Whether some of the examples are enough for a slice, and its values from these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from landscape.geometry.metrics import Pass
from landscape.geometry.surfaces.drawn import FIRST, Drawn, Known
from landscape.geometry.surfaces.each import NotDrawn
from landscape.geometry.surfaces.lattice import Lattice
from landscape.geometry.surfaces.memory import Memory
from landscape.geometry.surfaces.network import Moved, NotInterpolated
from landscape.geometry.surfaces.outputs import Outputs
from landscape.geometry.surfaces.refine import Settled, Stated, finished, levels_for, missed_words, refine
from landscape.geometry.surfaces.trial import Trial
from landscape.objective import Objective

#: Of what is asked, how much may be left between the nodes, and how much is expected: what that leaves is for the draw.
_BETWEEN, _USUAL = 0.5, 0.2


def can_draw(objective: Objective) -> bool:
    """Whether the loss may be a mean over examples that can be picked, so many that some of them could do."""
    alike = not objective.weighs_examples and not objective.interacting
    return alike and objective.can_pick and objective.num_examples >= 2 * FIRST


def settled_on_drawn(
    one: Pass,
    outputs: Outputs,
    moved: Moved,
    axes: tuple[np.ndarray, np.ndarray],
    tol: float,
    exact: Sequence[tuple[float, float]],
    *,
    trial: Trial | None,
    shelf: Memory,
    report: Callable[[float], None],
) -> tuple[Settled | None, float]:
    """What drawn examples say, None where all must be evaluated, and what that took beside ``outputs`` and ``trial``.

    Parameters
    ----------
    one, outputs : Pass, Outputs
        Of all the data.
    exact : pairs of floats
        Where these are evaluated.
    """
    drawn = None

    def spent() -> float:
        of_all = outputs.evaluations + (trial.evaluations if trial else 0.0)
        return of_all + (drawn.evaluations if drawn else 0.0)

    try:
        known = Known.at(outputs, exact)
        drawn = Drawn(one, moved, known, most=Lattice(levels_for(axes)[-1], axes).size, shelf=shelf)
        drawn.try_out(axes, (1 - _USUAL) * tol, report=lambda: report(spent()))
        before = outputs.evaluations
        settled = refine(drawn, axes, _BETWEEN * tol, trial=trial, spent_before=before, progress=report)
        settled.metric_errors = finished(settled.values, settled.before, drawn, one.functions, trial, settled.shown)
        return _until(drawn, settled, tol, spent=spent, report=report), drawn.evaluations
    except (NotDrawn, NotInterpolated):
        return None, drawn.evaluations if drawn else 0.0


def _until(
    drawn: Drawn, settled: Settled, tol: float, *, spent: Callable[[], float], report: Callable[[float], None]
) -> Settled:
    """More examples at the same nodes, until both errors together are within what is asked."""
    between = settled.error
    while True:
        values, errors = drawn.at_known(settled.lattice, report=lambda: report(spent()))
        absolute, log10 = errors[""]
        error = Stated.of(between.absolute + absolute, between.log10 + log10, values)
        if error.of_range <= tol or settled.reason:  # nodes do not do
            break
        before = drawn.num_drawn
        drawn.draw(drawn.needed(absolute, tol * float(np.ptp(values.grid[""])) - between.absolute))
        if drawn.num_drawn == before:
            break
    reason = missed_words(tol, spent(), error) if error.of_range > tol else ""
    metric_errors = {name: between + errors[name][0] for name, between in settled.metric_errors.items()}
    return replace(
        settled, values=values, error=error, evaluations=spent(), reason=reason, num_drawn=drawn.num_drawn,
        metric_errors=metric_errors,
    )  # fmt: skip
