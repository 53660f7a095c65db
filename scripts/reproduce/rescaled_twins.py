#!/usr/bin/env python
"""Rescaling the layers of a ReLU network leaves its function alone, changes its sharpness, but not adaptive sharpness.

Trained MLPs, their first layer multiplied by α and the second divided by it. Half a minute on one core.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.palette import BLACK, BLUE, GREEN, ORANGE, RED
from shared.replicates import with_range
from shared.rescaling import relu_network, rescaled

import landscape as ls
from landscape import plots

ALPHAS = (0.1, 0.3, 1.0, 3.0, 10.0)
SEEDS = (0, 1, 2, 3)
EPOCHS = 20
RAW, ADAPTIVE = ("lambda_max", "trace", "worst"), ("adaptive_worst", "adaptive_average")
SAME_FUNCTION = 1e-12  # relative to the largest output: rounding
CHANGED = 2.0  # by at least this factor
STAYED = {"adaptive_worst": 0.01, "adaptive_average": 1e-9}  # an ascent is good to a per cent, an average to rounding
STYLES = {
    "lambda_max": ("λ$_{max}$", BLACK, "o"),
    "trace": ("trace", BLUE, "s"),
    "worst": ("worst case", GREEN, "^"),
    "adaptive_worst": ("adaptive worst case", RED, "D"),
    "adaptive_average": ("adaptive average", ORANGE, "v"),
}


@dataclass(frozen=True)
class Found:
    """``values`` by measure (seeds, α); ``moved`` (seeds, α): largest change of an output, relatively."""

    alphas: np.ndarray
    values: dict[str, np.ndarray]
    moved: np.ndarray

    def relative(self, measure: str) -> np.ndarray:
        """The measure over that of the network itself, (seeds, α)."""
        original = list(self.alphas).index(1.0)
        relative: np.ndarray = self.values[measure] / self.values[measure][:, original : original + 1]
        return relative


def measure(quick: bool) -> Found:
    """Every measure of every twin."""
    alphas, seeds, epochs = (ALPHAS[1:4], SEEDS[:1], 2) if quick else (ALPHAS, SEEDS, EPOCHS)
    values = {name: np.empty((len(seeds), len(alphas))) for name in RAW + ADAPTIVE}
    moved = np.empty((len(seeds), len(alphas)))
    for i, seed in enumerate(seeds):
        problem, model = relu_network(seed, epochs=epochs)
        with torch.no_grad():
            inputs = problem.train[0].double()
            outputs = model(inputs)
            for j, alpha in enumerate(alphas):
                moved[i, j] = float((rescaled(model, alpha)(inputs) - outputs).abs().max() / outputs.abs().max())
        for j, alpha in enumerate(alphas):
            objective = problem.objective(rescaled(model, alpha))
            for name in values:
                values[name][i, j] = ls.sharpness(objective, measure=name, strict=False).value
    return Found(np.array(alphas), values, moved)


def judge(found: Found) -> tuple[str, bool]:
    """Held if no output moves, every raw measure changes in every network, and no adaptive one does."""
    changes = {name: np.max(np.maximum(r, 1 / r), axis=1) for name in RAW for r in [found.relative(name)]}
    stays = {name: float(np.abs(found.relative(name) - 1).max()) for name in ADAPTIVE}
    words = (
        f"over α = {found.alphas[0]:g} … {found.alphas[-1]:g} and {len(found.moved)} networks the outputs move by "
        f"{found.moved.max():.0e}; the largest change of "
        + ", ".join(f"{name} is {with_range(change)}-fold" for name, change in changes.items())
        + "; "
        + ", ".join(f"{name} changes by at most {100 * stay:.1g} %" for name, stay in stays.items())
    )
    return words, (
        bool(found.moved.max() <= SAME_FUNCTION)
        and all((change >= CHANGED).all() for change in changes.values())
        and all(stay <= STAYED[name] for name, stay in stays.items())
    )


def draw(found: Found) -> Figure:
    """Every measure against α, relative to the network itself; bars from the lowest to the highest network."""
    figure = plots.new_figure(plots.SINGLE, 3.0)
    ax = figure.add_subplot()
    for name, (label, color, marker) in STYLES.items():
        relative = found.relative(name)
        middle = np.exp(np.log(relative).mean(axis=0))
        reach = np.abs(np.stack([relative.min(axis=0), relative.max(axis=0)]) - middle)
        ax.errorbar(
            found.alphas, middle, yerr=reach, color=color, marker=marker, markersize=3.5, capsize=2, label=label
        )
    ax.set_xscale("log")
    ax.set_xticks(found.alphas, [f"{alpha:g}" for alpha in found.alphas])
    ax.minorticks_off()
    ax.set_yscale("log")
    ax.set_xlabel("α: first layer × α, second layer ÷ α")
    ax.set_ylabel("sharpness ÷ that of α = 1")
    plots.legend_outside(figure, columns=2)
    return figure


FACT = Fact(
    name="rescaled_twins",
    claim="Multiplying one layer of a ReLU network by α and dividing the next by α leaves its function and its "
    "adaptive sharpness unchanged, but not λ_max, trace and worst-case sharpness.",
    source="Dinh, Pascanu, Bengio & Bengio (2017), ICML, section 4; Kwon, Kim, Park & Choi (2021), ICML, for adaptive",
    measure=measure,
    judge=judge,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(main(FACT))
