"""Optimizers at their best learning rate of a grid, which a seed of its own chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from shared.training import trained
from torch import nn

from landscape.problems import Problem
from landscape.problems.metrics import evaluate
from landscape.training import Diverged

TUNING_SEED, LOOKS = 100, 8


@dataclass(frozen=True)
class Tuned:
    """An optimizer on a problem: its learning rate, and from each seed (L, 2): steps, training losses.

    ``at_edge`` says that no smaller, or no larger, rate was tried: the best may lie beyond the grid.
    """

    lr: float
    curves: dict[int, np.ndarray]
    at_edge: bool = False

    def __str__(self) -> str:
        """The mean loss at the end, the rate, and whether the grid goes on behind it."""
        end = np.mean([curve[-1, 1] for curve in self.curves.values()])
        return f"{end:.3g} at {self.lr:g}" + (", THE EDGE OF ITS GRID" if self.at_edge else "")


def tuned(problem: Problem, optimizer: str, *, rates: Sequence[float], seeds: Sequence[int], epochs: int) -> Tuned:
    """Take the rate with the lowest training loss after these epochs, then train as long from the seeds."""
    ends = {
        lr: curve(problem, looks=1, optimizer=optimizer, lr=lr, epochs=epochs, seed=TUNING_SEED)[-1, 1] for lr in rates
    }
    best = min(ends, key=lambda lr: ends[lr])
    curves = {
        seed: curve(problem, looks=LOOKS, optimizer=optimizer, lr=best, epochs=epochs, seed=seed) for seed in seeds
    }
    return Tuned(best, curves, at_edge=best in (min(rates), max(rates)))


def curve(problem: Problem, *, looks: int, epochs: int, **asked: Any) -> np.ndarray:
    """(steps, training loss) at the start and at ``looks`` places after it; infinite at the end if it diverges."""
    steps = epochs * -(-len(problem.train[1]) // problem.recipe.batch_size)
    places = {round(steps * share / looks) for share in range(looks + 1)}
    found: list[tuple[int, float]] = []

    def watch(step: int, model: nn.Module) -> None:
        if step in places:
            found.append((step, evaluate(problem, model)["train_loss"]))

    try:
        trained(problem, watch=watch, epochs=epochs, **asked)
    except Diverged:
        found.append((steps, float("inf")))
    return np.array(found)
