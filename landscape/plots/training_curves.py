"""Measures over a whole training, from its first checkpoint to its last: groups over each other, or several of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from landscape.checks import check_choice
from landscape.plots.arrays import RunLike, by_label, measured
from landscape.plots.labels import symbols
from landscape.plots.legends import legend_outside
from landscape.plots.style import PALETTE, Style, axes_or_new, log_if_wide, optimizer_styles, plain_log_ticks
from landscape.plots.tails import MOST_BANDS, Band, Tail, draw_tails, tail_of
from landscape.results.base import Array
from landscape.store.catalogue import MEASURES

#: Measures that stand in one panel with others: how its legend calls each, and in which colour; what the axis says.
_IN_PAIRS = {
    "train_loss": ("training", "sgd"), "test_loss": ("test", "adam"),
    "train_accuracy": ("training", "sgd"), "test_accuracy": ("test", "adam"),
    "gradient_share": ("gradient", "nesterov"), "update_share": ("update", "rmsprop"),
    "distance_from_start": ("from the start", "adagrad"), "distance_from_end": ("from the end", "momentum"),
}  # fmt: skip
#: A single run has a marker at each checkpoint, up to so many.
_MOST_MARKERS = 30
_AXES = {
    "gradient_share": "share (%)",
    "update_share": "share (%)",
    "distance_from_start": "distance (parameter)",
    "distance_from_end": "distance (parameter)",
}


def curve_of_run(run: RunLike, measure: str) -> Tail:
    """A measure at each checkpoint that has it, with the steps of the training; empty arrays where none has."""
    return tail_of([(c.step, m) for c in run.checkpoints if (m := measured(c, measure)) is not None])


def band_of_curves(curves: Sequence[Tail]) -> Band | None:
    """Mean (of positive values the geometric one) and extremes over seeds, on the steps that all of them cover.

    Seeds are measured at different steps where checkpoints were saved by the loss, so each is read between two of its
    checkpoints on a straight line, of positive values in logarithms. None without two seeds that share an interval.
    """
    curves = [curve for curve in curves if curve.steps.size > 1]
    if len(curves) < 2:
        return None
    first, last = max(c.steps[0] for c in curves), min(c.steps[-1] for c in curves)
    if not first < last:
        return None
    every = np.unique(np.concatenate([c.steps for c in curves]))
    steps = every[(every >= first) & (every <= last)]
    positive = all((c.values > 0).all() for c in curves)
    rows = np.stack([_between(c, steps, positive=positive) for c in curves])
    mean = np.exp(np.log(rows).mean(0)) if positive else rows.mean(0)
    return Band(steps, mean, rows.min(0), rows.max(0), len(curves))


def _between(curve: Tail, steps: Array, *, positive: bool) -> Array:
    if not positive:
        return np.asarray(np.interp(steps, curve.steps, curve.values))
    return np.asarray(np.exp(np.interp(steps, curve.steps, np.log(curve.values))))


def curves_of_groups(runs: Sequence[RunLike], measure: str) -> dict[str, list[Tail]]:
    """The curves of each group's runs that have the measure at more than one checkpoint."""
    return {
        name: [curve for run in group if (curve := curve_of_run(run, measure)).steps.size > 1]
        for name, group in by_label(runs).items()
    }


def plot_training(
    runs: Sequence[RunLike], measure: str, *, styles: dict[str, Style] | None = None, ax: Axes | None = None
) -> Axes:
    """A measure against the step of the training, per group: mean over seeds, band from lowest to highest, thin seeds.

    Where more than three groups have several seeds there are no bands, which would cover each other.

    Parameters
    ----------
    runs : sequence of runs
        As in ``load_results(path).runs``.
    measure : str
        Any key of ``landscape.store.catalogue.MEASURES``.

    Returns
    -------
    Axes
        Logarithmic where values are positive and span more than a factor of 20. Open circles did not converge.

    Raises
    ------
    UsageError
        For an unknown measure.
    """
    check_choice("measure", measure, MEASURES)
    own = ax is None
    ax = axes_or_new(ax)
    found = curves_of_groups(runs, measure)
    styles = styles or optimizer_styles(found)
    bands = {name: band_of_curves(curves) for name, curves in found.items()}
    few = sum(band is not None for band in bands.values()) <= MOST_BANDS
    for name, curves in found.items():
        draw_tails(ax, curves, name, styles[name], band=bands[name], filled=few, most_markers=_MOST_MARKERS)
    _finish(ax, [v for curves in found.values() for c in curves for v in c.values], measure)
    if own:
        legend_outside(ax)
    return ax


def plot_training_of_group(
    runs: RunLike | Sequence[RunLike], measures: Sequence[str], *, color: str | None = None, ax: Axes | None = None
) -> Axes:
    """Measures of one run, or of the seeds of one group, on one axis against the step of the training.

    Parameters
    ----------
    runs : run or sequence of runs
    measures : sequence of str
        Of one unit, such as ``("train_loss", "test_loss")``.
    color : str, optional
        Of a measure that stands alone.

    Raises
    ------
    UsageError
        For an unknown measure.
    """
    for measure in measures:
        check_choice("measure", measure, MEASURES)
    own, group = ax is None, list(runs) if isinstance(runs, Sequence) else [runs]
    ax = axes_or_new(ax)
    drawn: list[float] = []
    for measure in measures:
        curves = [curve for run in group if (curve := curve_of_run(run, measure)).steps.size > 1]
        words, name = _IN_PAIRS.get(measure, (MEASURES[measure].words, "sgd"))
        style = Style(PALETTE[name].color if len(measures) > 1 or color is None else color, "o")
        draw_tails(
            ax,
            curves,
            words if len(measures) > 1 else "",
            style,
            band=band_of_curves(curves),
            most_markers=_MOST_MARKERS,
        )
        drawn += [value for curve in curves for value in curve.values]
    _finish(ax, drawn, measures[0])
    if len(measures) > 1:
        ax.set_ylabel(_AXES.get(measures[0], ax.get_ylabel()))
    if own:
        legend_outside(ax)
    return ax


def _finish(ax: Axes, values: Any, measure: str) -> None:
    if log_if_wide(ax, values):
        plain_log_ticks(ax.yaxis)
    ax.set_ylabel(symbols(MEASURES[measure].axis_label))
    ax.set_xlabel("step")
    ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    ax.margins(x=0.03)
