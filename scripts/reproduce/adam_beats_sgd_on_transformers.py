#!/usr/bin/env python
"""Tuned Adam beats tuned SGD by far on a transformer, hardly on a convolutional network.

The learning rates of Adam and of SGD with momentum 0.9 are chosen over a grid on a seed of their own, by the training
loss after as many steps as are then compared on three others.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.tuning import Tuned, tuned

import landscape as ls
from landscape import plots
from landscape.statistics import mean_interval

GRIDS = {"momentum": (0.01, 0.03, 0.1, 0.3, 1.0), "adam": (3e-4, 1e-3, 3e-3, 1e-2)}
NAMES = {"momentum": "SGD with momentum", "adam": "Adam"}
SEEDS = (0, 1, 2)
LARGE, SMALL = 0.05, 0.02  # gaps as shares of the loss at the start
NETWORKS: dict[str, tuple[str, dict[str, Any], int]] = {  # problem, config, epochs: 280 steps
    "transformer": ("char-transformer-small", {"characters": 20_000, "context": 32}, 8),
    "LeNet-5": ("lenet-digits", {}, 14),
}
LESS: dict[str, dict[str, Any]] = {  # of the data, where it shall be quick
    "transformer": {"characters": 2000},
    "LeNet-5": {"test_fraction": 0.9},
}


def measure(quick: bool) -> dict[str, dict[str, Tuned]]:
    """Both optimizers on both networks."""
    found: dict[str, dict[str, Tuned]] = {}
    seeds, rates = (SEEDS[:1], slice(1, 3)) if quick else (SEEDS, slice(None))
    for label, (name, config, epochs) in NETWORKS.items():
        problem = ls.get_problem(name, config | (LESS[label] if quick else {}))
        found[label] = {
            optimizer: tuned(problem, optimizer, rates=grid[rates], seeds=seeds, epochs=1 if quick else epochs)
            for optimizer, grid in GRIDS.items()
        }
    return found


def gaps(group: dict[str, Tuned]) -> np.ndarray:
    """Final loss of SGD − that of Adam, as a share of the loss at the start, for each seed."""
    sgd, adam = group["momentum"].curves, group["adam"].curves
    return np.array([(sgd[seed][-1, 1] - adam[seed][-1, 1]) / sgd[seed][0, 1] for seed in sgd])


def judge(found: dict[str, dict[str, Tuned]]) -> tuple[str, bool]:
    """Held if the gap is large on the transformer, beyond its interval, and small on the other."""
    said, means, lows = [], {}, {}
    for label, group in found.items():
        means[label], lows[label], high, _ = mean_interval(list(gaps(group)))
        ends = {
            name: f"{np.mean([c[-1, 1] for c in one.curves.values()]):.3g} at {one.lr:g}" for name, one in group.items()
        }
        said.append(
            f"{label}: SGD {ends['momentum']}, Adam {ends['adam']}, the gap {100 * means[label]:.1f} % of the loss at "
            f"the start ({100 * lows[label]:.1f} … {100 * high:.1f}, {len(gaps(group))} seeds)"
        )
    return "; ".join(said), lows["transformer"] > LARGE and abs(means["LeNet-5"]) < SMALL


def draw(found: dict[str, dict[str, Tuned]]) -> Figure:
    """The training loss of all seeds."""
    figure = plots.new_figure(plots.DOUBLE, 2.7)
    styles = plots.optimizer_styles(GRIDS)
    for ax, (label, group) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        for optimizer, one in group.items():
            for index, path in enumerate(one.curves.values()):
                said = NAMES[optimizer] if index == 0 else None
                ax.plot(
                    *path.T, color=styles[optimizer].color, linestyle=styles[optimizer].dash, linewidth=1, label=said
                )
        ax.set_ylim(bottom=0)
        ax.set_title(label)
        ax.set_xlabel("step")
        ax.set_ylabel("training loss")
    plots.legend_outside(figure)
    return figure


FACT = Fact(
    name="adam_beats_sgd_on_transformers",
    claim="With tuned learning rates Adam trains a transformer far below SGD, a convolutional network hardly below.",
    source="Zhang, Chen, Ding, Li, Sun & Luo (2024), Why Transformers Need Adam, NeurIPS, section 1 and fig. 4",
    measure=measure,
    judge=judge,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(main(FACT))
