"""Sharpness along a training, with the thresholds of its optimizer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from landscape.plots.arrays import RunLike
from landscape.plots.legends import legend_outside
from landscape.plots.style import (
    EIGENVALUE_COLOR,
    PALETTE,
    REFERENCE_COLOR,
    Style,
    axes_or_new,
    log_if_wide,
    plain_log_ticks,
)
from landscape.plots.tails import MOST_MARKERS, Tail, tail_of
from landscape.plots.training_curves import band_of_curves
from landscape.results import Stability
from landscape.results.stability import StabilityRow
from landscape.store.stability_rows import DECISIVE

#: Measure of stability → how a legend calls it, and how it is drawn; of the decisive ones an optimizer has one.
_LOOKS: dict[str, tuple[str, Style]] = {
    "lambda_max": ("λ_max", Style(EIGENVALUE_COLOR, "o")),
    "preconditioned_sharpness": ("λ_max(P⁻¹H)", Style(EIGENVALUE_COLOR, "D")),
    "generalized_sharpness": ("max dᵀHd, at least", Style(EIGENVALUE_COLOR, ">")),
    "critical_sharpness": ("critical sharpness", Style(PALETTE["sgd"].color, "s")),
    "batch_sharpness": ("batch sharpness", Style(PALETTE["nesterov"].color, "^")),
}
_DASHED: Any = (0, (4, 2))
#: Length of a dash; where thresholds fall together, dashes of all their colours are seen.
_DASH = 3


def plot_stability_path(runs: RunLike | Sequence[RunLike], *, ax: Axes | None = None) -> Axes:
    """Sharpness of one run, or of the seeds of one group, against the step, with the thresholds of their optimizer.

    Parameters
    ----------
    runs : run or sequence of runs
        As in ``load_results(path).runs``.

    Returns
    -------
    Axes
        A colour for each measure, dashed its threshold; logarithmic where they span more than a factor of 20.
    """
    own, group = ax is None, list(runs) if isinstance(runs, Sequence) else [runs]
    ax = axes_or_new(ax)
    drawn: list[float] = []
    measures = _measures(group)
    for place, measure in enumerate(measures):
        dashed: Any = (place * _DASH, (_DASH, max(len(measures) - 1, 1) * _DASH))
        label, style = _LOOKS[measure]
        paths = [path for run in group if (path := _path(run, measure))[0].steps.size]
        band = band_of_curves([tail for tail, _ in paths])
        for i, (tail, thresholds) in enumerate(paths):
            look: dict[str, Any] = {"marker": style.marker, "markersize": 3.5, "label": label if i == 0 else None}
            if band is not None:
                look = {"linewidth": 0.5, "alpha": 0.7}
            ax.plot(tail.steps, tail.values, color=style.color, **look)
            ax.plot(tail.steps, thresholds, color=style.color, linewidth=1, linestyle=dashed)
            bad = ~tail.converged
            ax.plot(tail.steps[bad], tail.values[bad], style.marker, color=style.color, markerfacecolor="white", ms=4)
            drawn += [*tail.values, *thresholds[np.isfinite(thresholds)]]
        if band is not None:
            marks: dict[str, Any] = {"marker": style.marker, "markersize": 3.5}
            marks["markevery"] = -(-band.steps.size // MOST_MARKERS)
            ax.plot(band.steps, band.mean, color=style.color, label=label, **marks)
    if drawn:
        ax.plot([], [], color=REFERENCE_COLOR, linewidth=1, linestyle=_DASHED, label="threshold of the same colour")
    if log_if_wide(ax, drawn):
        plain_log_ticks(ax.yaxis)
    ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    ax.set_xlabel("step")
    ax.set_ylabel("sharpness")
    if own:
        legend_outside(ax)
    return ax


def stability_tables(run: RunLike) -> list[tuple[int, Stability]]:
    """The table of each checkpoint that has one, by step."""
    found = ((c.step, c.records.get("stability")) for c in run.checkpoints)
    return [(step, table) for step, table in found if isinstance(table, Stability)]


def _rows(run: RunLike, measure: str) -> list[tuple[int, StabilityRow]]:
    """Its values that have a place on a logarithmic axis."""
    return [
        (step, row)
        for step, table in stability_tables(run)
        for row in table
        if row.measure == measure and math.isfinite(row.value) and row.value > 0
    ]


def _measures(group: Sequence[RunLike]) -> list[str]:
    """What is drawn of a group: the eigenvalue that has a threshold, else λ_max, and what is along the steps."""
    with_threshold = [
        measure
        for measure in DECISIVE
        if any(not math.isnan(row.threshold) for run in group for _, row in _rows(run, measure))
    ]
    along = [measure for measure in _LOOKS if measure not in DECISIVE]
    return [*(with_threshold[:1] or ["lambda_max"]), *(m for m in along if any(_rows(run, m) for run in group))]


def _path(run: RunLike, measure: str) -> tuple[Tail, np.ndarray]:
    """A measure against the step, and its thresholds: NaN where there is none, or nothing is unstable."""
    rows = _rows(run, measure)
    thresholds = np.array([row.threshold for _, row in rows], dtype=float)
    return tail_of(rows), np.where(np.isfinite(thresholds), thresholds, math.nan)
