"""The loss on a plane: contours and the surface in three dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from landscape.errors import UsageError
from landscape.escaping.control_characters import shortened
from landscape.plots.labels import figure_text, unit_words
from landscape.plots.marks import draw_marks
from landscape.plots.paper_styles import full_width, letters
from landscape.plots.style import GAP_COLOR, SURFACE_CMAP, axes_or_new, new_figure, note_gaps
from landscape.results import PathSlice, PlaneSlice
from landscape.results.base import Array
from landscape.rounding import format_value

_MOST = 30  # letters of an axis label
_ROOM = 1.5  # inches of axes in three dimensions beside which their labels have a place
_STRIP = 4.0  # a picture that much longer than wide shows nothing


def log_levels(loss: Any, *, count: int = 10) -> Array:
    """Levels spaced by equal factors, ``(count,)``, ascending.

    Of the loss itself where it is positive and spans more than a factor of 5; else of its height above the lowest
    value seen, over three decades. Values that are not finite play no part.

    Raises
    ------
    UsageError
        If fewer than two different finite values are given, so that no level separates them.

    >>> log_levels([0.01, 1.0, 100.0], count=5).round(4)
    array([1.e-02, 1.e-01, 1.e+00, 1.e+01, 1.e+02])
    """
    values = np.asarray(loss, dtype=float)
    values = values[np.isfinite(values)]
    if values.size < 2 or values.min() == values.max():
        raise UsageError(f"no levels for {values.size} finite values that do not differ; a plane needs a varying loss")
    low, high = float(values.min()), float(values.max())
    if low > 0 and high > 5 * low:
        return np.geomspace(low, high, count)
    above = np.geomspace(1e-3 * (high - low), high - low, count - 1)
    return np.concatenate([[low], low + above])


def drawn_values(plane: PlaneSlice | PathSlice, metric: str | None) -> tuple[Array, bool]:
    """The loss, or a metric of that name, (Y, X), and whether it is a loss."""
    if metric is None:
        return np.asarray(plane.loss, dtype=float), True
    return np.asarray(plane.metric(metric), dtype=float), metric in plane.metric_losses


def levels_of(values: Array, *, is_loss: bool, count: int) -> tuple[Array, Normalize]:
    """Levels of contours and their colours: of losses :func:`log_levels`, of other metrics evenly spaced, ``(count,)``.

    Raises
    ------
    UsageError
        If fewer than two different finite values are given.
    """
    finite = values[np.isfinite(values)]
    if is_loss or finite.size < 2 or finite.min() == finite.max():
        levels = log_levels(values, count=count)
        return levels, loss_norm(levels)
    levels = np.linspace(finite.min(), finite.max(), count)
    return levels, Normalize(levels[0], levels[-1])


def plot_contour(
    plane: PlaneSlice,
    *,
    metric: str | None = None,
    levels: Any = None,
    marks: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Filled contours of the loss with log-spaced levels, and a cross at the centre, or the positions that are marked.

    Parameters
    ----------
    plane : PlaneSlice
    metric : str, optional
        Draw this metric of the plane; other than losses, with levels that are evenly spaced.
    levels : (n,) array, optional
        Ascending; pass the same to several panels to make them comparable. Left out: :func:`log_levels`.
    marks : bool
        Draw the marked positions; of several panels last, by :func:`mark_positions`, when all have their places.

    Returns
    -------
    Axes
        Points that are not finite are grey, and their number stands above the panel. Values beyond the levels take
        the colour of the nearest. ``ax.collections[0]`` is the mappable for a colour bar, which its own figure has.
    """
    own = ax is None
    ax = axes_or_new(ax, height=2.5)
    values, is_loss = drawn_values(plane, metric)
    masked = np.ma.masked_invalid(values)
    if levels is None:
        shown, norm = levels_of(values, is_loss=is_loss, count=10)
    else:
        shown = np.asarray(levels, dtype=float)
        norm = loss_norm(shown) if is_loss else Normalize(shown[0], shown[-1])
    ax.set_facecolor(GAP_COLOR)
    ax.contourf(plane.x, plane.y, masked, levels=shown, norm=norm, cmap=SURFACE_CMAP, extend="both", zorder=0.5)
    ax.contour(plane.x, plane.y, masked, levels=shown, colors="white", linewidths=0.35, zorder=0.6)
    _set_aspect(ax, plane)
    if not plane.mark_names:
        ax.plot(0, 0, "+", color="black", markersize=9, markeredgewidth=2.6)
        ax.plot(0, 0, "+", color="white", markersize=8, markeredgewidth=1.2)
    ax.spines[["top", "right"]].set_visible(True)
    first, second = axis_labels(plane)
    ax.set_xlabel(first)
    ax.set_ylabel(second)
    for axis in (ax.xaxis, ax.yaxis):  # no more digits than they need: on small panels they would touch
        axis.set_major_formatter("{x:g}")
    note_gaps(ax, int(np.ma.count_masked(masked)), inside=True)
    if own:
        add_colorbar(ax, label=value_label(plane, metric))
    if marks:
        mark_positions(plane, metric=metric, ax=ax)
    return ax


def mark_positions(plane: PlaneSlice, *, metric: str | None = None, ax: Axes) -> None:
    """The positions that are marked, each with its name and its exact value."""
    if plane.mark_names:
        notes = [format_value(value, digits=3) for value in values_of_marks(plane, metric)]
        draw_marks(ax, plane.mark_names, plane.mark_points, notes=notes)


def values_of_marks(plane: PlaneSlice, metric: str | None) -> list[float]:
    """Of the loss or a metric, at each marked position; exact."""
    if metric is None:
        return [float(value) for value in plane.mark_losses]
    known = dict(zip(plane.metric_names, plane.mark_metric_values, strict=False))
    return [float(value) for value in known.get(metric, np.full(len(plane.mark_names), np.nan))]


def axis_labels(plane: PlaneSlice) -> tuple[str, str]:
    """What both axes are, and how far they go in both units: lengths of their direction, and ‖θ‖."""
    found = []
    for letter, words, length in zip("xy", plane.directions, plane.step_norms.tolist(), strict=True):
        is_named = words not in ("direction 1", "direction 2")
        said = f"{letter}: {shortened(words, _MOST)}" if is_named else f"{letter} (lengths of {words})"
        found.append(figure_text(said) + unit_words(length, plane.param_norm))
    return found[0], found[1]


def _set_aspect(ax: Axes, plane: PlaneSlice) -> None:
    """Equal where both axes have one unit and neither is a strip."""
    width, height = (float(np.ptp(axis)) for axis in (plane.x, plane.y))
    ax.set_aspect("equal" if 1 / _STRIP < height / width < _STRIP else "auto")


def value_label(plane: PlaneSlice, metric: str | None) -> str:
    """What is drawn, for a colour bar."""
    if metric is not None:
        return figure_text(metric)
    return "loss L" if plane.split == "train" else "test loss"


def add_colorbar(ax: Axes, *, axes: Any = None, label: str = "loss L") -> None:
    """A colour bar for the contours of ``ax``, beside ``axes`` (all panels that share the levels)."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(ax.collections[0], ax=axes if axes is not None else ax, label=label, shrink=0.9, aspect=25)
    bar.ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:.2g}"))
    bar.ax.minorticks_off()


def loss_norm(levels: Array) -> Normalize:
    """Equal colour steps per level: logarithmic where the levels are."""
    if levels[0] > 0 and levels[-1] > 5 * levels[0]:
        return LogNorm(levels[0], levels[-1])
    return Normalize(levels[0], levels[-1])


def surface_heights(plane: PlaneSlice, metric: str | None = None) -> tuple[Array, bool]:
    """Heights ``(Y, X)`` to draw, NaN for gaps, and whether they are log₁₀ of the loss.

    Logarithmic where the loss is positive and spans more than a factor of 30: else the rim hides the minimum.
    """
    values, is_loss = drawn_values(plane, metric)
    loss = np.where(np.isfinite(values), values, np.nan)
    finite = loss[np.isfinite(loss)]
    logarithmic = bool(is_loss and finite.size and finite.min() > 0 and finite.max() > 30 * finite.min())
    return (np.log10(loss), True) if logarithmic else (loss, False)


def plot_surface(
    plane: PlaneSlice,
    *,
    metric: str | None = None,
    logarithmic: bool | None = None,
    limits: tuple[float, float] | None = None,
    ax: Any = None,
) -> Axes:
    """The loss over a plane in three dimensions; gaps where it is not finite.

    Parameters
    ----------
    plane : PlaneSlice
    metric : str, optional
        Draw this metric of the plane.
    logarithmic : bool, optional
        Draw log₁₀ of the loss. Left out: where it is positive and spans more than a factor of 30.
    limits : (low, high), optional
        Of the vertical axis and the colours, in the units drawn; to make panels comparable.
    ax : Axes3D, optional

    Returns
    -------
    Axes3D
        Rasterised inside the PDF, where thousands of facets would weigh megabytes.

    Raises
    ------
    UsageError
        If a logarithm is asked for and the loss is not positive everywhere, or no value is finite.
    """
    heights, is_log = surface_heights(plane, metric)
    if logarithmic is not None and logarithmic != is_log:
        values, _ = drawn_values(plane, metric)
        loss = np.where(np.isfinite(values), values, np.nan)
        if logarithmic and np.nanmin(loss) <= 0:
            raise UsageError(f"logarithmic=True, but the lowest loss is {np.nanmin(loss)}; draw it linearly")
        heights, is_log = (np.log10(loss) if logarithmic else loss), logarithmic
    finite = heights[np.isfinite(heights)]
    if finite.size == 0:
        raise UsageError("no point of this plane has a finite loss; there is no surface to draw")
    if ax is None:
        ax = new_figure(0.5 * full_width(), 3.0).add_subplot(projection="3d")
    low, high = limits or (float(finite.min()), float(finite.max()))
    x, y = np.meshgrid(plane.x, plane.y)
    # every point is drawn: the default keeps only 50 per side, and would drop the centre of an odd grid
    ax.plot_surface(
        x, y, heights, cmap=SURFACE_CMAP, vmin=low, vmax=high, rstride=1, cstride=1, linewidth=0, rasterized=True
    )
    ax.set_zlim(low, high)
    ax.view_init(elev=32, azim=-58)
    # else the vertical label falls outside the panel, the more so the smaller that is
    inches = ax.get_position().width * ax.get_figure(root=True).get_figwidth()
    ax.set_box_aspect(None, zoom=0.8 * min(1.0, inches / _ROOM / letters(1.0)))
    ax.set_xlabel("x", labelpad=-6.5)
    ax.set_ylabel("y", labelpad=-6.5)
    ax.set_zlabel(("loss L" if metric is None else figure_text(metric)) + (" (log)" if is_log else ""), labelpad=-5.5)
    ax.tick_params(pad=-3)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(ticker.MaxNLocator(4))
        axis.set_major_formatter("{x:g}")
    ax.zaxis.set_major_locator(ticker.MaxNLocator(5, integer=is_log and high - low > 2))
    if is_log:
        ax.zaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{10**value:.2g}"))
    note_gaps(ax, int(heights.size - finite.size), inside=True)
    axes: Axes = ax
    return axes
