"""Neurons matched between two networks, and the spread of what averaged neurons give."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from landscape.plots.labels import figure_names, symbols
from landscape.plots.legends import legend_outside
from landscape.plots.style import EIGENVALUE_COLOR, PALETTE, REFERENCE_COLOR, axes_or_new
from landscape.results import Alignment, Repaired
from landscape.rounding import format_value

#: Inches of a row, and the most that a figure of many groups is high.
_ROW, _HIGHEST = 0.17, 9.0


def plot_alignment(found: Alignment, *, ax: Axes | None = None) -> Axes:
    """How alike the two networks are where each group of neurons stands, before they were matched and after."""
    own = ax is None
    ax = axes_or_new(ax, height=min(1.2 + _ROW * len(found.groups), _HIGHEST))
    rows = np.arange(len(found.groups))
    ax.hlines(rows, found.alike_before, found.alike, color=REFERENCE_COLOR, linewidth=0.8, alpha=0.7)
    look: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 4, "color": PALETTE["sgd"].color}
    ax.plot(found.alike_before, rows, markerfacecolor="white", label="as they came", **look)
    ax.plot(found.alike, rows, label="matched", **look)
    ax.axvline(0, color=REFERENCE_COLOR, linewidth=0.7, linestyle=":")
    ax.set_yticks(rows, list(figure_names(found.groups, inches=1.5).values()))
    ax.set_ylim(len(found.groups) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    of = "activations" if found.method.startswith("activations") else "weights"
    ax.set_xlabel(f"cosine, {of} of both networks")
    before, after = format_value(found.distance_before), format_value(found.distance)
    ax.set_title(symbols(f"‖θ_a − θ_b‖ {before} → {after}"))
    if own:
        legend_outside(ax)
    return ax


def plot_repaired(found: Repaired, *, ax: Axes | None = None) -> Axes:
    """Layer by layer, how much of the spread that neurons have at the ends is left in the average, before and after."""
    own = ax is None
    ax = axes_or_new(ax, height=2.7)
    places = np.arange(len(found.layers))
    ax.axhline(1, color=REFERENCE_COLOR, linewidth=0.8, linestyle=(0, (4, 2)), label="as at the ends")
    series = (
        ("averaged", found.spread_before, EIGENVALUE_COLOR, "o"),
        ("repaired", found.spread, PALETTE["sgd"].color, "s"),
    )
    for label, values, color, marker in series:
        ax.plot(places, values, color=color, marker=marker, markersize=4, linewidth=0.8, label=label)
    if len(places) <= 12:
        names = list(figure_names(found.layers, inches=0.9).values())
        ax.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_xlabel("layer")
    ax.set_ylim(0, 1.1 * np.nanmax([1.0, *found.spread_before, *found.spread]))
    ax.set_ylabel("spread ÷ wanted")
    ax.set_title(f"loss {format_value(found.loss_before)} → {format_value(found.loss)} at t = {found.t:g}")
    if own:
        legend_outside(ax)
    return ax
