#!/usr/bin/env python
"""At equal loss the curvature along Muon's updates is lower than along those of Adam and of SGD.

A small transformer over characters. The learning rate of each optimizer is the one of a grid with the lowest training
loss after as many steps, on a seed of its own. From four other seeds, where the training loss first is at most a level,
the next steps u as they are really made: uᵀHu/‖u‖², H the Hessian of all training data.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.palette import BLUE, GREEN, RED
from shared.training import NotReached
from shared.tuning import Tuned, tuned
from torch import Tensor, nn

import landscape as ls
from landscape import plots
from landscape.problems import Problem
from landscape.statistics import Contrast, contrast
from landscape.training import Training, training_settings

CONFIG = {"characters": 10_000, "context": 32, "width": 32}
GRIDS: dict[str, tuple[float, ...]] = {
    "muon": (0.003, 0.01, 0.03, 0.1),
    "adam": (1e-3, 3e-3, 1e-2, 3e-2),
    "momentum": (0.03, 0.1, 0.3, 1.0),
}
NAMES = {"muon": "Muon", "adam": "Adam", "momentum": "SGD with momentum"}
COLORS = {"muon": RED, "adam": BLUE, "momentum": GREEN}
TUNED_FOR, EPOCHS = 10, 60  # the levels may take longer than what the rates are chosen by
LEVELS, SEEDS = (2.6, 2.3, 2.0), (0, 1, 2, 3)
EVERY, UPDATES = 5, 3  # steps between two looks at the loss, and updates at each level


@dataclass(frozen=True)
class Along:
    """An optimizer's directional sharpness: (levels,) arrays for each seed, the loss met, and its rate."""

    rate: Tuned
    losses: dict[int, np.ndarray]
    sharpness: dict[int, np.ndarray]

    def over_levels(self) -> dict[int, float]:
        """Mean for each seed."""
        return {seed: float(each.mean()) for seed, each in self.sharpness.items()}


def along_updates(
    problem: Problem, optimizer: str, lr: float, *, levels: Sequence[float], epochs: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Training loss met at each level, and the mean directional sharpness of the updates from there on."""
    settings = training_settings(problem, {"optimizer": optimizer, "lr": lr, "epochs": epochs, "seed": seed})
    run = Training(problem, settings, Path())
    objective = problem.objective(run.model)
    losses, sharpness = [], []
    with run.seeded():
        for level in levels:
            while (loss := objective.loss(point(objective, run.model))) > level:
                if run.step >= run.total_steps:
                    raise NotReached(f"{optimizer} at {lr:g}, seed {seed}: training loss {loss:.3g}, not {level:g}")
                for _ in range(min(EVERY, run.total_steps - run.step)):
                    run.advance()
            values = []
            for _ in range(UPDATES):
                before = point(objective, run.model)
                run.advance()
                update = before - point(objective, run.model)
                H = ls.HessianOperator(objective, before, route="fresh", expected_matvecs=1)
                found = ls.directional_sharpness(objective, update, theta=before, groups=None, hessian=H)
                values.append(float(found))
            losses.append(loss)
            sharpness.append(np.mean(values))
    return np.array(losses), np.array(sharpness)


def point(objective: ls.Objective, model: nn.Module) -> Tensor:
    """θ of the model now."""
    named = dict(model.named_parameters())
    theta: Tensor = objective.layout.flatten({name: named[name].detach() for name in objective.layout.names})
    return theta


def measure(quick: bool) -> dict[str, Along]:
    """All optimizers."""
    problem = ls.get_problem("char-transformer-small", CONFIG | ({"characters": 2000} if quick else {}))
    levels, seeds = ((3.2, 3.0), SEEDS[:2]) if quick else (LEVELS, SEEDS)
    found = {}
    for optimizer, grid in GRIDS.items():
        rates = grid[1:3] if quick else grid
        rate = tuned(problem, optimizer, rates=rates, seeds=(), epochs=1 if quick else TUNED_FOR)
        each = {
            seed: along_updates(problem, optimizer, rate.lr, levels=levels, epochs=EPOCHS, seed=seed) for seed in seeds
        }
        losses, sharpness = ({seed: pair[part] for seed, pair in each.items()} for part in (0, 1))
        found[optimizer] = Along(rate, losses, sharpness)
    return found


def compared(found: dict[str, Along], other: str) -> Contrast:
    """Muon's less the other's, over seeds; no ratio, for curvature along an update may be negative."""
    return contrast(found["muon"].over_levels(), found[other].over_levels())


def judge(found: dict[str, Along]) -> tuple[str, bool]:
    """Held if over the levels Muon's is below that of each other, by intervals that leave 0 out; all rates tuned."""
    gaps = {other: compared(found, other) for other in NAMES if other != "muon"}
    said = [
        f"Muon's less that of {NAMES[other]} {gap.difference:.3g} ({gap.low:.3g} … {gap.high:.3g})"
        for other, gap in gaps.items()
    ]
    means = {name: np.mean(list(one.sharpness.values()), axis=0) for name, one in found.items()}
    said += [f"{NAMES[name]} {', '.join(f'{value:.3g}' for value in each)}" for name, each in means.items()]
    met = np.stack([loss for one in found.values() for loss in one.losses.values()])
    levels = ", ".join(f"{low:.2f} … {high:.2f}" for low, high in zip(met.min(0), met.max(0), strict=True))
    rates = ", ".join(
        f"{NAMES[name]} {one.rate.lr:g}" + (", THE EDGE OF ITS GRID" if one.rate.at_edge else "")
        for name, one in found.items()
    )
    tuned_all = not any(one.rate.at_edge for one in found.values())
    words = f"{'; '.join(said)} at training losses {levels}; rates: {rates}"
    return words, bool(tuned_all and all(gap.high < 0 for gap in gaps.values()))


def draw(found: dict[str, Along]) -> Figure:
    """Against the training loss, which falls from left to right."""
    figure = plots.new_figure(plots.SINGLE, 2.6)
    ax = figure.add_subplot()
    for name, one in found.items():
        losses, values = (np.stack(list(part.values())) for part in (one.losses, one.sharpness))
        ax.plot(losses.mean(0), values.mean(0), color=COLORS[name], label=NAMES[name])
        ax.plot(losses, values, color=COLORS[name], linestyle="none", marker=".", markersize=3, alpha=0.7)
    ax.invert_xaxis()
    ax.set_xlabel("training loss")
    ax.set_ylabel(r"$u^\top H u\,/\,\|u\|^2$ of the update u")
    plots.legend_outside(figure)
    return figure


FACT = Fact(
    name="muon_directional_sharpness",
    claim="At equal training loss the curvature of a transformer's loss along the updates is lower for Muon than for "
    "Adam and for SGD.",
    source="Wang, Zhang, Li, Bergemann & Yang (2026), Why Muon outperforms Adam: a curvature perspective, "
    "arXiv:2606.04662, abstract: measured against Adam at equal validation loss, proved against gradient descent on "
    "quadratics",
    measure=measure,
    judge=judge,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(main(FACT))
