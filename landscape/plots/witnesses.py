"""How far other tools' numbers lie from ours, in units of what the stated errors allow."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from landscape.escaping.control_characters import shortened
from landscape.plots.labels import figure_text
from landscape.plots.legends import legend_outside
from landscape.plots.paper_styles import letters
from landscape.plots.style import PALETTE, REFERENCE_COLOR, axes_or_new
from landscape.results import Crosscheck
from landscape.results.crosscheck import AGREES, DISAGREES, EXPLAINED

#: Far below what is allowed all is one; a difference of zero stands there.
_LEAST = 1e-4
_LOOKS = {AGREES: ("sgd", "o"), EXPLAINED: ("nesterov", "D"), DISAGREES: ("adam", "X")}


def plot_crosscheck(found: Crosscheck, *, ax: Axes | None = None) -> Axes:
    """A dot for each comparison: left of the line at 1 both agree within their errors."""
    own = ax is None
    rows = [row for row in found.rows if not np.isnan(row.ratio)]
    ax = axes_or_new(ax, width=6.8, height=1.2 + 0.17 * len(rows)) if own else axes_or_new(ax)
    for verdict, (colour, marker) in _LOOKS.items():
        chosen = [(max(row.ratio, _LEAST), i) for i, row in enumerate(rows) if row.verdict == verdict]
        if chosen:
            x, y = zip(*chosen, strict=True)
            ax.plot(x, y, marker, color=PALETTE[colour].color, markersize=4, label=verdict)
    ax.axvline(1, color=REFERENCE_COLOR, linewidth=0.8, linestyle=(0, (4, 2)))
    ax.set_xscale("log")
    ax.set_xlim(left=_LEAST / 2)
    names = [figure_text(shortened(f"{row.witness}: {row.quantity}", 46)) for row in rows]
    ax.set_yticks(range(len(rows)), names, fontsize=letters(6))
    ax.invert_yaxis()
    ax.set_xlabel("difference ÷ what the stated errors allow")
    if own:
        legend_outside(ax)
    return ax
