"""The highest loss found in a ball around θ, which is a lower bound; and what is asked of a ball at all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from landscape.errors import ObjectiveError
from landscape.geometry.sharpness.ascent import Ball, highest, most_evaluations
from landscape.objective import Objective
from landscape.progress import Progress
from landscape.results import Sharpness


@dataclass(frozen=True)
class Around:
    """What is asked: the loss within ``‖δ/c‖_p ≤ ρ`` of θ, under which name; ``scale`` is c, (P,) like θ."""

    objective: Objective
    theta: Tensor
    scale: Tensor
    rho: float
    p: float
    name: str
    reference: str
    in_percent: bool = False

    def share(self, loss: float) -> float:
        """By what a rise is multiplied, where the loss at θ is this."""
        if not self.in_percent:
            return 1.0
        if 1 + loss <= 0:
            raise ObjectiveError(
                f"{self.name} divides by 1 + L, and the loss is {loss:.6g}: it is defined for losses of at least 0. "
                "Ask for the worst case instead, which is a difference"
            )
        return 100 / (1 + loss)


def worst(around: Around, *, restarts: int, steps: int, seed: int, progress: Progress | None) -> Sharpness:
    """The highest loss that ascents find; at most ``steps·(restarts + 9) + 3`` gradients."""
    tick = Ticker(progress, total=most_evaluations(restarts, steps))
    ball = Ball(around.objective, around.theta, around.scale, rho=around.rho, p=around.p, tick=tick)
    share = around.share(ball.base)
    found = highest(ball, restarts=restarts, steps=steps, seed=seed)
    tick.end()
    return Sharpness(
        measure=around.name,
        # Staying at θ is allowed too, so no ball has a worst case below zero.
        value=math.nan if ball.undefined else max(found.rise, 0.0) * share,
        error=None,
        kind="lower bound",
        rho=around.rho,
        p=around.p,
        samples=np.array(found.rises) * share,
        converged=found.settled,
        num_evaluations=ball.num_evaluations,
        seed=seed,
        reference=around.reference,
    )


class Ticker:
    """Counts evaluations and reports them."""

    def __init__(self, progress: Progress | None, *, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)

    def end(self) -> None:
        """It took fewer than it might have."""
        if self._progress is not None and self._done < self._total:
            self._progress(self._done, self._done)
