#!/usr/bin/env python
"""Gradient descent on a quadratic: it converges below η = 2/λ_max, with momentum β below (2 + 2β)/λ_max.

The optimizers themselves run at step sizes that are bisected until the gradient neither grows nor falls. Half a minute
on one core.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.palette import BLACK, BLUE, GREY, RED
from shared.replicates import with_range

import landscape as ls
from landscape import plots
from landscape.optimizers import make_optimizer
from landscape.plots.style import panels

MOMENTA = (0.0, 0.5, 0.9)
SCALES = (0.01, 0.3, 1.0, 7.0, 50.0)  # of the Hessian, one quadratic each
STEPS, HALVINGS = 400, 36  # by then all but the largest eigenvalue's direction have died out
WITHIN = 1e-8  # relative; the bisection ends at 7e-11
AROUND = np.linspace(0.9, 1.06, 33)


@dataclass(frozen=True)
class Found:
    """By β: ``λ_max·η`` at the step size found, of each quadratic; and the factor per step of ‖g‖ at AROUND."""

    critical: dict[float, np.ndarray]
    factors: dict[float, np.ndarray]


def hessian_and_start(scale: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """H of a least-squares problem with ten eigenvalues from ``scale`` down to a tenth of it, and where to start."""
    eigenvalues = (scale * np.geomspace(1, 0.1, 10)).tolist()
    problem = ls.get_problem("quadratic", {"eigenvalues": eigenvalues, "data_seed": seed})
    assert problem.hessian is not None
    return problem.hessian, problem.make_model(seed).get_parameter("w").detach().double()


def growth(hessian: torch.Tensor, start: torch.Tensor, *, lr: float, momentum: float, steps: int) -> float:
    """‖g‖ after ``2·steps`` steps of the optimizer over ‖g‖ after ``steps``; the minimum lies at zero."""
    w = torch.nn.Parameter(start.clone())
    options = {"momentum": momentum} if momentum else {}
    optimizer = make_optimizer("momentum" if momentum else "gd", [w], lr=lr, **options)
    norms = []
    for _ in range(2):
        for _ in range(steps):
            w.grad = hessian @ w.detach()
            optimizer.step()
        norms.append(float((hessian @ w.detach()).norm()))
    return norms[1] / norms[0] if np.isfinite(norms).all() else np.inf


def critical_step_size(hessian: torch.Tensor, start: torch.Tensor, *, momentum: float, steps: int) -> float:
    """Where the gradient begins to grow, by bisection between 0.1 and 10 over the mean eigenvalue."""
    low, high = (factor / float(hessian.diagonal().mean()) for factor in (0.1, 10.0))
    for _ in range(HALVINGS):
        lr = (low * high) ** 0.5
        if growth(hessian, start, lr=lr, momentum=momentum, steps=steps) > 1:
            high = lr
        else:
            low = lr
    middle: float = (low * high) ** 0.5
    return middle


def measure(quick: bool) -> Found:
    """Critical step sizes of every quadratic and momentum, and how fast the gradient changes around them."""
    scales, steps, around = (SCALES[:1], 40, AROUND[::8]) if quick else (SCALES, STEPS, AROUND)
    critical: dict[float, list[float]] = {momentum: [] for momentum in MOMENTA}
    factors = {}
    for seed, scale in enumerate(scales):
        hessian, start = hessian_and_start(scale, seed)
        largest = float(ls.top_eigenpairs(ls.MatrixOperator(hessian), 1, tol=1e-12).values[0])
        for momentum in MOMENTA:
            critical[momentum].append(largest * critical_step_size(hessian, start, momentum=momentum, steps=steps))
            if seed == 0:
                edge = (2 + 2 * momentum) / largest
                grown = [growth(hessian, start, lr=r * edge, momentum=momentum, steps=steps) for r in around]
                factors[momentum] = np.array(grown) ** (1 / steps)
    return Found({momentum: np.array(values) for momentum, values in critical.items()}, factors)


def judge(found: Found) -> tuple[str, bool]:
    """Held if every step size found is the textbook's to within WITHIN."""
    off = {momentum: values / (2 + 2 * momentum) - 1 for momentum, values in found.critical.items()}
    worst = max(float(np.abs(values).max()) for values in off.values())
    words = "; ".join(
        f"β = {momentum:g}: λ_max·η = {with_range(values, 10)}" for momentum, values in found.critical.items()
    )
    count = len(found.critical[0.0])
    return f"{words}, over {count} quadratics; at most {worst:.0e} from 2 + 2β, relatively", worst < WITHIN


def draw(found: Found) -> Figure:
    """Left, how fast the gradient grows around the edge; right, the edges found beside the formula."""
    figure, (left, right) = panels(2, columns=2, row_height=2.2)
    for (momentum, factors), color, dash in zip(
        found.factors.items(), (BLACK, BLUE, RED), ("-", (0, (5, 1)), (0, (2, 1))), strict=True
    ):
        at = np.linspace(AROUND[0], AROUND[-1], len(factors))
        left.plot(at, factors, color=color, linestyle=dash, label=f"β = {momentum:g}")
        edges = found.critical[momentum]
        right.plot(np.full(len(edges), momentum), edges, "o", color=color, markersize=4)
    left.axhline(1, color=GREY, linewidth=0.6)
    left.axvline(1, color=GREY, linewidth=0.6)
    left.set_xticks([0.9, 0.95, 1.0, 1.05])
    left.set_xlabel("step size η, in units of (2 + 2β)/λ$_{max}$")
    left.set_ylabel("‖gradient‖: factor per step")
    line = np.linspace(0, 1, 2)
    right.plot(line, 2 + 2 * line, color=GREY, linewidth=0.8, label="2 + 2β", zorder=0)
    right.set_xlabel("momentum β")
    right.set_ylabel("λ$_{max}$ · critical step size")
    plots.legend_outside(figure)
    return figure


FACT = Fact(
    name="gd_on_a_quadratic",
    claim="On a quadratic, gradient descent with momentum β converges for η < (2 + 2β)/λ_max and diverges above it.",
    source="Polyak (1964), USSR Comput. Math. Math. Phys. 4(5), section 1; Nesterov (2004), Introductory Lectures on "
    "Convex Optimization, section 1.2.3, for β = 0",
    measure=measure,
    judge=judge,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(main(FACT))
