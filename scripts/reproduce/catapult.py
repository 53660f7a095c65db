#!/usr/bin/env python
"""Large steps in a wide network: the loss rises, then falls into a flatter place; larger ones diverge.

A linear network of two layers, scaled as in the paper, with squared error on the digits 0 and 1; gradient descent at
step sizes in units of 1/λ₀, the sharpness at the start.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.palette import BLACK, BLUE, BROWN, GREEN, GREY, ORANGE, PINK, RED, SKY
from shared.replicates import with_range
from torch import Tensor, nn

import landscape as ls
from landscape import plots
from landscape.problems.base import half_squared_error

LAZY, CATAPULT, DIVERGENT = (0.5, 1.0, 1.5), (2.5, 3.0, 3.5), (4.5, 5.0)
SEEDS, WIDTH, STEPS, SHOWN = (0, 1, 2), 512, 300, 40
BARELY = 0.1  # relative change of λ_max
COLORS = (BLACK, BLUE, SKY, GREEN, ORANGE, PINK, RED, BROWN)
OVERFLOW = 1e8  # losses: beyond any that came back


class TwoLayers(nn.Module):
    """``f(x) = v·Ux / √(width · dim)``, all weights standard normal at the start."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.U, self.v = nn.Parameter(torch.randn(width, dim)), nn.Parameter(torch.randn(1, width))
        self._scale = (width * dim) ** -0.5

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (N, dim) → outputs (N, 1)."""
        out: Tensor = x @ self.U.T @ self.v.T * self._scale
        return out


@dataclass(frozen=True)
class Path:
    """Losses of all steps, and λ_max at the end ÷ that at the start; NaN where the path diverged."""

    losses: np.ndarray
    flattened: float

    @property
    def diverged(self) -> bool:
        return not self.losses[-1] < OVERFLOW


def descend(multiple: float, *, seed: int, steps: int, width: int) -> Path:
    """Gradient descent with step size ``multiple``/λ₀."""
    images, digits = ls.get_problem("mlp-digits").train
    x, y = images[digits < 2].flatten(1), 2.0 * digits[digits < 2, None] - 1
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = TwoLayers(x.shape[1], width)
    objective = ls.Objective(model, half_squared_error, (x, y), chunk=None)
    theta = objective.theta
    first = ls.top_eigenpairs(ls.HessianOperator(objective, theta), 1).values[0]
    losses = []
    for _ in range(steps + 1):
        loss, gradient = objective.loss_and_gradient(theta)
        losses.append(loss)
        if not loss < OVERFLOW:
            return Path(np.array(losses), float("nan"))
        theta -= multiple / first * gradient
    last = ls.top_eigenpairs(ls.HessianOperator(objective, theta), 1).values[0]
    return Path(np.array(losses), float(last / first))


def measure(quick: bool) -> dict[float, list[Path]]:
    """A path for each step size and seed."""
    seeds, steps, width = (SEEDS[:1], 60, 128) if quick else (SEEDS, STEPS, WIDTH)
    return {
        multiple: [descend(multiple, seed=seed, steps=steps, width=width) for seed in seeds]
        for multiple in (*LAZY, *CATAPULT, *DIVERGENT)
    }


def judge(found: dict[float, list[Path]]) -> tuple[str, bool]:
    """Held if every path of the three ranges does what is said of its range."""
    lazy, catapult, divergent = ([(m, p) for m in some for p in found[m]] for some in (LAZY, CATAPULT, DIVERGENT))
    calm, peaks = ([p.losses.max() / p.losses[0] for _, p in some] for some in (lazy, catapult))
    moved = max(abs(p.flattened - 1) for _, p in lazy)
    end = max(p.losses[-1] / p.losses[0] for _, p in catapult)
    below = [m * p.flattened / 2 for m, p in catapult]
    gone = sum(p.diverged for _, p in divergent)
    words = (
        f"below 2/λ₀ the loss is at most {max(calm):.3g} × its start and λ_max moves by at most {100 * moved:.1f} %; "
        f"from 2.5/λ₀ to 3.5/λ₀ the loss rises to {with_range(peaks)} × its start and ends at {end:.2g} × or less, "
        f"with λ_max at {with_range(below)} × 2/η; from 4.5/λ₀ on {gone} of {len(divergent)} diverge"
    )
    stays = max(calm) <= 1 and moved < BARELY
    return words, stays and min(peaks) > 1 and end < 1 and max(below) < 1 and gone == len(divergent)


def draw(found: dict[float, list[Path]]) -> Figure:
    """Loss against step for one seed; the final sharpness against the step size for all."""
    figure = plots.new_figure(plots.DOUBLE, 3.0)
    left, right = figure.subplots(1, 2)
    for (multiple, paths), color in zip(found.items(), COLORS, strict=True):
        left.semilogy(paths[0].losses[:SHOWN], color=color, label=rf"$\eta = {multiple:g}/\lambda_0$")
        kept = [p.flattened for p in paths if not p.diverged]
        right.plot([multiple] * len(kept), kept, "o", color=color, markersize=4)
    left.set_xlabel("step of gradient descent")
    left.set_ylabel("loss")
    left.set_ylim(top=1e5)
    grid = np.linspace(1.5, max(found), 100)
    right.plot(grid, 2 / grid, color=GREY, linestyle=(0, (4, 2)), linewidth=1, label=r"$2/\eta$")
    right.axvspan(4, max(found) + 0.2, color="#DDDDDD", linewidth=0, label="diverged")
    right.set_xlim(0, max(found) + 0.2)
    right.set_ylim(0, 1.4)
    right.set_xlabel(r"step size $\eta$ in units of $1/\lambda_0$")
    right.set_ylabel(r"final $\lambda_{\max}$ in units of $\lambda_0$")
    plots.legend_outside(figure)
    return figure


FACT = Fact(
    name="catapult",
    claim=(
        "In a wide network with squared error, step sizes η between 2/λ₀ and 4/λ₀ make the loss rise first, then "
        "converge where λ_max < 2/η; below 2/λ₀ the sharpness barely moves, above 4/λ₀ the loss diverges."
    ),
    source="Lewkowycz, Bahri, Dyer, Sohl-Dickstein & Gur-Ari (2020), arXiv:2003.02218, section 2 and fig. 1",
    measure=measure,
    judge=judge,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(main(FACT))
