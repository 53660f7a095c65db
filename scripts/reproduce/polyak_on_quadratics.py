#!/usr/bin/env python
"""Polyak's step on quadratics comes nearer to the minimum every time, at a known rate, without knowing L or μ.

With e the way to the minimum, f − f* = ½eᵀAe and g = Ae, the step η = (f − f*)/‖g‖² gives

    ‖e⁺‖² = ‖e‖² − 2η·gᵀe + η²‖g‖² = ‖e‖² − 3 (f − f*)²/‖g‖²,

and Kantorovich's inequality (eᵀAe)² ≥ 4κ/(κ + 1)²·‖e‖²·eᵀA²e, for A with the condition number κ, makes that at most
(1 − 3κ/(κ + 1)²)·‖e‖². For convex functions in general 3 is 1, and the rate 1 − 1/(4κ). Ten seconds on one core.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.known_spectra import with_eigenvalues
from shared.palette import BLACK, BLUE, GREEN, GREY, RED

from landscape import plots
from landscape.operators.base import LinearOperator
from landscape.optimizers import make_optimizer
from landscape.plots.style import panels

CONDITIONS = (2, 10, 100, 1000)
SEEDS = (0, 1, 2, 3, 4)  # of a quadratic each, with a scale of its own between 0.01 and 100
DIM, STEPS, NEAR = 30, 3000, 1e-10
ROUNDING = 1e-12
#: condition number → run → (steps + 1,) distances; the last run of each seed starts where the bound is tight
Distances = dict[int, list[np.ndarray]]


def shrinkage(condition: float) -> float:
    """By how much the squared distance must shrink in each step, relatively."""
    return 3 * condition / (condition + 1) ** 2


def distances(A: LinearOperator, start: torch.Tensor, *, steps: int) -> np.ndarray:
    """‖e‖ along the steps of the optimizer on ½eᵀAe, over that of the start."""
    e = torch.nn.Parameter(start / start.norm())
    optimizer = make_optimizer("polyak-sgd", [e], lr=1.0, lowest=0.0)

    def loss() -> torch.Tensor:
        e.grad = A @ e
        return torch.dot(e.detach(), e.grad) / 2

    closure: Any = loss
    path = [1.0]
    while len(path) <= steps and path[-1] > NEAR:
        optimizer.step(closure)
        path.append(float(e.detach().norm()))
    return np.array(path)


def paths(condition: int, seed: int, *, steps: int) -> list[np.ndarray]:
    """From a random start, and from the mixture of both extreme eigenvectors for which the bound is an equality."""
    rng = np.random.default_rng(seed)
    inside = condition ** -rng.uniform(size=DIM - 2)
    values = 10 ** rng.uniform(-2, 2) * np.concatenate([[1.0], inside, [1 / condition]])
    A, Q = with_eigenvalues(values, seed)
    generator = torch.Generator().manual_seed(seed)
    tight = Q[:, 0] + condition**0.5 * Q[:, -1]
    return [distances(A, start, steps=steps) for start in (torch.randn(DIM, generator=generator).double(), tight)]


def measure(quick: bool) -> Distances:
    """Distances for every condition number, seed and start."""
    seeds, steps = (SEEDS[:1], 100) if quick else (SEEDS, STEPS)
    return {c: [path for seed in seeds for path in paths(c, seed, steps=steps)] for c in CONDITIONS}


def least_shrinkage(runs: list[np.ndarray]) -> float:
    """The least by which the squared distance shrank in any step of any run, relatively."""
    return min(float((1 - (path[1:] / path[:-1]) ** 2).min()) for path in runs)


def judge(found: Distances) -> tuple[str, bool]:
    """Held if no step of any run shrinks the squared distance by less than the bound says."""
    least = {condition: least_shrinkage(runs) for condition, runs in found.items()}
    words = "; ".join(
        f"κ = {condition}: at least {value:.6f} (bound {shrinkage(condition):.6f})"
        for condition, value in least.items()
    )
    steps = sum(len(path) - 1 for runs in found.values() for path in runs)
    holds = all(value >= shrinkage(condition) - ROUNDING for condition, value in least.items())
    return f"in each of {steps:,} steps the squared distance shrinks, relatively, by: {words}", holds


def draw(found: Distances) -> Figure:
    """Left, distances with their bounds; right, the least shrinkage beside the inequality."""
    figure, (left, right) = panels(2, columns=2, row_height=2.4)
    for (condition, runs), color in zip(found.items(), (BLACK, BLUE, GREEN, RED), strict=True):
        steps = np.arange(len(runs[0]))
        left.plot(steps, runs[0], color=color, label=f"κ = {condition}")
        bound = (1 - shrinkage(condition)) ** (steps / 2)
        left.plot(steps, bound, color=color, linewidth=0.8, linestyle=(0, (4, 2)))
        right.plot(condition, least_shrinkage(runs), "o", color=color, markersize=4)
    left.set_xscale("symlog", linthresh=1)
    left.set_yscale("log")
    left.set_ylim(bottom=NEAR / 2)
    left.set_xlabel("step")
    left.set_ylabel("distance to the minimum ÷ first")
    k = np.geomspace(2, 1000, 200)
    right.plot(
        k,
        [shrinkage(x) for x in k],
        color=GREY,
        linewidth=0.9,
        linestyle=(0, (4, 2)),
        zorder=0,
        label="what 3κ/(κ + 1)² promises",
    )
    right.plot(
        k, 1 / (4 * k), color=GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=0, label="1/(4κ), for convex functions"
    )
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_xlabel("condition number κ")
    right.set_ylabel("least shrinkage of distance²\nin one step")
    plots.legend_outside(figure)
    return figure


FACT = Fact(
    name="polyak_on_quadratics",
    claim="On a quadratic with condition number κ every Polyak step multiplies the squared distance to the minimum by "
    "at most 1 − 3κ/(κ + 1)², without knowing the curvature.",
    source="Polyak (1987), Introduction to Optimization, section 5.3; Hazan & Kakade (2019), arXiv:1905.00313; the "
    "constant for quadratics is derived in the script",
    measure=measure,
    judge=judge,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(main(FACT))
