"""How the figures of a report are put together. ``figures.py`` beside them is made of these functions, word by word.

So each takes the results first, what else it takes is plain data, and its body uses public names alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from landscape.comparison import at_equal_loss, contrasts
from landscape.plots.against_loss import plot_against_loss
from landscape.plots.along import plot_stability_path
from landscape.plots.arrays import ResultsLike, by_label, last_record
from landscape.plots.comparison import plot_class_accuracy, plot_measure
from landscape.plots.confusion import confusions, plot_confusion
from landscape.plots.forest import forest_figure
from landscape.plots.legends import legend_outside
from landscape.plots.paper_styles import column_width, full_width
from landscape.plots.spectrum import plot_spectrum
from landscape.plots.style import label_outer, name_panels, new_figure, optimizer_styles, panels, share_limits
from landscape.plots.tails import plot_tail
from landscape.results import Eigenpairs, SpectralMeasure
from landscape.store.catalogue import MEASURES


def against_loss(results: Any, *, measure: str, levels: bool) -> Figure:
    """A measure against the training loss; with ``levels`` the means of groups where all stand at one loss."""
    found = at_equal_loss(results, measures=(measure,)) if levels else None
    figure = new_figure(column_width(), 2.6)
    plot_against_loss(results.runs, found, measure, ax=figure.add_subplot())
    legend_outside(figure)
    return figure


def summary(results: ResultsLike, *, measures: Sequence[str]) -> Figure:
    """A panel for each measure: groups as rows, seeds as dots."""
    rows = len(by_label(results.runs))
    columns = min(len(measures), 4 if full_width() > 6 else 3)
    figure, axes = panels(len(measures), columns=columns, row_height=0.85 + 0.24 * rows)
    for i, (ax, measure) in enumerate(zip(axes, measures, strict=True)):
        plot_measure(results.runs, measure, ax=ax)
        if i % columns:
            ax.set_yticklabels([])
    legend_outside(figure)
    return figure


def differences(results: Any, *, equal_loss: bool) -> Figure | None:
    """The differences between groups: at one training loss, or where training stopped."""
    if equal_loss:
        return forest_figure(at_equal_loss(results).contrasts)
    return forest_figure(contrasts(results, by="label"))


def against_step(results: ResultsLike, *, measures: Sequence[str]) -> Figure:
    """A panel for each measure, over the last iterations."""
    figure, axes = panels(len(measures), columns=2 if len(measures) in (2, 4) else 3, row_height=2.1)
    for ax, measure in zip(axes, measures, strict=True):
        plot_tail(results.runs, measure, ax=ax)
        ax.set_title(MEASURES[measure].panel_title)
        ax.set_xlabel("step, from the last")
    legend_outside(figure)
    return figure


def stability(results: ResultsLike, *, groups: Mapping[str, Sequence[str]]) -> Figure:
    """A panel for each group of runs, with the thresholds of its optimizer."""
    runs = {run.name: run for run in results.runs}
    figure, axes = panels(len(groups), columns=3, row_height=2.0)
    for ax, names in zip(axes, groups.values(), strict=True):
        plot_stability_path([runs[name] for name in names], ax=ax)
    name_panels(axes, groups, columns=3, points=8)
    label_outer(axes, columns=3, x="step", y="sharpness")
    legend_outside(figure)
    return figure


def spectrum(results: ResultsLike, *, group: str, names: Sequence[str]) -> Figure:
    """A panel for each run of a group, so that seeds share their axes."""
    runs = {run.name: run for run in results.runs}
    color = optimizer_styles(by_label(results.runs))[group].color
    columns = 2 if len(names) in (2, 4) else 3
    figure, axes = panels(len(names), columns=columns, row_height=1.75)
    for ax, name in zip(axes, names, strict=True):
        density = last_record(runs[name], "density", SpectralMeasure)
        pairs = last_record(runs[name], "eigenpairs", Eigenpairs)
        plot_spectrum(density, eigenpairs=pairs, color=color, ax=ax)
    tallest = max((ax.get_ylabel() for ax in axes), key=len)
    name_panels(axes, names, columns=columns)
    share_limits(axes, which="x")
    label_outer(axes, columns=columns, x=axes[0].get_xlabel(), y=tallest)
    legend_outside(figure)
    return figure


def class_accuracy(results: ResultsLike) -> Figure:
    """Test accuracy class by class."""
    figure = new_figure(full_width(), 2.4)
    styles = optimizer_styles(by_label(results.runs))
    plot_class_accuracy(results.runs, styles=styles, ax=figure.add_subplot())
    legend_outside(figure)
    return figure


def confusion(results: ResultsLike) -> Figure:
    """Which class is taken for which: a panel for each group."""
    found = confusions(results.runs)
    columns = min(len(found), 3)
    figure, axes = panels(len(found), columns=columns, row_height=0.25 + full_width() / 3)
    for i, (ax, counts) in enumerate(zip(axes, found.values(), strict=True)):
        plot_confusion(counts, ax=ax)
        if i % columns:
            ax.set_ylabel("")
    name_panels(axes, found, columns=columns, points=8)
    return figure
