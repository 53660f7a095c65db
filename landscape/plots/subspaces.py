"""Subspaces: the angles between two of them, and where vectors have their mass."""

from __future__ import annotations

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from landscape.plots.labels import figure_names
from landscape.plots.paper_styles import letters
from landscape.plots.style import PALETTE, axes_or_new
from landscape.results import Attribution, PrincipalAngles

#: Groups that have a column of their own; the others are left out, and their number is said.
MOST_GROUPS = 12
#: Vectors beyond which the shares are no longer written into the cells.
_MOST_WRITTEN = 16


def plot_angles(found: PrincipalAngles, *, ax: Axes | None = None) -> Axes:
    """The principal angles in ascending order: at 0° a direction is common to both subspaces, at 90° it is in one."""
    ax = axes_or_new(ax)
    style = PALETTE["sgd"]
    order = np.arange(1, len(found.angles) + 1)
    ax.plot(order, np.degrees(found.angles), "o-", color=style.color, markersize=4, linewidth=0.8)
    ax.set_ylim(-3, 93)
    ax.set_yticks([0, 30, 60, 90])
    ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    ax.set_xlabel("principal angle, in ascending order")
    ax.set_ylabel("angle (degrees)")
    ax.set_title(f"dimensions {found.dims[0]} and {found.dims[1]} of {found.dim:,}: overlap {found.overlap:.3g}")
    return ax


def plot_attribution(found: Attribution, *, ax: Axes | None = None) -> Axes:
    """Shares in per cent, a row for each vector and a column for each group: those with the largest shares."""
    most = np.argsort(-found.shares.max(axis=0, initial=0.0), kind="stable")[:MOST_GROUPS]
    shown = np.sort(most)
    vectors, width = len(found.shares), max(2.2, 0.42 * len(shown) + 0.9)
    ax = axes_or_new(ax, width=width, height=min(1.2 + 0.24 * vectors, 6.0))
    percent = 100 * found.shares[:, shown]
    ax.imshow(percent, cmap="Blues", vmin=0, vmax=max(100.0, float(percent.max(initial=0.0))), aspect="auto")
    if vectors <= _MOST_WRITTEN:
        for (row, column), share in np.ndenumerate(percent):
            color = "white" if share > 60 else "black"
            ax.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=letters(6), color=color)
    names = figure_names(found.names, inches=0.9)
    ax.set_xticks(range(len(shown)), [names[found.names[j]] for j in shown], rotation=60, ha="right")
    ax.yaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda place, _: f"{place + 1:.0f}"))
    ax.set_yticks(range(vectors) if vectors <= _MOST_WRITTEN else range(0, vectors, max(1, vectors // 8)))
    ax.set_ylabel("vector")
    rest = len(found.names) - len(shown)
    what = "squared cosine (%)" if found.kind == "class" else "share of the squared length (%)"
    ax.set_xlabel(f"{found.kind}: {what}" + (f"; {rest} smaller left out" if rest else ""))
    ax.spines[["top", "right"]].set_visible(True)
    return ax
