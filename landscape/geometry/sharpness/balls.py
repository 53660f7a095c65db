"""The highest loss found in a ball around θ, which is a lower bound; and what is asked of a ball at all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from landscape.errors import ObjectiveError
from landscape.geometry.sharpness.ascent import Ball, highest, most_evaluations
from landscape.geometry.sharpness.drawn import few_of, highest_on_few
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
    """The highest loss that ascents find, on few examples where they can be drawn; at most ``steps·(restarts + 9) + 3``
    gradients."""
    tick = Ticker(progress, total=most_evaluations(restarts, steps))
    how = {"rho": around.rho, "p": around.p}
    few = few_of(around.objective, around.theta, around.scale, seed=seed, spend=tick, **how)
    if few is None:
        ball, method = Ball(around.objective, around.theta, around.scale, tick=tick, **how), ""
        share = around.share(ball.base)
        found = highest(ball, restarts=restarts, steps=steps, seed=seed)
    else:
        ball, share = few.ball, around.share(few.ball.base)
        found = highest_on_few(few, restarts=restarts, steps=steps, seed=seed, left=lambda: tick.left)
        method = f"walked on draws of {min(few.drawn)} to {max(few.drawn)} of {around.objective.num_examples} examples"
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
        num_evaluations=math.ceil(tick.cost - 1e-6),
        seed=seed,
        reference=around.reference,
        cost=math.nan if few is None else tick.cost,
        method=method,
    )


class Ticker:
    """Adds up what evaluations cost, in gradients over all data, and reports each that is complete."""

    def __init__(self, progress: Progress | None, *, total: int) -> None:
        self._progress, self._total, self._done, self.cost = progress, total, 0, 0.0

    @property
    def left(self) -> float:
        """What may still be spent."""
        return self._total - self.cost

    def __call__(self, cost: float = 1.0) -> None:
        self.cost += cost
        done = math.floor(self.cost + 1e-6)
        if done > self._done:
            self._done = done
            if self._progress is not None:
                self._progress(min(done, self._total), self._total)

    def end(self) -> None:
        """It took fewer than it might have."""
        if self._progress is not None and self._done < self._total:
            self._progress(max(self._done, 1), max(self._done, 1))
