"""How far each tensor of a network has moved, and how far it still has to go."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from landscape.plots.labels import figure_names
from landscape.plots.legends import legend_outside
from landscape.plots.style import EIGENVALUE_COLOR, PALETTE, axes_or_new
from landscape.results import Distances
from landscape.rounding import format_value

#: Inches of a row, and tensors that have one; the others are left out, and their number is said.
_ROW, MOST_TENSORS = 0.19, 24


def plot_distances(found: Distances, *, ax: Axes | None = None) -> Axes:
    """A row for each tensor, in the order of the network: its distance from the start, and from the end."""
    own = ax is None
    farthest = np.maximum(found.from_start, found.from_end)
    shown = np.sort(np.argsort(-farthest, kind="stable")[:MOST_TENSORS])
    ax = axes_or_new(ax, height=1.2 + _ROW * len(shown))
    rows = np.arange(len(shown))
    looks = ((found.from_start, "o", PALETTE["sgd"].color, "from the start"),
             (found.from_end, "D", EIGENVALUE_COLOR, "from the end"))  # fmt: skip
    for (values, marker, color, label), aside in zip(looks, (-0.15, 0.15), strict=True):
        ax.plot(values[shown], rows + aside, marker, color=color, markersize=4, label=label)
    names = figure_names(found.names, inches=1.5)
    ax.set_yticks(rows, [names[found.names[i]] for i in shown])
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_xlim(left=min(0.0, ax.get_xlim()[0]))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    ax.set_axisbelow(True)
    rest = len(found) - len(shown)
    ax.set_xlabel("distance (parameter)" + (f"; {rest} smaller left out" if rest else ""))
    ax.set_title(
        f"{format_value(found.distance_from_start, digits=3)} from the start, "
        f"{format_value(found.distance_from_end, digits=3)} from the end"
    )
    if own:
        legend_outside(ax)
    return ax
