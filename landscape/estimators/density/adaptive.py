"""Steps and probes, whichever narrows the band more for its products, until it is as narrow as asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from landscape.estimators.eigen.thick_restart import BASIS_BYTES
from landscape.estimators.krylov.several_starts import Lockstep
from landscape.estimators.matvecs import Matvecs
from landscape.results import SpectralMeasure

#: Most steps of a round, as a share of those made: what they will bring is read off the last as many.
_GROWTH = 0.25
_FEWEST = 4


@dataclass(frozen=True)
class _Move:
    """What a round adds: steps to each run that goes on, or probes."""

    steps: int = 0
    probes: int = 0


def until_narrow(
    matvecs: Matvecs,
    starts: Callable[[range], torch.Tensor],
    record: Callable[[np.ndarray, np.ndarray], SpectralMeasure],
    *,
    known: torch.Tensor | None,
    num_probes: int,
    num_steps: int,
    most_steps: int,
    tol: float,
) -> SpectralMeasure:
    """Rounds until ``record`` of the coefficients has a width of at most tol, or the matvecs allowed are spent.

    The bases are held, so that runs go on where they are. Where they would take more than 1 GiB together, they are let
    go: from then on steps stay as they are, and only probes are added. A single run goes on whatever it takes.
    """
    runs = Lockstep(matvecs, starts(range(num_probes)), steps=num_steps, known=known)
    runs.run()
    held = True
    while True:
        measure = record(runs.alphas, runs.betas)
        if measure.width <= tol:
            return measure
        R, T = runs.alphas.shape
        fitting = _fitting(matvecs, T)
        room = most_steps - T if held else 0
        if R > 1:
            room = min(room, _steps_fitting(matvecs, R) - T)
        move = _next(measure, tol, going_on=runs.going_on, room=room, left=matvecs.left)
        if move is None:
            return replace(measure, converged=False)
        if move.steps:
            runs.run(T + move.steps)
            continue
        if R + move.probes > fitting:
            runs.release()
            held = False
        at_once = move.probes if held else max(1, fitting)
        for first in range(R, R + move.probes, at_once):
            runs.add(starts(range(first, min(first + at_once, R + move.probes))))
            runs.run()
            if not held:
                runs.release()


def _next(measure: SpectralMeasure, tol: float, *, going_on: int, room: int, left: int) -> _Move | None:
    """The move that narrows the band most for each product; None where no product is left for any."""
    R, T = measure.alphas.shape
    bracket, chance = measure.bracket_width, measure.width - measure.bracket_width
    growth = min(max(round(_GROWTH * T), _FEWEST), room, left // max(going_on, 1)) if going_on else 0
    if 0 < chance < tol:
        growth = min(growth, max(_FEWEST, math.ceil(T * (bracket / (tol - chance) - 1))))
    probes = min(max(1, math.ceil(R * ((chance / (tol - bracket)) ** 2 - 1))) if bracket < tol else 1, R, left // T)
    by_steps = bracket * (1 - _ratio(measure, growth)) / (growth * going_on) if growth > 0 else 0.0
    by_probes = chance * (1 - math.sqrt(R / (R + 1))) / T if probes > 0 else 0.0
    if by_steps == by_probes == 0:
        return None
    return _Move(steps=growth) if by_steps >= by_probes else _Move(probes=probes)


def _ratio(measure: SpectralMeasure, growth: int) -> float:
    """By which factor further steps shrink the brackets: between what it was before, and T/(T + growth)."""
    T = measure.alphas.shape[1]
    law = T / (T + growth)
    before = max(1, round(T * law))
    # Two runs are like the others.
    alphas, betas = measure.alphas[:2], measure.betas[:2]
    now = replace(measure, alphas=alphas, betas=betas).bracket_width
    fewer = replace(measure, alphas=alphas[:, :before], betas=betas[:, :before]).bracket_width
    seen = min(now / fewer, 1.0) if fewer > 0 else 1.0
    return math.sqrt(seen * law)


def _fitting(matvecs: Matvecs, steps: int) -> int:
    """Runs of so many steps whose bases fit, with the two vectors of each that a product takes."""
    return BASIS_BYTES // ((steps + 3) * _bytes(matvecs))


def _steps_fitting(matvecs: Matvecs, runs: int) -> int:
    """Steps up to which the bases of so many runs fit, one of them twice while it grows."""
    return BASIS_BYTES // ((runs + 1) * _bytes(matvecs)) - 3


def _bytes(matvecs: Matvecs) -> int:
    H = matvecs.operator
    return H.dim * torch.empty(0, dtype=H.dtype).element_size()
