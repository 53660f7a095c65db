#!/usr/bin/env python
"""SGD that is kept out of the top eigenspace goes on as well; SGD that is kept in it stops.

A tanh MLP on the digits with squared error, batches of 50. SGD runs until most of its gradient lies in the span of the
10 largest eigenvectors; from there on it is trained in three ways on the same batches: as before, with each update
projected onto that span, and with each projected out of it. Eigenvectors are those of the loss over all data, found
anew every ten steps. Three seeds; when to part was chosen on a fourth, which is not judged.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.palette import BLUE, GREEN, GREY, RED
from shared.replicates import with_interval
from torch import Tensor

import landscape as ls
from landscape import plots
from landscape.plots.style import panels
from landscape.statistics import mean_interval

CONFIG = {"hidden": [50, 50], "activation": "tanh", "loss": "mse", "num_train": 1000}
LR, BATCH, TOP, SEEDS = 0.1, 50, 10, (0, 1, 2)
BEFORE, AFTER, EVERY, LOOK = 600, 900, 10, 10  # steps; between two searches of eigenvectors, two looks at the loss
AS_WELL, STOPS = 0.8, 0.2  # of the progress of SGD: the least of the bulk's, the most of the top space's
ALIGNED = 0.5  # of ‖g‖²: "most"
WAYS = {"sgd": "SGD", "bulk": "outside the top space", "top": "in the top space alone"}


@dataclass(frozen=True)
class Run:
    """One seed.

    Attributes
    ----------
    before : (B, 3) array
        Step, loss and share of the squared gradient in the top space, before the parting.
    after : mapping from way to (A, 2) array
        Step and loss from there on.
    drift : float
        Overlap of the top spaces of two searches in a row, the mean: 1 where they are the same.
    """

    before: np.ndarray
    after: dict[str, np.ndarray]
    drift: float

    def progress(self, way: str) -> float:
        """By how much the logarithm of the loss falls, to its mean over the last tenth of looks."""
        losses = self.after[way][:, 1]
        return float(np.log(losses[0] / losses[-max(len(losses) // 10, 1) :].mean()))

    @property
    def aligned(self) -> float:
        """The share in the top space over the last tenth before the parting."""
        return float(self.before[-max(len(self.before) // 10, 1) :, 2].mean())


class Batches:
    """Row numbers of one batch after the other, every example once in each pass."""

    def __init__(self, count: int, seed: int) -> None:
        self._random, self._count, self._left = np.random.default_rng(seed), count, np.empty(0, dtype=int)

    def next(self) -> np.ndarray:
        if len(self._left) < BATCH:
            self._left = self._random.permutation(self._count)
        rows, self._left = self._left[:BATCH], self._left[BATCH:]
        return rows


def top_space(H: ls.HessianOperator, theta: Tensor, start: Tensor | None) -> Tensor:
    """(P, TOP): orthonormal."""
    eigs = ls.top_eigenpairs(H.at(theta), TOP, tol=2e-2, start=start, strict=False)
    return torch.as_tensor(eigs.vectors, dtype=theta.dtype)


def begin(objective: ls.Objective, batches: Batches, steps: int, looks: int) -> tuple[Tensor, np.ndarray]:
    """SGD up to the parting, with the share of the whole gradient in the top space at some steps."""
    theta, H, found, space = objective.theta, ls.HessianOperator(objective), [], None
    for step in range(steps + 1):
        if step % (steps // looks) == 0:
            space = top_space(H, theta, space)
            loss, gradient = objective.loss_and_gradient(theta)
            found.append((step, loss, ls.gradient_share(gradient, space).value))
        if step < steps:
            theta -= LR * objective.subset(batches.next()).gradient(theta)
    return theta, np.array(found)


def go_on(
    objective: ls.Objective, theta: Tensor, batches: Batches, way: str, *, first: int, steps: int
) -> tuple[np.ndarray, float]:
    """Step and loss of SGD whose updates are projected, and the mean overlap of spaces in a row."""
    theta, H, losses, overlaps = theta.clone(), ls.HessianOperator(objective), [], []
    space: Tensor | None = None
    for step in range(steps + 1):
        if step % LOOK == 0:
            losses.append((first + step, objective.loss(theta)))
        if way != "sgd" and step % EVERY == 0:
            before, space = space, top_space(H, theta, space)
            if before is not None:
                overlaps.append(ls.principal_angles(before, space).overlap)
        update = objective.subset(batches.next()).gradient(theta)
        if space is not None:
            inside = space @ (space.T @ update)
            update = inside if way == "top" else update - inside
        theta -= LR * update
    return np.array(losses), float(np.mean(overlaps)) if overlaps else 1.0


def run(seed: int, *, before: int, after: int, looks: int) -> Run:
    """Train, part, and train on in each way."""
    problem = ls.get_problem("mlp-digits", CONFIG)
    objective = problem.objective(problem.make_model(seed), chunk=None)
    theta, history = begin(objective, Batches(objective.num_examples, seed), before, looks)
    paths = {
        way: go_on(objective, theta, Batches(objective.num_examples, 1000 + seed), way, first=before, steps=after)
        for way in WAYS
    }
    overlaps = [overlap for way, (_, overlap) in paths.items() if way != "sgd"]
    return Run(history, {way: losses for way, (losses, _) in paths.items()}, float(np.mean(overlaps)))


def measure(quick: bool) -> list[Run]:
    """A run for each seed."""
    if quick:
        return [run(seed, before=20, after=20, looks=4) for seed in SEEDS[:2]]
    return [run(seed, before=BEFORE, after=AFTER, looks=20) for seed in SEEDS]


def shares(runs: list[Run], way: str) -> list[float]:
    """Progress ÷ that of SGD on the same batches, per seed."""
    return [run.progress(way) / run.progress("sgd") for run in runs]


def judge(found: list[Run]) -> tuple[str, bool]:
    """Held if most of the gradient lies in the top space at the parting, and from there on, as intervals over seeds,

    progress outside of it is at least 0.8 of that of SGD, and inside at most 0.2 of it.
    """
    bulk, top, aligned = shares(found, "bulk"), shares(found, "top"), [run.aligned for run in found]
    factors = [np.exp(run.progress("sgd")) for run in found]
    steps = np.ptp(found[0].after["sgd"][:, 0])
    words = (
        f"at the parting {with_interval(aligned)} of ‖g‖² lies in {TOP} directions; over {steps:.0f} steps SGD divides "
        f"the loss by {with_interval(factors)}; of that progress, in logarithms, updates outside of the top space "
        f"alone make {with_interval(bulk)}, those inside {with_interval(top)} (95 % intervals over {len(found)} seeds; "
        f"two top spaces {EVERY} steps apart overlap by {np.mean([run.drift for run in found]):.3f})"
    )
    holds = mean_interval(bulk)[1] > AS_WELL and mean_interval(top)[2] < STOPS and min(aligned) > ALIGNED
    return words, bool(holds)


def draw(found: list[Run]) -> Figure:
    """Left, the loss; right, how much of the gradient lay in the top space before."""
    figure, (left, right) = panels(2, columns=2, row_height=2.5)
    for one in found:
        left.plot(*one.before[:, :2].T, color=GREY, linewidth=0.8, label="SGD, before")
        for (way, label), color in zip(WAYS.items(), (GREY, BLUE, RED), strict=True):
            style = (0, (3, 1.5)) if way == "sgd" else "-"
            left.plot(*one.after[way].T, color=color, linewidth=0.8, linestyle=style, label=f"{label}, after")
        right.plot(one.before[:, 0], one.before[:, 2], color=GREEN, linewidth=0.9, label="share in the top space")
    left.set_yscale("log")
    left.set_ylabel("training loss")
    right.set_ylim(0, 1)
    right.set_ylabel(f"share of ‖gradient‖² in\nthe top {TOP} eigenvectors")
    right.axhline(ALIGNED, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
    for ax in (left, right):
        ax.set_xlabel(f"step of SGD in batches of {BATCH}")
    plots.legend_outside(figure)
    return figure


FACT = Fact(
    name="bulk_and_top_space",
    claim="Once most of the gradient lies in the top eigenspace of the Hessian, SGD with updates projected out of it "
    "goes on as well as SGD itself; with updates projected onto it the loss falls no further.",
    source="Song, Ahn & Yun (2025), Does SGD really happen in tiny subspaces?, ICLR, arXiv:2405.16002, abstract (the "
    "text could not be read further)",
    measure=measure,
    judge=judge,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(main(FACT))
