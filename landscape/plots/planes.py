"""Planes through positions, and the pictures of one surface that stand by themselves: panels, and what they are of."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from landscape.plots.labels import figure_text, legend_text
from landscape.plots.legends import legend_outside
from landscape.plots.marks import label_points
from landscape.plots.paper_styles import column_width, full_width, letters
from landscape.plots.paths import plot_path_losses, plot_paths
from landscape.plots.style import (
    PALETTE,
    REFERENCE_COLOR,
    Style,
    axes_or_new,
    new_figure,
    optimizer_styles,
)
from landscape.plots.surface import (
    add_colorbar,
    drawn_values,
    levels_of,
    mark_positions,
    plot_contour,
    value_label,
)
from landscape.results import ModelPlane, PathSlice, PcaPlane, PlaneSlice
from landscape.results.base import Array
from landscape.rounding import format_value

_LETTERS = 17.5  # of a caption's line, an inch
_CAPTION = 6.0  # points
_SHARE = 0.7  # of a panel with what belongs to it, what is drawn
_TITLE, _TITLE_LETTERS = 8.0, 13.5


def plot_positions(plane: PcaPlane, *, styles: Mapping[str, Style] | None = None, ax: Axes | None = None) -> Axes:
    """The paths on their principal components: a ring where each begins, a dot where it ends."""
    own = ax is None
    ax = axes_or_new(ax, height=2.6)
    chosen = dict(styles or optimizer_styles(plane.names))
    for name in plane.names:
        path, style = plane.path(name), chosen[name]
        ax.plot(path[:, 0], path[:, 1], ".-", color=style.color, markersize=2.5, linewidth=0.9, label=legend_text(name))
        ax.plot(*path[0], "o", color=style.color, markerfacecolor="white", markersize=5)
        ax.plot(*path[-1], "o", color=style.color, markeredgecolor="black", markeredgewidth=0.5, markersize=5)
    ax.set_aspect("equal", adjustable="datalim")
    mean, _, _ = plane.baseline
    ax.set_title(
        f"{100 * plane.share:.0f} % of the variance; a random walk has {100 * mean:.0f} %", fontsize=letters(7)
    )
    ax.set_xlabel(plane.labels[0])
    ax.set_ylabel(plane.labels[1])
    if own:
        legend_outside(ax)
    return ax


def plot_models(plane: ModelPlane, *, ax: Axes | None = None) -> Axes:
    """Three models where they lie, with the distances between them."""
    ax = axes_or_new(ax, height=2.6)
    closed = np.concatenate([plane.coordinates, plane.coordinates[:1]])
    ax.plot(closed[:, 0], closed[:, 1], "-", color=REFERENCE_COLOR, linewidth=0.7)
    ax.plot(plane.coordinates[:, 0], plane.coordinates[:, 1], "o", color=PALETTE["sgd"].color, markersize=4)
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.2)
    ax.set_xlabel(figure_text(f"distance {plane.labels[0]}"))
    ax.set_ylabel(figure_text(f"distance {plane.labels[1]}"))
    label_points(ax, list(plane.names), plane.coordinates)
    places = dict(zip(plane.names, plane.coordinates, strict=True))
    for (a, b), length in plane.distances.items():
        middle = (places[a] + places[b]) / 2
        ax.annotate(format_value(length, digits=3), tuple(middle), fontsize=letters(6), ha="center", va="center",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})  # fmt: skip
    return ax


def plane_figure(plane: PlaneSlice, drawn: Sequence[str | None], *, title: str = "", caption: str = "") -> Figure:
    """One surface as a figure of its own: a panel for the loss (None) and each metric that is named.

    Losses share their levels, and so do other metrics, so that one colour is one value in all panels.

    Parameters
    ----------
    title : str
        Of what it is.
    caption : str
        Stands below, in small letters.
    """
    width = column_width() if len(drawn) == 1 else full_width()
    figure = new_figure(width, 2.75 if len(drawn) == 1 else 2.7)
    panels = [figure.add_subplot(1, len(drawn), i + 1) for i in range(len(drawn))]
    values = {metric: drawn_values(plane, metric) for metric in drawn}
    levels = {is_loss: _levels(values, is_loss=is_loss) for is_loss in {found[1] for found in values.values()}}
    for ax, metric in zip(panels, drawn, strict=True):
        plot_contour(plane, metric=metric, levels=levels[values[metric][1]], marks=False, ax=ax)
        add_colorbar(ax, label=value_label(plane, metric))
    if title:
        write_title(figure, title)
    write_caption(figure, caption)
    for ax, metric in zip(panels, drawn, strict=True):  # when all have their places
        mark_positions(plane, metric=metric, ax=ax)
    return figure


def _levels(values: Mapping[str | None, tuple[Array, bool]], *, is_loss: bool) -> Array:
    """The same for all panels of losses, and for all others."""
    every = np.concatenate([found.ravel() for found, one_is in values.values() if one_is == is_loss])
    return levels_of(every, is_loss=is_loss, count=12)[0]


def paths_figure(
    found: PathSlice, drawn: Sequence[str | None] = (None,), *, title: str = "", caption: str = ""
) -> Figure:
    """Paths over the contours, and beside them the loss along each where it was evaluated."""
    styles = optimizer_styles(found.names)
    beside = len(found.losses) > 0
    count = len(drawn) + beside
    width = column_width() if count == 1 else full_width()
    height = _SHARE * width / count * float(np.ptp(found.y) / np.ptp(found.x)) + 1.3
    figure = new_figure(width, float(np.clip(height, 2.45, 2.9)))
    panels = [figure.add_subplot(1, count, i + 1) for i in range(count)]
    for ax, metric in zip(panels, drawn, strict=False):
        plot_paths(found, metric=metric, styles=styles, ax=ax)
        add_colorbar(ax, label="loss L" if metric is None else figure_text(metric))
        for axis in (ax.xaxis, ax.yaxis):
            axis.label.set_fontsize(letters(7 if count < 3 else 6))
    if beside:
        plot_path_losses(found, styles=styles, ax=panels[-1])
    legend_outside(figure)
    if title:
        write_title(figure, title)
    legend = figure.legends[-1]
    lines = _wrapped(figure, caption)
    if lines:  # in one box with the legend, since both stand below everything
        figure.set_figheight(float(figure.get_figheight()) + 1.35 * letters(_CAPTION) / 72 * len(lines))
        legend.set_title("\n".join(lines), prop=FontProperties(size=letters(_CAPTION)))
        legend.get_title().set_color(REFERENCE_COLOR)
    return figure


def write_title(figure: Figure, title: str) -> None:
    """Above everything, in as many lines as it takes."""
    lines = textwrap.wrap(title, int(_TITLE_LETTERS / letters(1.0) * float(figure.get_figwidth())))
    figure.set_figheight(float(figure.get_figheight()) + 1.3 * letters(_TITLE) / 72 * (len(lines) - 1))
    figure.suptitle("\n".join(figure_text(line) for line in lines), fontsize=letters(_TITLE), x=0.01, ha="left")


def write_caption(figure: Figure, caption: str) -> None:
    """Below everything, in as many lines as it takes; the figure grows by them."""
    if not caption:
        return
    lines = _wrapped(figure, caption)
    figure.set_figheight(float(figure.get_figheight()) + 1.35 * letters(_CAPTION) / 72 * len(lines))
    figure.supxlabel("\n".join(lines), fontsize=letters(_CAPTION), x=0.01, ha="left", color=REFERENCE_COLOR)


def _wrapped(figure: Figure, caption: str) -> list[str]:
    return [
        figure_text(line)
        for line in textwrap.wrap(caption, int(_LETTERS / letters(1.0) * float(figure.get_figwidth())))
    ]
