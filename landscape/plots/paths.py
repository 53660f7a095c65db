"""Paths of trainings over the contours of the loss."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from landscape.errors import UsageError
from landscape.escaping.control_characters import shortened
from landscape.plots.labels import figure_text, legend_text
from landscape.plots.legends import legend_outside
from landscape.plots.style import (
    GAP_COLOR,
    Style,
    axes_or_new,
    log_if_wide,
    note_gaps,
    optimizer_styles,
    plain_log_ticks,
)
from landscape.plots.surface import drawn_values, levels_of
from landscape.results import PathSlice

#: Contours in grey, so that the colours are left to the paths.
GREYS = "Greys"
#: Letters of an axis label that have room.
MOST = 24


def plot_paths(
    found: PathSlice,
    *,
    metric: str | None = None,
    styles: Mapping[str, Style] | None = None,
    width: float = 1.0,
    ax: Axes | None = None,
) -> Axes:
    """Contours of the loss with every path: a ring where it begins, a dot where it ends.

    Parameters
    ----------
    found : PathSlice
    metric : str, optional
        Contours of this metric of the plane in place of the loss; its name is the title.
    styles : mapping, optional
        Name of a path → its style; left out, as :func:`optimizer_styles` gives them.
    width : float
        Of the lines, in points; rings and dots shrink with them.

    Returns
    -------
    Axes
        Levels are log-spaced above the lowest loss on the plane, and evenly spaced for what is no loss.
        ``ax.collections[0]`` is the mappable for a colour bar. On principal components the share of variance stands at
        the axes.
    """
    own = ax is None
    ax = axes_or_new(ax, height=3.0)
    chosen = dict(styles or optimizer_styles(found.names))
    values, is_loss = drawn_values(found, metric)
    masked = np.ma.masked_invalid(values)
    levels, norm = levels_of(values, is_loss=is_loss, count=14)
    ax.set_facecolor(GAP_COLOR)
    ax.contourf(found.x, found.y, masked, levels=levels, norm=norm, cmap=GREYS, extend="both", alpha=0.75, zorder=0.5)
    ax.contour(found.x, found.y, masked, levels=levels, colors="white", linewidths=0.4, zorder=0.6)
    size = 3.0 + 2.0 * min(width, 1.0)
    for name in found.names:
        path, style = found.path(name), chosen[name]
        seen = [withStroke(linewidth=width + 1.2, foreground="white")]  # a dark path on dark ground
        ax.plot(
            path[:, 0],
            path[:, 1],
            color=style.color,
            linewidth=width,
            label=legend_text(name),
            zorder=2,
            path_effects=seen,
        )
        ax.plot(*path[0], "o", color=style.color, markerfacecolor="white", markersize=size - 1, zorder=3)
        ax.plot(
            *path[-1], "o", color=style.color, markeredgecolor="black", markeredgewidth=0.5, markersize=size, zorder=4
        )
    ax.set_aspect("equal" if 0.2 < np.ptp(found.y) / np.ptp(found.x) < 5 else "auto")
    ax.spines[["top", "right"]].set_visible(True)
    if metric is not None:
        ax.set_title(figure_text(metric))
    ax.set_xlabel(_axis(found.directions[0]))
    ax.set_ylabel(_axis(found.directions[1]))
    note_gaps(ax, int(np.ma.count_masked(masked)))
    if own:
        legend_outside(ax)
    return ax


def mark_constraint(ax: Axes, x: np.ndarray, y: np.ndarray, room: np.ndarray, solution: tuple[float, float]) -> None:
    """Hatch where a constraint does not hold, and put a star at the solution.

    Parameters
    ----------
    room : (Y, X) array
        Negative where it does not hold.
    """
    with np.errstate(invalid="ignore"):
        ax.contourf(x, y, room, levels=[-np.inf, 0.0], colors="none", hatches=["////"], zorder=0.7)
        ax.contour(x, y, room, levels=[0.0], colors="black", linewidths=0.9, zorder=0.8)
    ax.plot(*solution, "*", color="white", markeredgecolor="black", markeredgewidth=0.7, markersize=10, zorder=5)


def plot_path_losses(found: PathSlice, *, styles: Mapping[str, Style] | None = None, ax: Axes | None = None) -> Axes:
    """The loss at each position of the paths, and dashed that of the plane where the position is drawn.

    Where the two part, the picture shows what the training did not see.

    Raises
    ------
    UsageError
        If the losses at the positions were not evaluated.
    """
    if not len(found.losses):
        raise UsageError("the losses along these paths were not evaluated; evaluate_paths(..., losses=True) does")
    own = ax is None
    ax = axes_or_new(ax, height=2.0)
    chosen = dict(styles or optimizer_styles(found.names))
    gaps, off = 0, bool(found.outside.any())
    for name in found.names:
        one = found.only([name])
        color = chosen[name].color
        true, drawn = (np.where(np.isfinite(x), x, np.nan) for x in (one.losses, one.plane_losses))
        gaps += int(np.isnan(true).sum())
        ax.plot(np.arange(len(true)), true, color=color, linewidth=1.1, label=legend_text(name))
        if off:
            ax.plot(np.arange(len(drawn)), drawn, color=color, linewidth=0.9, linestyle=(0, (3, 2)))
    if off:
        ax.plot([], [], color="black", linewidth=0.9, linestyle=(0, (3, 2)), label="the plane below it")
    if log_if_wide(ax, np.concatenate([found.losses, found.plane_losses])):
        plain_log_ticks(ax.yaxis)
    note_gaps(ax, gaps)
    ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    ax.set_xlabel("position along the path")
    ax.set_ylabel("loss L")
    if own:
        legend_outside(ax)
    return ax


def _axis(words: str) -> str:
    """What an axis is, where there is room for it."""
    return figure_text(shortened(words.replace("principal component", "component"), MOST))
