"""Chains that walk around a point, and the mean that is read from them."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from landscape.plots.legends import legend_outside
from landscape.plots.style import EIGENVALUE_COLOR, PALETTE, axes_or_new
from landscape.results import LearningCoefficient

#: Points of a line at most; of more, means of neighbours are drawn.
_POINTS = 400


def plot_chains(found: LearningCoefficient, *, ax: Axes | None = None) -> Axes:
    """The rise of the loss along each chain, in units of the coefficient; what was left out is shaded.

    The line across is the coefficient with its 95 % interval. Where steps are many, means of neighbours are drawn.
    """
    own = ax is None
    ax = axes_or_new(ax)
    chains, steps = found.rises.shape
    strength = found.num_examples * found.inverse_temperature
    apart = max(1, -(-steps // _POINTS))
    ends = np.arange(0, steps, apart)
    counts = np.diff(np.append(ends, steps))
    colors = [style.color for style in PALETTE.values()]
    for number, rises in enumerate(found.rises):
        means = strength * np.add.reduceat(rises, ends) / counts
        label = f"chain {number + 1}" if chains <= len(colors) else "chains"
        ax.plot(ends + counts / 2, means, color=colors[number % len(colors)], linewidth=0.6, alpha=0.7, label=label)
    if steps > found.num_kept:
        ax.axvspan(0, steps - found.num_kept, color="#EEEEEE", zorder=0, label="left out")
    ax.axhline(found.value, color=EIGENVALUE_COLOR, linewidth=1.2, label="learning coefficient")
    if found.error is not None and np.isfinite(found.error):
        ax.axhspan(*found.interval(), color=EIGENVALUE_COLOR, alpha=0.2, linewidth=0, label="95 % interval")
    ax.set_xlim(0, steps)
    ax.set_xlabel("step of the chain")
    ax.set_ylabel("nβ (L − L(θ))")
    ax.set_title(f"R̂ {found.rhat:.3f}, {found.effective_size:.0f} effective draws")
    if own:
        legend_outside(ax)
    return ax
