#!/usr/bin/env python
"""The bulk of the Hessian's spectrum lies at zero, and wider networks have more of it.

Tanh MLPs with one hidden layer, trained on the digits to the same loss. A minute and a half on one core.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from shared.fact import Change, Fact, main
from shared.palette import BLUE, GREY, RED
from shared.replicates import with_interval
from shared.training import trained
from shared.trends import trend

import landscape as ls
from landscape import plots
from landscape.plots.style import panels

WIDTHS = (8, 16, 32, 64, 128, 256)
SEEDS = (0, 1, 2)
LOSS = 0.05  # where training ends
NEAR = 0.01  # zero, in units of the largest eigenvalue
KNOWN = 30  # eigenpairs taken out before the density is measured


@dataclass(frozen=True)
class Found:
    """``dims`` (W,): P; ``shares`` (W, seeds) within ±NEAR·λ_max; ``bands`` (W, seeds): half of their 95 % band."""

    widths: np.ndarray
    dims: np.ndarray
    shares: np.ndarray
    bands: np.ndarray


def share_near_zero(width: int, seed: int, *, loss: float) -> tuple[int, float, float]:
    """P, the share of the eigenvalues near zero, and how far it can be trusted."""
    problem = ls.get_problem("mlp-digits", {"hidden": [width]})
    model = trained(problem, until=loss, lr=0.1, epochs=400, seed=seed)
    H = ls.HessianOperator(problem.objective(model))
    eigs = ls.top_eigenpairs(H, KNOWN, tol=1e-2, strict=False)
    spectrum = ls.spectral_density(H, eigs, num_probes=6, num_steps=80, seed=seed)
    near = NEAR * eigs.values[0]
    lower, share, upper = spectrum.cdf(np.array([-near, near]))
    return H.dim, float(share[1] - share[0]), float((upper - lower).sum()) / 2


def measure(quick: bool) -> Found:
    """The share near zero for every width and seed."""
    widths, seeds, loss = (WIDTHS[:2], SEEDS[:1], 1.5) if quick else (WIDTHS, SEEDS, LOSS)
    table = np.array([[share_near_zero(width, seed, loss=loss) for seed in seeds] for width in widths])
    return Found(np.array(widths), table[:, 0, 0].astype(int), table[..., 1], table[..., 2])


def judge(found: Found) -> tuple[str, bool]:
    """Held if more than half lies near zero in every network, and the share rises as a trend over the widths."""
    rises = trend(found.shares.T, rising=True)
    words = (
        f"share of eigenvalues within ±{NEAR:g} λ_max: "
        + "; ".join(
            f"width {w} (P = {p:,}): {with_interval(shares)}"
            for w, p, shares in zip(found.widths, found.dims, found.shares, strict=True)
        )
        + f" (95 % intervals over {found.shares.shape[1]} seeds); {rises}; each share is known to ± "
        f"{found.bands.max():.3f} or better"
    )
    return words, bool((found.shares > 0.5).all()) and rises.holds


def draw(found: Found) -> Figure:
    """Left, the share near zero; right, how many eigenvalues are not."""
    figure, (left, right) = panels(2, columns=2, row_height=2.2)
    for i, (shares, bands) in enumerate(zip(found.shares.T, found.bands.T, strict=True)):
        label = "a network, ± band of its density" if i == 0 else None
        left.errorbar(found.widths, shares, yerr=bands, fmt="o", color=BLUE, markersize=3, elinewidth=0.7, label=label)
    left.plot(found.widths, found.shares.mean(axis=1), color="black", linewidth=0.9, label="mean over seeds")
    left.set_ylabel(f"share within ±{NEAR:g} λ$_{{max}}$")
    left.set_ylim(top=1)
    beyond = (1 - found.shares) * found.dims[:, None]
    right.plot(found.widths, beyond, "o", color=RED, markersize=3, label="eigenvalues beyond")
    right.plot(found.widths, found.dims, color=GREY, linewidth=0.9, label="all eigenvalues, P")
    right.set_yscale("log")
    right.set_ylabel("number of eigenvalues")
    for ax in (left, right):
        ax.set_xscale("log", base=2)
        ax.set_xticks(found.widths, [str(w) for w in found.widths])
        ax.set_xlabel("hidden units")
    plots.legend_outside(figure)
    return figure


FACT = Fact(
    name="bulk_and_width",
    claim="Most Hessian eigenvalues of a trained network lie near zero, and the share of these grows with its width.",
    source="Sagun, Bottou & LeCun (2016), arXiv:1611.07476, section 3; Sagun et al. (2017), arXiv:1706.04454",
    measure=measure,
    judge=judge,
    draw=draw,
    changes=(
        Change(
            "criterion",
            "the mean over seeds had to rise with every doubling, pair by pair; now it is judged as one trend, by "
            "Page's test at 1 %.",
            held_before=True,
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(main(FACT))
