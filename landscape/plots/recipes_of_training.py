"""How the figures of a whole training are put together: see :mod:`landscape.plots.recipes`."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from landscape.plots.along import plot_stability_path
from landscape.plots.arrays import ResultsLike, by_label
from landscape.plots.every_step import STEP_WORDS, plot_steps
from landscape.plots.legends import legend_outside
from landscape.plots.style import optimizer_styles, panels
from landscape.plots.training_curves import plot_training, plot_training_of_group
from landscape.store.catalogue import MEASURES


def along_training(results: ResultsLike, *, measures: Sequence[str]) -> Figure:
    """A panel for each measure over the whole training, all groups over each other."""
    columns = 2 if len(measures) in (2, 4) else 3
    figure, axes = panels(len(measures), columns=columns, row_height=2.2)
    for ax, measure in zip(axes, measures, strict=True):
        plot_training(results.runs, measure, ax=ax)
        ax.set_title(MEASURES[measure].panel_title)
    for i, ax in enumerate(axes):
        ax.set_xlabel("step" if i + columns >= len(axes) else "")
    legend_outside(figure)
    return figure


def training_of_group(results: ResultsLike, *, group: str, rows: Sequence[tuple[str, Sequence[str]]]) -> Figure:
    """One group over its whole training: a panel for each title with its measures, or with those of stability."""
    runs, color = by_label(results.runs)[group], optimizer_styles(by_label(results.runs))[group].color
    figure, axes = panels(len(rows), columns=3, row_height=1.9)
    for i, (ax, (title, measures)) in enumerate(zip(axes, rows, strict=True)):
        if measures:
            plot_training_of_group(runs, measures, color=color, ax=ax)
        else:
            plot_stability_path(runs, ax=ax)
        ax.set_title(title)
        ax.set_xlabel("step" if i + 3 >= len(rows) else "")
    legend_outside(figure)
    return figure


def every_step(results: ResultsLike, *, names: Sequence[str]) -> Figure:
    """A panel for each number that trainings saved at every step, all groups over each other."""
    figure, axes = panels(len(names), columns=3 if len(names) != 2 else 2, row_height=2.2)
    for ax, name in zip(axes, names, strict=True):
        plot_steps(results.runs, name, ax=ax)
        ax.set_title(STEP_WORDS[name][0])
        ax.set_xlabel("step")
    legend_outside(figure)
    return figure
