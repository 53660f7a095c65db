#!/usr/bin/env python
"""The barrier between two minima trained apart falls once the neurons of one are put into the other's order.

Dense networks of growing width on the digits, in pairs from two initialisations, each trained with Adam to a training
loss of 0.01; neurons are matched by their weights, and the average of the matched ones is repaired.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.palette import BLUE, GREEN, RED
from shared.replicates import with_range
from shared.training import trained

import landscape as ls
from landscape import plots
from landscape.plots.style import plain_log_ticks

WIDTHS, SEEDS = (32, 128, 512), (0, 1, 2)
LOSS, EPOCHS, POINTS = 0.01, 200, 11
MUCH_SMALLER = 0.5  # of the barrier before: each pair at the largest width
WAYS = {"as trained": RED, "aligned": BLUE, "aligned and repaired": GREEN}


@dataclass(frozen=True)
class Pair:
    """Barriers of one pair, by the ways of ``WAYS``, and the share of the distance that is left."""

    barriers: tuple[float, float, float]
    distance: float


def pair(width: int, seed: int, *, until: float, points: int, quick: bool) -> Pair:
    """Two trainings that differ in initialisation and order of the data."""
    config = {"hidden": [width, width], "activation": "relu"} | ({"num_train": 200} if quick else {})
    problem = ls.get_problem("mlp-digits", config)
    a, b = (
        problem.objective(trained(problem, optimizer="adam", until=until, epochs=EPOCHS, seed=order))
        for order in (1000 + seed, 2000 + seed)
    )
    aligned = ls.align(a, a, b)
    lines = [ls.interpolate(a, a.theta, end, points=points) for end in (b.theta, aligned)]
    repaired = [ls.repair(a, a.theta, aligned, t=t).barrier for t in lines[0].t[1:-1]]
    barriers = (lines[0].barrier, lines[1].barrier, max(0.0, *repaired))
    return Pair(barriers, aligned.distance / aligned.distance_before)


def measure(quick: bool) -> dict[int, list[Pair]]:
    """All pairs by width."""
    widths, seeds, until, points = (WIDTHS[:2], SEEDS[:1], 1.0, 3) if quick else (WIDTHS, SEEDS, LOSS, POINTS)
    return {width: [pair(width, s, until=until, points=points, quick=quick) for s in seeds] for width in widths}


def judge(found: dict[int, list[Pair]]) -> tuple[str, bool]:
    """Held if alignment lowers every barrier, at the largest width to less than half."""
    said = []
    for width, pairs in found.items():
        barriers = np.array([one.barriers for one in pairs])
        parts = [f"{with_range(column, 2)} {way}" for way, column in zip(WAYS, barriers.T, strict=True)]
        said.append(f"width {width}: barrier {', '.join(parts)}")
    largest = np.array([one.barriers for one in found[max(found)]])
    everywhere = all(one.barriers[1] < one.barriers[0] for pairs in found.values() for one in pairs)
    left = max(one.distance for one in found[max(found)])
    holds = bool(everywhere and np.all(largest[:, 1] < MUCH_SMALLER * largest[:, 0]))
    return f"{'; '.join(said)}; at the largest width at most {100 * left:.0f} % of the distance is left", holds


def draw(found: dict[int, list[Pair]]) -> Figure:
    """Barriers against the width."""
    figure = plots.new_figure(plots.SINGLE, 2.6)
    ax = figure.add_subplot()
    for place, (way, color) in enumerate(WAYS.items()):
        values = np.array([[one.barriers[place] for one in pairs] for pairs in found.values()])
        ax.plot(list(found), values.mean(1), color=color, label=way)
        ax.plot(list(found), values, color=color, linestyle="none", marker=".", markersize=4)
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(found), [str(width) for width in found])
    ax.set_yscale("log")
    plain_log_ticks(ax.yaxis)
    ax.set_xlabel("neurons in each hidden layer")
    ax.set_ylabel("barrier of the training loss")
    plots.legend_outside(figure)
    return figure


FACT = Fact(
    name="barrier_after_alignment",
    claim=(
        "The barrier between two minima trained apart falls once the neurons of one are permuted to match the other's."
    ),
    source="Ainsworth, Hayase & Srinivasa (2023), ICLR, sections 3.2 and 5; Entezari et al. (2022), ICLR",
    measure=measure,
    judge=judge,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(main(FACT))
