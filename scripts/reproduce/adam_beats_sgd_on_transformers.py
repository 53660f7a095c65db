#!/usr/bin/env python
"""Tuned Adam beats tuned SGD by far on a transformer, hardly on a convolutional network.

The learning rates of Adam and of SGD with momentum 0.9 are chosen over a grid on a seed of their own, by the training
loss after as many steps as are then compared on others: three where a large gap is claimed, nine where a small one is,
because that a gap is small needs an interval that lies within the margin.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from shared.fact import Change, Fact, main
from shared.tuning import Tuned, tuned

import landscape as ls
from landscape import plots
from landscape.statistics import mean_interval

GRIDS: dict[str, tuple[float, ...]] = {"momentum": (0.01, 0.03, 0.1, 0.3, 1.0), "adam": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)}
NAMES = {"momentum": "SGD with momentum", "adam": "Adam"}
SEEDS = {"transformer": range(3), "LeNet-5": range(9)}
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
    rates = slice(1, 3) if quick else slice(None)
    for label, (name, config, epochs) in NETWORKS.items():
        problem = ls.get_problem(name, config | (LESS[label] if quick else {}))
        found[label] = {
            optimizer: tuned(
                problem,
                optimizer,
                rates=grid[rates],
                seeds=SEEDS[label][:1] if quick else SEEDS[label],
                epochs=1 if quick else epochs,
            )
            for optimizer, grid in GRIDS.items()
        }
    return found


def gaps(group: dict[str, Tuned]) -> np.ndarray:
    """Final loss of SGD − that of Adam, as a share of the loss at the start, for each seed."""
    sgd, adam = group["momentum"].curves, group["adam"].curves
    return np.array([(sgd[seed][-1, 1] - adam[seed][-1, 1]) / sgd[seed][0, 1] for seed in sgd])


def judge(found: dict[str, dict[str, Tuned]]) -> tuple[str, bool]:
    """Held if the gap's interval is beyond a large margin on the transformer, within a small one on the other network.

    A learning rate at the edge of its grid is not tuned: with one, nothing holds.
    """
    said, lows, highs = [], {}, {}
    for label, group in found.items():
        mean, lows[label], highs[label], _ = mean_interval(list(gaps(group)))
        said.append(
            f"{label}: SGD {group['momentum']}, Adam {group['adam']}, the gap {100 * mean:.1f} % of the loss at the "
            f"start ({100 * lows[label]:.1f} … {100 * highs[label]:.1f}, {len(gaps(group))} seeds)"
        )
    tuned_all = not any(one.at_edge for group in found.values() for one in group.values())
    near = lows["LeNet-5"] > -SMALL and highs["LeNet-5"] < SMALL
    return "; ".join(said), bool(tuned_all and lows["transformer"] > LARGE and near)


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
    claim="With tuned learning rates Adam trains a transformer far below SGD, a convolutional network to the same loss "
    "within 2 % of that at the start.",
    source="Zhang, Chen, Ding, Li, Sun & Luo (2024), Why Transformers Need Adam, NeurIPS, section 1 and fig. 4",
    measure=measure,
    judge=judge,
    draw=draw,
    changes=(
        Change(
            "criterion",
            "on LeNet-5 the mean gap had to be within 2 %, and its interval over 3 seeds, -9.0 … 7.3 %, was not; now "
            "the interval has to be, over 9 seeds. Adam's grid ended at its best rate there, 0.01, and goes on to "
            "0.03.",
            held_before=True,
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(main(FACT))
