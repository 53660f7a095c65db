"""What is known around single points: one step of training, and the minima that points drain to."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from landscape.plots.legends import legend_outside
from landscape.plots.paper_styles import letters
from landscape.plots.style import EIGENVALUE_COLOR, PALETTE, REFERENCE_COLOR, axes_or_new, is_wide
from landscape.results import Basins, StepReport

_STEPS = 101


def plot_step(found: StepReport, *, ax: Axes | None = None) -> Axes:
    """The loss before and after a step, with what slope, curvature and the descent lemma say of the way between."""
    own = ax is None
    ax = axes_or_new(ax)
    share = np.linspace(0, 1, _STEPS)
    tangent = found.loss + share * found.slope
    squared = 0.5 * (share * found.step_norm) ** 2
    ax.plot(share, tangent, color=REFERENCE_COLOR, linewidth=0.8, linestyle=(0, (1, 2)), label="tangent")
    model = tangent + squared * found.curvature
    ax.plot(share, model, color=PALETTE["sgd"].color, linestyle=(0, (4, 2)), label="slope and curvature")
    if found.known_smoothness is not None:
        lemma = tangent + squared * found.known_smoothness
        ax.plot(share, lemma, color=PALETTE["nesterov"].color, linewidth=1, label="descent lemma, at most")
    ends = np.array([found.loss, found.loss_after])
    look: dict[str, Any] = {"color": EIGENVALUE_COLOR, "markersize": 4, "elinewidth": 1.0, "capsize": 2.0}
    ax.errorbar([0, 1], ends, yerr=[0, found.rounding], fmt="o", label="loss", **look)
    ax.set_xticks([0, 0.5, 1], ["θ", "", "θ + d"])
    ax.set_xlabel(f"along the step d, ‖d‖ = {found.step_norm:.3g} (parameter)")
    ax.set_ylabel("loss L")
    if own:
        legend_outside(ax)
    return ax


def plot_basins(found: Basins, *, ax: Axes | None = None) -> Axes:
    """Each minimum by its loss, from its smallest to its largest curvature; the number is that of its points."""
    own = ax is None
    ax = axes_or_new(ax)
    ax.vlines(found.losses, found.lambda_min, found.lambda_max, color=REFERENCE_COLOR, linewidth=0.8, alpha=0.7)
    for values, marker, label in ((found.lambda_max, "^", "λ_max"), (found.lambda_min, "v", "λ_min")):
        ax.plot(found.losses, values, marker, color=EIGENVALUE_COLOR, markersize=4, label=label)
    if is_wide(np.concatenate([found.lambda_max, found.lambda_min])):
        ax.set_yscale("log")
    for loss, top, count in zip(found.losses, found.lambda_max, found.counts.tolist(), strict=True):
        ax.annotate(
            str(count), (loss, top), xytext=(0, 5), textcoords="offset points", ha="center", fontsize=letters(7)
        )
    ax.margins(x=0.1, y=0.15)
    ax.xaxis.set_major_locator(ticker.MaxNLocator(4))
    ax.set_xlabel("loss L at the minimum")
    ax.set_ylabel("curvature (loss/parameter²)")
    lost = int((found.index < 0).sum())
    reached = f"{len(found.index)} points, {len(found)} minima"
    ax.set_title(reached + (f", {lost} reached none" if lost else ""))
    if own:
        legend_outside(ax)
    return ax
