"""A measure against the training loss: where runs stand at one loss is read on an upright line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from landscape.checks import check_choice
from landscape.comparison import EQUAL, EqualLoss
from landscape.plots.arrays import RunLike, by_label, measured
from landscape.plots.labels import legend_text, symbols
from landscape.plots.legends import legend_outside
from landscape.plots.style import REFERENCE_COLOR, Style, axes_or_new, optimizer_styles, plain_log_ticks
from landscape.results.base import Array
from landscape.store.catalogue import MEASURES


def loss_curve(run: RunLike, measure: str) -> tuple[Array, Array]:
    """Training losses and values, ``(M,)`` each, at the checkpoints of a run where both are above 0, oldest first."""
    pairs = [(measured(c, "train_loss"), measured(c, measure)) for c in run.checkpoints]
    found = [(x.value, y.value) for x, y in pairs if x is not None and y is not None and x.value > 0 and y.value > 0]
    losses, values = np.array(found, dtype=float).reshape(-1, 2).T
    return losses, values


def loss_curves(runs: Sequence[RunLike], measure: str, *, least: float = EQUAL) -> dict[str, list[tuple[Array, Array]]]:
    """The curves of each group's runs along which the loss changes by more than the factor ``least``."""
    found: dict[str, list[tuple[Array, Array]]] = {}
    for name, group in by_label(runs).items():
        curves = [loss_curve(run, measure) for run in group]
        if kept := [(x, y) for x, y in curves if x.size > 1 and x.max() > least * x.min()]:
            found[name] = kept
    return found


def plot_against_loss(
    runs: Sequence[RunLike],
    found: EqualLoss | None = None,
    measure: str = "lambda_max",
    *,
    styles: Mapping[str, Style] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A measure against the training loss, both on logarithmic axes: runs thin, groups thick.

    Parameters
    ----------
    runs : sequence of runs
        Thin lines, through their measured checkpoints.
    found : EqualLoss, optional
        What :func:`landscape.comparison.at_equal_loss` says: the means of groups at its levels as thick lines with a
        band of their intervals, and the headline's level as an upright line.
    measure : str
        A positive one of the catalogue.
    """
    check_choice("measure", measure, [key for key, one in MEASURES.items() if one.is_positive])
    own = ax is None
    ax = axes_or_new(ax)
    curves = loss_curves(runs, measure, least=1.0)
    names = list(by_label(runs))
    styles = styles or optimizer_styles(names)
    for name in names:
        for i, (losses, values) in enumerate(curves.get(name, [])):
            thin: dict[str, Any] = {"linewidth": 0.5, "alpha": 0.6, "marker": ".", "markersize": 2}
            alone = found is None or not _has(found, measure, name)
            ax.plot(
                losses, values, color=styles[name].color, label=legend_text(name) if alone and i == 0 else None, **thin
            )
    if found is not None and found.levels:
        for name in names:
            _draw_group(ax, found, measure, name, styles[name])
        ax.axvline(found.level, color=REFERENCE_COLOR, linewidth=0.7, linestyle=(0, (4, 2)), zorder=0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        plain_log_ticks(axis)
    ax.set_xlabel("training loss")
    ax.set_ylabel(symbols(MEASURES[measure].axis_label))
    if own:
        legend_outside(ax)
    return ax


def _has(found: EqualLoss, measure: str, name: str) -> bool:
    table = found.table
    return bool(((table["measure"] == measure) & (table["group"].astype(str) == name) & (table["value"] > 0)).any())


def _draw_group(ax: Axes, found: EqualLoss, measure: str, name: str, style: Style) -> None:
    table = found.table
    rows = table[(table["measure"] == measure) & (table["group"].astype(str) == name) & (table["value"] > 0)]
    if rows.empty:
        return
    rows = rows.sort_values("level")
    levels, values, low, high = (rows[key].to_numpy(float) for key in ("level", "value", "low", "high"))
    if np.isfinite(low).all() and (low > 0).all():
        ax.fill_between(levels, low, high, color=style.color, alpha=0.15, linewidth=0)
    look: dict[str, Any] = {"linestyle": style.dash, "linewidth": 1.4, "marker": style.marker, "markersize": 4}
    ax.plot(levels, values, color=style.color, label=legend_text(name), **look)
