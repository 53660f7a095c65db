#!/usr/bin/env python
"""Slices along filter-normalised directions are the same for rescaled twins of a ReLU network; raw slices are not.

Trained MLPs, their first layer multiplied by α and the second divided by it. Half a minute on one core.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.palette import BLACK, BLUE, RED
from shared.replicates import with_range
from shared.rescaling import relu_network, rescaled
from torch import nn

import landscape as ls
from landscape import geometry, plots
from landscape.plots.style import panels
from landscape.problems import Problem

ALPHAS = (1.0, 0.3, 3.0)
SEEDS, DIRECTIONS = (0, 1, 2, 3), 3
EPOCHS, POINTS = 20, 41
KINDS = {"raw": (None, 0.1), "filter": ("filter", 1.0)}  # normalisation, and radius in lengths of the direction
SAME, OTHER = 1e-6, 0.1  # largest distance of two slices, in units of the highest rise of the network itself
STYLES = {1.0: (BLACK, "-", 2.2), 0.3: (BLUE, (0, (5, 2)), 1.3), 3.0: (RED, (0, (1.5, 1.5)), 1.3)}


@dataclass(frozen=True)
class Found:
    """By kind: ``apart``, how far each twin's slice is from the network's own; ``shown``, slices of one network."""

    apart: dict[str, np.ndarray]
    shown: dict[str, list[ls.LineSlice]]


def slices(problem: Problem, model: nn.Module, kind: str, *, index: int, points: int) -> list[ls.LineSlice]:
    """The loss of the network and of its twins along direction number ``index``."""
    normalize, radius = KINDS[kind]
    lines = []
    for alpha in ALPHAS:
        objective = problem.objective(rescaled(model, alpha))
        direction = geometry.random_direction(objective, index=index, normalize=normalize)
        lines.append(ls.evaluate_line(objective, direction, radius=radius, points=points))
    return lines


def distances(lines: list[ls.LineSlice]) -> list[float]:
    """Largest difference of loss between each twin and the network itself, over the network's highest rise."""
    own = plots.rise(lines[0])[0]
    return [float(np.abs(line.loss - lines[0].loss).max() / own.max()) for line in lines[1:]]


def measure(quick: bool) -> Found:
    """Slices of every network along every direction."""
    seeds, directions, epochs, points = (SEEDS[:1], 1, 2, 11) if quick else (SEEDS, DIRECTIONS, EPOCHS, POINTS)
    apart: dict[str, list[float]] = {kind: [] for kind in KINDS}
    shown: dict[str, list[ls.LineSlice]] = {}
    for seed in seeds:
        problem, model = relu_network(seed, epochs=epochs)
        for kind in KINDS:
            for index in range(directions):
                lines = slices(problem, model, kind, index=index, points=points)
                apart[kind] += distances(lines)
                shown.setdefault(kind, lines)
    return Found({kind: np.array(values) for kind, values in apart.items()}, shown)


def judge(found: Found) -> tuple[str, bool]:
    """Held if every filter-normalised slice is the network's own up to rounding, and no raw one is near it."""
    raw, normalised = found.apart["raw"], found.apart["filter"]
    words = (
        f"{len(raw)} slices of twins, α = {' and '.join(f'{a:g}' for a in ALPHAS[1:])}: filter-normalised they differ "
        f"from the network's own by at most {normalised.max():.0e} of its rise, raw by {with_range(raw, 2)} × its rise"
    )
    return words, bool(normalised.max() <= SAME and raw.min() > OTHER)


def draw(found: Found) -> Figure:
    """Raw slices on the left, filter-normalised ones on the right, of one network and its twins."""
    figure, axes = panels(2, columns=2, row_height=2.2)
    for ax, (kind, lines) in zip(axes, found.shown.items(), strict=True):
        for alpha, line in zip(ALPHAS, lines, strict=True):
            color, dash, width = STYLES[alpha]
            label = "the network" if alpha == 1 else f"its twin, α = {alpha:g}"
            ax.plot(line.t, line.loss, color=color, linestyle=dash, linewidth=width, label=label)
        ax.set_yscale("log")
        ax.set_title("raw direction" if kind == "raw" else "filter-normalised direction")
        ax.set_xticks(KINDS[kind][1] * np.linspace(-1, 1, 5))
        ax.set_xlabel("t (lengths of the direction)")
    axes[0].set_ylabel("training loss L(θ + t·d)")
    plots.legend_outside(figure)
    return figure


FACT = Fact(
    name="filter_normalised_slices",
    claim="Along filter-normalised random directions the loss of a rescaled ReLU network is that of the network "
    "itself; along raw ones it is not.",
    source="Li, Xu, Taylor, Studer & Goldstein (2018), NeurIPS, sections 3 and 4",
    measure=measure,
    judge=judge,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(main(FACT))
