#!/usr/bin/env python
"""Where N examples with C outputs are fitted exactly, the Hessian is flat in all but N·C directions.

At zero squared error the Hessian is JᵀJ/N with J of N·C rows, of full rank for almost all labels. One-hot ones are not
among those: each sums to one, which more examples than hidden units turn into an equation for the output weights and so
into further zeros. Hence a little noise on them. Small tanh MLPs in float64, fitted to rounding by L-BFGS and
Gauss-Newton steps; every eigenvalue of the dense Hessian. A minute on one core.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

import numpy as np
import torch
from matplotlib.figure import Figure
from shared.fact import Change, Fact, main
from shared.palette import BLACK, BLUE, GREEN, GREY, RED
from shared.training import NotReached, trained
from torch import nn
from torch.func import functional_call, jacrev

import landscape as ls
from landscape import plots
from landscape.problems import Problem

CONFIG = {"hidden": [20], "activation": "tanh", "loss": "mse"}
EXAMPLES = (5, 10, 20, 40)
OUTPUTS = 10
SEEDS = (0, 1, 2)
NEAR, EXACT = 1e-4, 1e-24  # losses: where Gauss-Newton takes over from L-BFGS, and where the fit counts as exact
MOST_STEPS = 20
NOISE = 0.1  # of the labels
ZERO = 1e-9  # of the largest eigenvalue
COLORS = dict(zip(EXAMPLES, (BLACK, BLUE, GREEN, RED), strict=True))


@dataclass(frozen=True)
class Found:
    """|λ| descending, relative to the first, by (N, seed): (P,)."""

    spectra: dict[tuple[int, int], np.ndarray]


def with_general_labels(num_examples: int, seed: int) -> Problem:
    """The first digits in double precision, a little noise on their one-hot labels."""
    problem = ls.get_problem("mlp-digits", {**CONFIG, "num_train": num_examples})
    inputs, targets = problem.train
    noise = torch.randn(num_examples, OUTPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    labels = nn.functional.one_hot(targets, OUTPUTS) + NOISE * noise
    data = {"train": (inputs.double(), labels), "test": (inputs.double(), labels)}
    noisy: Problem = replace(problem, build=lambda: problem.build().double(), num_classes=None, **data)
    return noisy


def exactly_fitted(problem: Problem, model: nn.Module) -> tuple[ls.Objective, torch.Tensor]:
    """The loss, and θ where it is zero to rounding: Gauss-Newton steps of least length from a near fit."""
    objective = problem.objective(model)
    inputs, wanted = problem.train
    theta = objective.theta

    def residual(theta: torch.Tensor) -> torch.Tensor:
        apart: torch.Tensor = (functional_call(model, objective.layout.unflatten(theta), (inputs,)) - wanted).flatten()
        return apart

    for _ in range(MOST_STEPS):
        if objective.loss(theta) <= EXACT:
            return objective, theta
        J = jacrev(residual)(theta)
        theta = theta - J.T @ torch.linalg.solve(J @ J.T, residual(theta))
    raise NotReached(f"loss {objective.loss(theta):.3g} after {MOST_STEPS} Gauss-Newton steps, not {EXACT:g}")


def spectrum(num_examples: int, seed: int) -> np.ndarray:
    """Every eigenvalue at an exact fit."""
    problem = with_general_labels(num_examples, seed)
    model = trained(problem, optimizer="lbfgs", until=NEAR, epochs=2000, seed=seed)
    H = ls.HessianOperator(*exactly_fitted(problem, model)).dense()
    sizes = torch.linalg.eigvalsh((H + H.T) / 2).abs().sort(descending=True).values.numpy()
    relative: np.ndarray = sizes / sizes[0]
    return relative


def measure(quick: bool) -> Found:
    """Spectra for every number of examples and seed."""
    examples, seeds = (EXAMPLES[:1], SEEDS[:1]) if quick else (EXAMPLES, SEEDS)
    return Found({(n, seed): spectrum(n, seed) for n in examples for seed in seeds})


def judge(found: Found) -> tuple[str, bool]:
    """Held if in every network exactly N·C eigenvalues are not zero."""
    counts = {at: int((sizes > ZERO).sum()) for at, sizes in found.spectra.items()}
    parameters = len(next(iter(found.spectra.values())))
    words = "; ".join(
        f"N·C = {OUTPUTS * n}: {', '.join(str(counts[m, s]) for m, s in counts if m == n)}"
        for n in dict.fromkeys(n for n, _ in counts)
    )
    least = min(float(sizes[OUTPUTS * n - 1]) for (n, _), sizes in found.spectra.items())
    most = max(float(sizes[OUTPUTS * n]) for (n, _), sizes in found.spectra.items())
    words = (
        f"eigenvalues above {ZERO:g} λ_max, of {parameters:,}, one number per seed: {words}; the smallest of the first "
        f"N·C is {least:.0e} λ_max, the largest of the rest {most:.0e} λ_max"
    )
    return words, all(count == OUTPUTS * n for (n, _), count in counts.items())


def draw(found: Found) -> Figure:
    """All spectra with the cliff at N·C."""
    figure = plots.new_figure(plots.DOUBLE, 2.6)
    ax = figure.add_subplot()
    for (n, seed), sizes in found.spectra.items():
        rank = np.arange(1, len(sizes) + 1)
        label = f"N = {n}, N·C = {OUTPUTS * n}" if seed == 0 else None
        ax.plot(rank, np.maximum(sizes, 1e-18), color=COLORS[n], linewidth=0.8, label=label)
        ax.axvline(OUTPUTS * n + 0.5, color=COLORS[n], linewidth=0.5, linestyle=(0, (1, 2)))
    ax.axhline(ZERO, color=GREY, linewidth=0.7, linestyle=(0, (4, 2)), label="taken as zero below")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("rank of the eigenvalue, by size")
    ax.set_ylabel(r"$|\lambda|$ ÷ $\lambda_{\max}$")
    plots.legend_outside(figure)
    return figure


FACT = Fact(
    name="flat_directions",
    claim="Where a network with P parameters fits N examples with C outputs exactly, P > N·C, the Hessian of the "
    "squared error has N·C positive eigenvalues and P − N·C zeros.",
    source="Cooper (2018), The loss landscape of overparameterized neural networks, arXiv:1804.10200, theorem 2.1",
    measure=measure,
    judge=judge,
    draw=draw,
    changes=(
        Change(
            "set-up",
            "the labels were one-hot at first, for which the theorem does not stand, and there were 381 for 400; now "
            "they carry a little noise.",
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(main(FACT))
