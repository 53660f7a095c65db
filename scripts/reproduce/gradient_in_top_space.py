#!/usr/bin/env python
"""After a short time of SGD most of the gradient lies in the space of the C largest Hessian eigenvalues.

A tanh MLP on the ten digits; gradient and Hessian of all training data, after every epoch. A minute on one core.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.palette import BLUE, GREY
from shared.replicates import with_interval
from shared.training import trained
from torch import nn
from torch.nn.utils import parameters_to_vector

import landscape as ls
from landscape import plots

CONFIG = {"hidden": [100, 100], "activation": "tanh"}
CLASSES = 10
SEEDS = (0, 1, 2, 3)
EPOCHS, LEARNING_RATE, BATCH = 30, 0.1, 64
EARLY = 0.2  # of training, left out
HALF = 0.5  # of the squared gradient


@dataclass(frozen=True)
class Found:
    """``epochs`` (M,), ``shares`` (seeds, M) and the share ``chance`` of a random space of as many directions."""

    epochs: np.ndarray
    shares: np.ndarray
    chance: float

    @property
    def late(self) -> np.ndarray:
        """Mean share of each seed once the early part of training is over."""
        late: np.ndarray = self.shares[:, self.epochs >= EARLY * self.epochs[-1]].mean(axis=1)
        return late


def shares_along_training(seed: int, *, epochs: int) -> tuple[list[float], int]:
    """Share of the squared gradient in the top space at the start and after each epoch, and P."""
    problem = ls.get_problem("mlp-digits", CONFIG)
    objective = problem.objective(problem.make_model(seed))
    H = ls.HessianOperator(objective)
    steps_per_epoch = -(-len(problem.train[1]) // BATCH)
    shares = []

    def watch(step: int, model: nn.Module) -> None:
        if step % steps_per_epoch == 0:
            theta = parameters_to_vector(model.parameters()).detach()
            eigs = ls.top_eigenpairs(H.at(theta), CLASSES, tol=1e-2, strict=False)
            shares.append(ls.gradient_share(objective.gradient(theta), eigs).value)

    trained(problem, lr=LEARNING_RATE, batch_size=BATCH, epochs=epochs, seed=seed, watch=watch)
    return shares, H.dim


def measure(quick: bool) -> Found:
    """Shares after every epoch, for each seed."""
    epochs, seeds = (1, SEEDS[:2]) if quick else (EPOCHS, SEEDS)
    runs = [shares_along_training(seed, epochs=epochs) for seed in seeds]
    return Found(np.arange(epochs + 1), np.array([shares for shares, _ in runs]), CLASSES / runs[0][1])


def judge(found: Found) -> tuple[str, bool]:
    """Held if in every run more than half of the squared gradient lies there, on average after the early part."""
    words = (
        f"{with_interval(found.late)} of ‖g‖² in {CLASSES} of {CLASSES / found.chance:,.0f} directions from epoch "
        f"{EARLY * found.epochs[-1]:.0f} on (95 % interval over {len(found.late)} seeds; lowest run "
        f"{found.late.min():.2f}); {found.shares[:, 0].mean():.2f} before the first step"
    )
    return words, bool((found.late > HALF).all())


def draw(found: Found) -> Figure:
    """The share against the epoch, a line per seed."""
    figure = plots.new_figure(plots.SINGLE, 2.5)
    ax = figure.add_subplot()
    for i, shares in enumerate(found.shares):
        ax.plot(found.epochs, shares, color=BLUE, linewidth=0.7, alpha=0.7, label="a seed" if i == 0 else None)
    ax.plot(found.epochs, found.shares.mean(axis=0), color="black", label="mean")
    ax.axhline(found.chance, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)), label="a random space")
    ax.axvline(EARLY * found.epochs[-1], color=GREY, linewidth=0.6, linestyle=(0, (1, 2)), label="judged from here")
    ax.set_ylim(-0.02, 1)
    ax.set_xlabel("epoch of SGD")
    ax.set_ylabel(f"share of ‖gradient‖² in the\ntop {CLASSES} eigenvectors")
    plots.legend_outside(figure, columns=2)
    return figure


FACT = Fact(
    name="gradient_in_top_space",
    claim="After a short time of training, most of the gradient lies in the span of the Hessian's top C eigenvectors, "
    "C the number of classes.",
    source="Gur-Ari, Roberts & Dyer (2018), arXiv:1812.04754, section 2",
    measure=measure,
    judge=judge,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(main(FACT))
