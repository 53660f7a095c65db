#!/usr/bin/env python
"""Polyak steps need no tuning where the data can be fitted; where they cannot, only bounded ones stay near the minimum.

Linear regression by minibatches, without noise in one and in four dimensions, and with noise of σ = 5. Nothing is
tuned: the steps are those of the papers, their bound one tenth. Five seeds.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.palette import BLUE, GREEN, RED
from shared.replicates import with_range
from shared.training import trained
from torch import nn

import landscape as ls
from landscape import plots

SEEDS, EPOCHS, SIGMA, BOUND = (0, 1, 2, 3, 4), 50, 5.0, 0.1
PER_EPOCH = 20  # steps
FITTED = 1e-6  # of the height at the start
WAYS: dict[str, dict[str, Any]] = {
    "unbounded": {"optimizer": "polyak-sgd"},
    "bounded": {"optimizer": "polyak-sgd-max", "lr": BOUND},
    "bound decaying": {
        "optimizer": "polyak-sgd-max", "lr": BOUND, "schedule": "exponential", "schedule_options": {"final": 0.01},
    },
}  # fmt: skip
PROBLEMS = {
    "fitted, dim 1": {"sigma": 0.0, "dim": 1},
    "fitted, dim 4": {"sigma": 0.0, "dim": 4},
    "noisy": {"sigma": SIGMA, "dim": 1},
}
#: problem → way → (seeds, steps + 1) heights of the training loss above its minimum, in units of σ² or of the start
Heights = dict[str, dict[str, np.ndarray]]


def heights(config: dict[str, Any], way: dict[str, Any], *, seed: int, epochs: int) -> np.ndarray:
    """L − L* at every step: ½(θ − θ*)ᵀH(θ − θ*), exact on a quadratic."""
    problem = ls.get_problem("noisy-linear", config)
    x, y = (part.double() for part in problem.train)
    rows = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
    best, H = torch.linalg.lstsq(rows, y).solution[:, 0], problem.hessian
    path = []

    def watch(step: int, model: nn.Module) -> None:
        away = torch.cat([p.detach().double().flatten() for p in model.parameters()]) - best
        path.append(float(away @ H @ away) / 2)

    trained(problem, watch=watch, seed=seed, epochs=epochs, **way)
    return np.array(path)


def measure(quick: bool) -> Heights:
    """The paths of all ways on all problems."""
    seeds, epochs = (SEEDS[:2], 5) if quick else (SEEDS, EPOCHS)
    return {
        label: {
            name: np.stack([heights(config, way, seed=seed, epochs=epochs) for seed in seeds])
            for name, way in WAYS.items()
            if config["sigma"] or name != "bound decaying"
        }
        for label, config in PROBLEMS.items()
    }


def judge(found: Heights) -> tuple[str, bool]:
    """Held if all fit without noise, and with it over the second half only the bounded stay below the noise itself."""
    *fitted, noisy = found.values()
    shares = np.concatenate([group["unbounded"][:, -1] / group["unbounded"][:, 0] for group in fitted])
    worst = {name: path[:, path.shape[1] // 2 :].max(1) / SIGMA**2 for name, path in noisy.items()}
    last = {name: path[:, -path.shape[1] // 10 :].mean(1) / SIGMA**2 for name, path in noisy.items()}
    said = "; ".join(
        f"{name} at most {with_range(worst[name], 2)}, on average {last[name].mean():.2g} at last" for name in worst
    )
    words = (
        f"without noise the height above the minimum falls to {shares.max():.1g} × its start or lower; with σ = "
        f"{SIGMA:g} it is over the second half, in units of σ², {said}"
    )
    stays = all(worst[name].max() < 1 for name in WAYS if name != "unbounded")
    settles = last["bound decaying"].max() < last["bounded"].min()
    return words, bool(shares.max() < FITTED and stays and settles and worst["unbounded"].min() > 1)


def draw(found: Heights) -> Figure:
    """The heights of all seeds, averaged over each epoch; what lies below rounding is cut off."""
    figure = plots.new_figure(plots.DOUBLE, 2.7)
    colors = dict(zip(WAYS, (RED, BLUE, GREEN), strict=True))
    for ax, (label, group) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        for name, paths in group.items():
            by_epoch = paths[:, 1:].reshape(len(paths), -1, PER_EPOCH).mean(2)
            for index, path in enumerate(by_epoch):
                said = f"{name}, {len(paths)} seeds" if index == 0 else None
                ax.semilogy(range(1, 1 + len(path)), path, color=colors[name], linewidth=0.8, alpha=0.8, label=said)
        ax.set_ylim(bottom=max(ax.get_ylim()[0], 1e-14))
        ax.set_title(label if label != "noisy" else f"noise σ = {SIGMA:g}")
        ax.set_xlabel("epoch")
    figure.axes[0].set_ylabel("loss above its minimum, mean of an epoch")
    plots.legend_outside(figure)
    return figure


FACT = Fact(
    name="polyak_interpolation",
    claim=(
        "SGD with Polyak steps converges untuned where the data can be fitted exactly; with noise it leaves the "
        "minimum, unless its steps are bounded, and converges to it where the bound decays."
    ),
    source="Loizou, Vaswani, Laradji & Lacoste-Julien (2021), AISTATS, theorems 3.1 and 3.4; Orvieto et al. (2022)",
    measure=measure,
    judge=judge,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(main(FACT))
