"""Between minima: the curve that joins two, averages of several, and a heat map of every pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from landscape.checks import check_choice
from landscape.errors import UsageError
from landscape.plots.labels import figure_names, figure_text
from landscape.plots.legends import legend_outside
from landscape.plots.lines import draw_beside, metrics_beside
from landscape.plots.paper_styles import column_width, full_width, letters
from landscape.plots.style import (
    PALETTE,
    REFERENCE_COLOR,
    axes_or_new,
    is_wide,
    note_gaps,
    panels,
    plain_log_ticks,
)
from landscape.results import Connection, Merged, MinimaMatrix
from landscape.results.base import Array
from landscape.results.batch_statistics import BRIEFLY
from landscape.results.minima import QUANTITIES
from landscape.rounding import format_value

#: Minima up to which each cell of a heat map says its number, and up to which each has its name at the axis.
WRITTEN, NAMED = 12, 40


def plot_connection(found: Connection, *, metrics: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """The loss along the curve, with the straight line between the same ends dashed.

    ``metrics`` chooses among those of the curve, left out, all: losses stand beside the loss, others on an axis to the
    right.
    """
    own = ax is None
    ax = axes_or_new(ax, height=2.7)
    beside = metrics_beside([found], metrics)
    gaps = 0
    curve = "Bézier curve" if found.curve == "bezier" else "polygonal chain"
    straight: dict[str, Any] = {
        "color": REFERENCE_COLOR,
        "linestyle": (0, (4, 2)),
        "linewidth": 1.0,
        "label": "straight line",
    }
    trained: dict[str, Any] = {"color": PALETTE["sgd"].color, "linewidth": 1.5, "label": curve}
    for values, look in ((found.line, straight), (found.loss, trained)):
        shown = np.where(np.isfinite(values), values, np.nan)
        gaps += int(np.isnan(shown).sum())
        ax.plot(found.t, shown, **look)
    if is_wide(np.concatenate([found.loss, found.line])):
        ax.set_yscale("log")
        plain_log_ticks(ax.yaxis)
    gaps += draw_beside(ax, [found], beside, as_rise=False, width=1.2)
    note_gaps(ax, gaps)
    brief = BRIEFLY.get(found.batch_statistics, "")
    ax.set_xlabel("t from one minimum (0) to the other (1)")
    ax.set_ylabel("loss L" + (f" ({brief})" if brief else ""))
    if own:
        legend_outside(ax.figure)  # type: ignore[arg-type]
    return ax


def plot_merged(found: Merged, *, metric: str = "loss", ax: Axes | None = None) -> Axes:
    """The loss, or a metric, of each minimum and of their averages: a row for each network, averages below."""
    values = found.loss if metric == "loss" else found.metric(metric)
    own = ax is None
    ax = axes_or_new(ax, height=min(1.1 + 0.2 * len(found.names), 8.0))
    rows, count = np.arange(len(found.names)), found.num_minima
    minima, averages = PALETTE["sgd"], PALETTE["adam"]
    ax.plot(values[:count], rows[:count], minima.marker, color=minima.color, markersize=4, label="minimum")
    ax.plot(values[count:], rows[count:], averages.marker, color=averages.color, markersize=5, label="average")
    ax.axhline(count - 0.5, color=REFERENCE_COLOR, linewidth=0.6)
    names = figure_names(found.names, inches=1.1)
    ax.set_yticks(rows, [names[name] for name in found.names])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    if is_wide(values):
        ax.set_xscale("log")
        plain_log_ticks(ax.xaxis)
    else:
        ax.xaxis.set_major_locator(ticker.MaxNLocator(4))
    note_gaps(ax, int((~np.isfinite(values)).sum()))
    ax.set_xlabel("loss L" if metric == "loss" else figure_text(metric))
    if own:
        legend_outside(ax)
    return ax


def plot_minima(found: MinimaMatrix, *, what: str | None = None, ax: Axes | None = None) -> Axes:
    """A heat map of a quantity for every pair, darker where it is larger; with ``what`` left out one for each measured.

    On axes that are given stands one map, of the first that was measured where ``what`` is left out; else the first of
    the axes is returned. Up to twelve minima each cell says its number. Colours span the pairs alone: no diagonal.

    Raises
    ------
    UsageError
        If ``what`` is no quantity, or nothing was measured.
    """
    if what is not None:
        check_choice("what", what, QUANTITIES)
    shown = (what,) if what is not None else found.measured
    if not shown:
        raise UsageError("nothing was measured of any pair, so there is nothing to draw")
    if ax is not None:
        return _heat_map(found, shown[0], ax)
    columns = min(len(shown), 2 if len(found.names) > 6 or len(shown) == 4 else 3)
    width = column_width() if columns == 1 else full_width()
    _, axes = panels(len(shown), columns=columns, width=width, row_height=0.9 * width / columns)
    for one, name in zip(axes, shown, strict=True):
        _heat_map(found, name, one)
    return axes[0]


def _heat_map(found: MinimaMatrix, name: str, ax: Axes) -> Axes:
    values, size = found.matrix(name), len(found.names)
    depth = _depth(values)
    ax.imshow(np.ma.masked_invalid(0.85 * depth), cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    if size <= WRITTEN:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                color = "white" if depth[row, column] > 0.65 else "black"
                text = format_value(float(value), digits=2)
                ax.text(
                    column, row, text, ha="center", va="center", fontsize=letters(6 if size <= 6 else 5), color=color
                )
    ticks = np.arange(size) if size <= NAMED else np.linspace(0, size - 1, 6).astype(int)
    names = figure_names(found.names, inches=0.7)
    labels = [names[found.names[i]] for i in ticks]
    ax.set_xticks(ticks, labels, rotation=60, ha="right")
    ax.set_yticks(ticks, labels)
    ax.tick_params(length=0, labelsize=letters(7 if size <= 20 else 5))
    ax.set_xlabel("minimum")
    ax.set_title(found.describe(name))
    ax.spines[["top", "right"]].set_visible(True)
    return ax


def _depth(values: Array) -> Array:
    """0 for the least of all pairs, 1 for the largest; the diagonal is what it is, within these."""
    away = values[~np.eye(len(values), dtype=bool)]
    known = away[np.isfinite(away)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    depth = (values - low) / (high - low) if high > low else np.where(values >= high, 0.5, 0.0)
    return np.where(np.isfinite(values), np.clip(depth, 0, 1), np.nan)
