"""How the figures of lines and planes are put together: see :mod:`landscape.plots.recipes`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from landscape.plots.arrays import ResultsLike, by_label, last_lines, last_record, record_of
from landscape.plots.labels import legend_text
from landscape.plots.legends import legend_outside
from landscape.plots.lines import plot_line_band, plot_lines, steeper_to_the_right
from landscape.plots.pairs import plot_pairs
from landscape.plots.paper_styles import column_width, full_width, letters
from landscape.plots.paths import plot_paths
from landscape.plots.style import (
    columns_for,
    label_outer,
    name_panels,
    new_figure,
    optimizer_styles,
    panels,
    share_limits,
)
from landscape.plots.surface import add_colorbar, log_levels, plot_contour, plot_surface, surface_heights
from landscape.results import LineSlice, PathSlice, PlaneSlice


def slice_eigenvector(results: ResultsLike, *, groups: Sequence[str]) -> Figure:
    """The rise of the loss along u₁: a panel for each group, a line for each seed."""
    runs, styles, columns = by_label(results.runs), optimizer_styles(by_label(results.runs)), columns_for(len(groups))
    figure, axes = panels(len(groups), columns=columns, row_height=1.8)
    for ax, name in zip(axes, groups, strict=True):
        found = [last_record(run, "line_eigenvector_1", LineSlice) for run in runs[name]]
        plot_lines([line for line in found if line is not None], color=styles[name].color, label="loss", ax=ax)
    name_panels(axes, groups, columns=columns, points=8)
    share_limits(axes, which="y")
    label_outer(axes, columns=columns, x="distance t along u₁", y="L(θ + t·u₁) − L(θ)")
    legend_outside(figure)
    return figure


def slice_eigenvector_together(results: ResultsLike) -> Figure:
    """The rise of the loss along u₁, all groups on one axis: median and band over seeds, the steeper side right."""
    groups = by_label(results.runs)
    figure = new_figure(column_width(), 2.6)
    ax = figure.add_subplot()
    for name, style in optimizer_styles(groups).items():
        found = [last_record(run, "line_eigenvector_1", LineSlice) for run in groups[name]]
        lines = [steeper_to_the_right(line) for line in found if line is not None]
        if lines:
            plot_line_band(lines, color=style.color, dash=style.dash, label=legend_text(name), ax=ax)
    ax.set(xlabel="distance t along u₁", ylabel="L(θ + t·u₁) − L(θ)")
    legend_outside(figure)
    return figure


def slice_random(results: ResultsLike) -> Figure:
    """Medians and bands over random directions and seeds, a colour for each group."""
    groups = by_label(results.runs)
    figure = new_figure(column_width(), 2.5)
    ax = figure.add_subplot()
    for name, style in optimizer_styles(groups).items():
        lines = [line for run in groups[name] for line in last_lines(run, "line_random_")]
        if lines:
            plot_line_band(lines, color=style.color, dash=style.dash, label=legend_text(name), ax=ax)
    legend_outside(figure)
    return figure


def contour(results: ResultsLike, *, names: Sequence[str]) -> Figure:
    """The loss on a random plane of each of these runs, with the same levels."""
    runs = {run.name: run for run in results.runs}
    planes = [record_of(runs[name], "plane", PlaneSlice) for name in names]
    columns = columns_for(len(names))
    width = full_width() if len(names) > 1 else column_width()
    figure, axes = panels(len(names), columns=columns, row_height=min(width / columns, 2.4) + 0.25)
    levels = log_levels(np.concatenate([plane.loss.ravel() for plane in planes]), count=12)
    for ax, plane in zip(axes, planes, strict=True):
        plot_contour(plane, levels=levels, ax=ax)
    name_panels(axes, names, columns=columns, share=0.85)
    label_outer(axes, columns=columns, x="x (direction 1)", y="y (direction 2)")
    add_colorbar(axes[0], axes=axes)
    return figure


def surface(results: ResultsLike, *, names: Sequence[str]) -> Figure:
    """The same planes in three dimensions, with one vertical axis."""
    runs = {run.name: run for run in results.runs}
    planes = [record_of(runs[name], "plane", PlaneSlice) for name in names]
    logarithmic = all(surface_heights(plane)[1] for plane in planes)
    values = np.concatenate([plane.loss[np.isfinite(plane.loss)] for plane in planes])
    values = np.log10(values) if logarithmic else values
    columns = min(3 if full_width() > 6 else 2, len(names))
    height = min(2.4, 1.07 * full_width() / columns)
    figure, axes = panels(len(names), columns=columns, row_height=height, projection="3d")
    for ax, plane in zip(axes, planes, strict=True):
        plot_surface(plane, logarithmic=logarithmic, limits=(values.min(), values.max()), ax=ax)
    name_panels(axes, names, columns=columns)
    return figure


def plane_eigen(results: ResultsLike, *, names: Sequence[str]) -> Figure:
    """The loss on the plane of u₁ and u₂ of each of these runs, each with its own radius and levels."""
    runs = {run.name: run for run in results.runs}
    columns = columns_for(len(names))
    width = full_width() if len(names) > 1 else column_width()
    figure, axes = panels(len(names), columns=columns, row_height=0.55 * width / columns + 0.45)
    for ax, name in zip(axes, names, strict=True):
        plot_contour(record_of(runs[name], "plane_eigen", PlaneSlice), ax=ax)
        add_colorbar(ax)
        ax.set(xlabel="along u₁", ylabel="along u₂")
    name_panels(axes, names, columns=columns, share=0.85)
    return figure


def plane_pca(results: ResultsLike, *, names: Sequence[str]) -> Figure:
    """The paths of these runs on their principal components, over contours of the loss."""
    runs = {run.name: run for run in results.runs}
    paths = [record_of(runs[name], "plane_pca", PathSlice) for name in names]
    columns = columns_for(len(names))
    width = full_width() if len(names) > 1 else column_width()
    shape = np.clip(max(np.ptp(path.y) / np.ptp(path.x) for path in paths), 0.4, 1.0)
    figure, axes = panels(len(names), columns=columns, row_height=0.55 * width / columns * shape + 0.75)
    for ax, path in zip(axes, paths, strict=True):
        plot_paths(path, ax=ax)
        add_colorbar(ax)
        ax.xaxis.label.set_fontsize(letters(6 if columns > 2 else 7))
        ax.yaxis.label.set_fontsize(letters(6 if columns > 2 else 7))
    name_panels(axes, names, columns=columns, share=0.85)
    return figure


def interpolation(results: ResultsLike) -> Figure:
    """The loss on straight lines between minima, grouped by the two groups that they join."""
    figure = new_figure(full_width(), 2.6)
    plot_pairs(results.pairs, results.runs, ax=figure.add_subplot())
    legend_outside(figure, columns=3)
    return figure
