"""Group against group of runs: seeds as dots, their mean with a t interval, accuracy class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from landscape.checks import check_choice
from landscape.comparison import LINEAR, centre, scale_of
from landscape.errors import UsageError
from landscape.plots.arrays import Measured, RunLike, by_label, measured
from landscape.plots.labels import figure_names, legend_text, symbols
from landscape.plots.legends import legend_outside
from landscape.plots.paper_styles import full_width
from landscape.plots.style import Style, axes_or_new, is_wide, optimizer_styles
from landscape.results.base import Array
from landscape.store.catalogue import MEASURES
from landscape.store.metrics import class_accuracies

#: Room for the names of groups beside a panel, in inches.
NAMES_WIDTH = 1.3


@dataclass(frozen=True)
class SeedSummary:
    """One quantity of one group: a value per seed, their mean (of positive measures the geometric one), its interval.

    ``low`` and ``high`` are NaN for a single seed: one value says nothing about the spread.
    """

    values: Array
    errors: Array
    converged: Array
    mean: float
    low: float
    high: float


def summarize_seeds(found: Sequence[Measured], *, scale: str = LINEAR, level: float = 0.95) -> SeedSummary:
    """Mean over seeds on its scale with Student's t interval at ``level``; seeds are the replicates.

    Raises
    ------
    UsageError
        If there is no value.
    """
    if not found:
        raise UsageError("a summary needs at least one seed; got none")
    values = np.array([m.value for m in found], dtype=float)
    middle = centre(values.tolist(), scale, level)
    return SeedSummary(
        values,
        np.array([m.error for m in found], dtype=float),
        np.array([m.converged for m in found], dtype=bool),
        middle.value,
        middle.low,
        middle.high,
    )


def summaries(runs: Sequence[RunLike], quantity: str) -> dict[str, SeedSummary]:
    """Summary per group, at the last checkpoint of each run; groups without a finite value are left out."""
    check_choice("quantity", quantity, MEASURES)
    found = {
        name: [m for run in group if run.checkpoints and (m := measured(run.checkpoints[-1], quantity)) is not None]
        for name, group in by_label(runs).items()
    }
    finite = {name: [m for m in values if np.isfinite(m.value)] for name, values in found.items()}
    scale = scale_of(quantity, [m.value for values in finite.values() for m in values])
    return {name: summarize_seeds(values, scale=scale) for name, values in finite.items() if values}


def plot_measure(
    runs: Sequence[RunLike], quantity: str, *, styles: dict[str, Style] | None = None, ax: Axes | None = None
) -> Axes:
    """One quantity, a group per row: a dot per seed, a diamond at the mean, its 95 % t interval.

    Dots carry the error of the measurement itself. Open dots did not converge. With few seeds an interval can be far
    wider than the spread of the dots: the axis is set by the dots, and an interval that leaves it ends in an arrow.

    Raises
    ------
    UsageError
        If no run has the quantity, or its name is unknown.
    """
    found = summaries(runs, quantity)
    if not found:
        raise UsageError(f"no run has {quantity!r}; nothing to compare")
    own = ax is None
    names = list(by_label(runs))
    ax = axes_or_new(ax, height=0.9 + 0.25 * len(names))
    styles = styles or optimizer_styles(names)
    wide = is_wide(np.concatenate([summary.values for summary in found.values()]))
    low, high = _limits(list(found.values()), wide=wide)
    for row, name in enumerate(names):
        if name in found:
            _draw_row(ax, found[name], row, styles[name], (low, high))
    ax.set_xscale("log" if wide else "linear")
    ax.set_xlim(low, high)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_yticks(range(len(names)), list(figure_names(names, inches=NAMES_WIDTH).values()))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_title(MEASURES[quantity].panel_title)
    ax.set_xlabel(symbols(MEASURES[quantity].axis_label))
    if not wide:
        ax.locator_params(axis="x", nbins=4)
    if own:
        legend_outside(ax)
    return ax


def _limits(found: Sequence[SeedSummary], *, wide: bool) -> tuple[float, float]:
    """Room for all dots with their errors, and for intervals up to the spread of the dots on either side."""
    values = np.concatenate([s.values for s in found])
    errors = np.nan_to_num(np.concatenate([s.errors for s in found]))
    ends = np.array([(s.low, s.high) for s in found])
    if wide:  # on the scale of the axis, where the errors of single dots are small
        values, errors, ends = np.log(values), np.zeros_like(errors), np.log(np.where(ends > 0, ends, np.nan))
    low, high = float(np.min(values - errors)), float(np.max(values + errors))
    spread = (high - low) or 0.1 * abs(high) or 1.0
    if np.isfinite(ends).any():
        low = min(low, max(float(np.nanmin(ends)), low - 0.5 * spread))
        high = max(high, min(float(np.nanmax(ends)), high + 0.5 * spread))
    low, high = low - 0.08 * spread, high + 0.08 * spread
    return (float(np.exp(low)), float(np.exp(high))) if wide else (low, high)


def _draw_row(ax: Axes, summary: SeedSummary, row: int, style: Style, limits: tuple[float, float]) -> None:
    # dots above, mean below the row's line, so that neither hides the other
    above = np.full(len(summary.values), row - 0.17)
    for done, face in ((True, style.color), (False, "white")):
        chosen = summary.converged == done
        if chosen.any():
            ax.errorbar(
                summary.values[chosen],
                above[chosen],
                xerr=np.nan_to_num(summary.errors[chosen]),
                fmt="o",
                markersize=3,
                color=style.color,
                markerfacecolor=face,
                elinewidth=0.8,
                label="one seed ± its own error" if done else "one seed, not converged",
            )
    ax.plot(summary.mean, row + 0.17, "D", color=style.color, markersize=4, label="mean over seeds")
    if np.isnan(summary.low):
        return
    low, high = summary.low, summary.high
    inside = max(low, limits[0]), min(high, limits[1])
    ax.plot(inside, [row + 0.17] * 2, color=style.color, linewidth=1.2, label="95 % t interval of the mean")
    for beyond, limit, mark in ((low < limits[0], limits[0], "<"), (high > limits[1], limits[1], ">")):
        if beyond:
            ax.plot(limit, row + 0.17, mark, color=style.color, markersize=4, clip_on=False)


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracy in per cent per class, over the seeds of one group: mean, lowest, highest, all ``(C,)``."""

    mean: Array
    low: Array
    high: Array
    num_seeds: int


def class_accuracy(runs: Sequence[RunLike]) -> dict[str, ClassAccuracy]:
    """Per group, at the last checkpoint; runs without accuracy per class are left out.

    Raises
    ------
    UsageError
        If runs differ in the number of classes.
    """
    result: dict[str, ClassAccuracy] = {}
    lengths = set()
    for name, group in by_label(runs).items():
        rows = [
            100 * found
            for run in group
            if run.checkpoints and (found := class_accuracies(run.checkpoints[-1])[0]) is not None
        ]
        lengths |= {row.size for row in rows}
        if len(lengths) > 1:
            raise UsageError(f"runs differ in the number of classes ({sorted(lengths)}); compare one problem at a time")
        if rows:
            table = np.stack(rows)
            result[name] = ClassAccuracy(table.mean(0), table.min(0), table.max(0), len(rows))
    return result


def plot_class_accuracy(
    runs: Sequence[RunLike], *, styles: dict[str, Style] | None = None, ax: Axes | None = None
) -> Axes:
    """Test accuracy class by class: the mean over seeds per group, bars from the lowest seed to the highest.

    Raises
    ------
    UsageError
        If no run has accuracy per class.
    """
    found = class_accuracy(runs)
    if not found:
        raise UsageError("no run has accuracy per class; its problem has no classes, and training saved none")
    own = ax is None
    ax = axes_or_new(ax, width=full_width())
    styles = styles or optimizer_styles(found)
    count = len(next(iter(found.values())).mean)
    classes = np.arange(count)
    offsets = (np.arange(len(found)) - (len(found) - 1) / 2) * min(0.16, 0.75 / len(found))
    for offset, (name, accuracy) in zip(offsets, found.items(), strict=True):
        reach = np.stack([accuracy.mean - accuracy.low, accuracy.high - accuracy.mean])
        style = styles[name]
        ax.errorbar(
            classes + offset,
            accuracy.mean,
            yerr=np.clip(reach, 0, None),
            fmt=style.marker,
            color=style.color,
            markersize=4,
            elinewidth=1,
            label=legend_text(name),
        )
    for edge in classes[:-1] + 0.5:
        ax.axvline(edge, color="#E6E6E6", linewidth=0.6, zorder=0)
    ax.set_xlim(-0.5, count - 0.5)
    ax.set_xticks(classes if count <= 30 else classes[:: int(np.ceil(count / 30))])
    ax.set_xlabel("class")
    ax.set_ylabel("test accuracy (%)")
    if own:
        legend_outside(ax)
    return ax
