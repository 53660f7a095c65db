#!/usr/bin/env python
"""SGD in small batches: batch sharpness comes to rest at 2/η, while the largest eigenvalue stays below.

The network of ``edge_of_stability.py`` in batches of 16, three seeds. Batch sharpness is the mean curvature of a
batch's own loss along its own gradient (``landscape.batch_sharpness``).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.palette import BLUE, RED
from shared.stability import CONFIG, Case, Curve

import landscape as ls
from landscape import plots

LR, BATCH, SEEDS = 0.1, 16, (0, 1, 2)
STEPS, EVERY, BATCHES = 6000, 200, 48
WITHIN, BELOW = 0.15, 0.8  # of 2/η: how near batch sharpness has to be, and above which λ_max must not be


@dataclass(frozen=True)
class Both:
    """The same paths by both measures."""

    batch: Case
    largest: Case


def sgd_path(seed: int, *, steps: int, every: int) -> tuple[Curve, Curve]:
    """Batch sharpness and λ_max along plain SGD, each as ``step`` and ``sharpness``."""
    problem = ls.get_problem("mlp-digits", CONFIG)
    objective = problem.objective(problem.make_model(seed), chunk=None)
    theta, H, start = objective.theta, ls.HessianOperator(objective), None
    random, order = np.random.default_rng(seed), np.empty(0, dtype=int)
    along, largest, at = [], [], []
    for step in range(1, steps + 1):
        if len(order) < BATCH:
            order = random.permutation(objective.num_examples)
        rows, order = order[:BATCH], order[BATCH:]
        theta -= LR * objective.subset(rows).gradient(theta)
        if step % every == 0:
            eigs = ls.top_eigenpairs(H.at(theta), 1, tol=2e-2, start=start)
            start = eigs.vectors
            found = ls.batch_sharpness(objective, batch_size=BATCH, theta=theta, num_batches=BATCHES, seed=step)
            at.append(step)
            along.append(found.value)
            largest.append(float(eigs.values[0]))
    steps_seen = np.array(at)
    return (
        {"step": steps_seen, "sharpness": np.array(along)},
        {"step": steps_seen, "sharpness": np.array(largest)},
    )


def measure(quick: bool) -> Both:
    """The paths of each seed."""
    steps, every, seeds = (60, 20, SEEDS[:1]) if quick else (STEPS, EVERY, SEEDS)
    paths = [sgd_path(seed, steps=steps, every=every) for seed in seeds]
    return Both(
        Case("batch sharpness", 2 / LR, [batch for batch, _ in paths]),
        Case("largest eigenvalue", 2 / LR, [largest for _, largest in paths]),
    )


def judge(found: Both) -> tuple[str, bool]:
    """Held if over the last third mean batch sharpness is within 15 % of 2/η, and mean λ_max below 0.8 of it."""
    said = []
    for case in (found.batch, found.largest):
        mean, low, high = case.interval
        said.append(
            f"{case.label} {mean:.2f} [{low:.2f}, {high:.2f}] × 2/η over the last third of {len(case.paths)} seeds, "
            f"{case.at_first:.2f} × at first"
        )
    _, low, high = found.batch.interval
    rests = abs(low - 1) < WITHIN and abs(high - 1) < WITHIN
    return "; ".join(said), bool(rests and found.largest.interval[2] < BELOW)


def draw(found: Both) -> Figure:
    """Both measures of every seed, with 2/η as a dashed line."""
    figure = plots.new_figure(plots.DOUBLE, 2.8)
    ax = figure.add_subplot()
    for case, color in ((found.batch, RED), (found.largest, BLUE)):
        for index, path in enumerate(case.paths):
            label = f"{case.label}, {len(case.paths)} seeds" if index == 0 else None
            ax.plot(path["step"], path["sharpness"], color=color, linewidth=1.0, alpha=0.8, label=label)
    ax.axhline(2 / LR, color="black", linestyle=(0, (4, 2)), linewidth=1, label="2/η")
    ax.set_ylim(bottom=0)
    ax.set_xlabel(f"step of SGD in batches of {BATCH}, η = {LR:g}")
    ax.set_ylabel("curvature (loss/parameter²)")
    plots.legend_outside(figure)
    return figure


FACT = Fact(
    name="batch_sharpness",
    claim="In SGD with small batches it is batch sharpness that comes to rest at 2/η; the largest eigenvalue of the "
    "Hessian stays below.",
    source="Andreyev & Beneventano (2024), Edge of stochastic stability, arXiv:2412.20553, fig. 1",
    measure=measure,
    judge=judge,
    draw=draw,
    caveat="The claim is about trainings that come to an edge; at this rate this one stops to sharpen before it, batch "
    "sharpness at rest and λ_max slowly falling.",
)

if __name__ == "__main__":
    sys.exit(main(FACT))
