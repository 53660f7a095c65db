#!/usr/bin/env python
"""A barrier lies between minima trained apart, none between minima that trained together at first.

LeNet-5 on the digits with SGD, in pairs: from two initialisations; and from one, of which the first epochs are shared
before the order of the data differs. Each run stops where the training loss is 0.01.
"""

from __future__ import annotations

import sys

import numpy as np
from matplotlib.figure import Figure
from shared.fact import Change, Fact, main
from shared.palette import BLUE, GREEN, RED
from shared.replicates import with_range
from shared.training import started_at, trained

import landscape as ls
from landscape import plots
from landscape.problems import Problem
from landscape.results import LineSlice

SEEDS, EPOCHS, POINTS = (0, 1, 2), 60, 25
LOSS = 0.01  # over the training data: where each run stops
APART = "two initialisations"
SHARED = {"one initialisation": 0, "the first 2 epochs shared": 2}
HIGH = 10.0  # times the loss at the ends: a barrier that is one
MUCH_SMALLER = 0.2  # of the barrier between those apart
Lines = dict[str, dict[int, LineSlice]]


def between(problem: Problem, *, shared: int | None, seed: int, until: float) -> LineSlice:
    """The loss between the two of a pair; ``shared`` None for two initialisations."""
    first, second = 1000 + seed, 2000 + seed  # of the order of the data, and of the weights where those differ
    if shared is not None:
        problem = started_at(
            problem, trained(problem, epochs=shared, seed=seed) if shared else problem.make_model(seed)
        )
    ends = [problem.objective(trained(problem, until=until, epochs=EPOCHS, seed=order)) for order in (first, second)]
    line: LineSlice = ls.interpolate(*ends, points=POINTS)
    return line


def measure(quick: bool) -> Lines:
    """The lines of all pairs."""
    seeds, until = (SEEDS[:1], 2.0) if quick else (SEEDS, LOSS)
    problem = ls.get_problem("lenet-digits", {"test_fraction": 0.9} if quick else {})
    ways: dict[str, int | None] = {APART: None, **SHARED}
    return {
        label: {seed: between(problem, shared=shared, seed=seed, until=until) for seed in seeds}
        for label, shared in ways.items()
    }


def judge(found: Lines) -> tuple[str, bool]:
    """Held if pairs apart have a barrier far above both ends, and pairs with shared epochs at most a fifth of it."""
    barriers = {label: np.array([line.barrier for line in lines.values()]) for label, lines in found.items()}
    ends = max(line.loss[i] for lines in found.values() for line in lines.values() for i in (0, -1))
    words = "; ".join(
        f"{label}: barrier {with_range(values, 2)} over {len(values)} pairs" for label, values in barriers.items()
    )
    apart, together = barriers[APART], barriers[list(SHARED)[-1]]
    holds = bool(apart.min() > HIGH * ends and together.max() < MUCH_SMALLER * apart.min())
    return f"{words}; loss at the ends at most {ends:.2g}", holds


def draw(found: Lines) -> Figure:
    """All lines."""
    figure = plots.new_figure(plots.SINGLE, 2.7)
    ax = figure.add_subplot()
    for (label, lines), color in zip(found.items(), (RED, GREEN, BLUE), strict=True):
        plots.plot_interpolation(list(lines.values()), color=color, label=label, ax=ax)
    ax.set_ylabel("training loss")
    plots.legend_outside(figure)
    return figure


FACT = Fact(
    name="barrier_between_minima",
    claim=(
        "On the straight line between two minima trained apart lies a barrier of the loss; between two that share "
        "their first epochs it is much lower."
    ),
    source="Frankle, Dziugaite, Roy & Carbin (2020), ICML, section 3; Draxler et al. and Garipov et al. (2018)",
    measure=measure,
    judge=judge,
    draw=draw,
    changes=(
        Change(
            "set-up",
            "runs ended after twelve epochs at first, where they were no minima yet; now they stop at a loss of 0.01.",
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(main(FACT))
