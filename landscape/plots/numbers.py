"""Single numbers with their errors, each on a row of its own: what a record of numbers looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from landscape.plots.labels import LETTER, figure_names, figure_text, symbols
from landscape.plots.legends import legend_outside
from landscape.plots.paper_styles import column_width, letters
from landscape.plots.style import PALETTE, REFERENCE_COLOR, axes_or_new, is_wide, plain_log_ticks
from landscape.results import (
    Estimate,
    Evaluation,
    MissedSearch,
    OutlierCount,
    PointValue,
    SamplingSpread,
    Sharpness,
    SpectralGap,
)
from landscape.results.base import Array
from landscape.rounding import format_value
from landscape.store.catalogue import MEASURES, measure_of
from landscape.store.reading import LOWER_BOUND, Reading, reading_of

COLOR = PALETTE["sgd"].color
#: Where the unit is that of whatever was asked for.
ITS_UNIT = "value (in the unit of what was measured)"
_OWN_UNITS = "value (each in its own unit)"
#: How far below its number the samples stand, in rows.
_BELOW = 0.3
#: Inches for the names of rows.
_NAMES = 3.0


@dataclass(frozen=True)
class Row:
    """A number with its name, and the samples that it is the mean or the largest of."""

    name: str
    reading: Reading
    samples: Array | None = None


def plot_numbers(rows: Sequence[Row], *, label: str = _OWN_UNITS, title: str = "", ax: Axes | None = None) -> Axes:
    """A dot for each number with its 95 % interval, and the number itself at the right.

    Parameters
    ----------
    rows : sequence of Row
    label : str
        Of the horizontal axis, which is logarithmic where all values are positive and differ by more than 20 times.

    Returns
    -------
    Axes
        Open dots did not converge. A triangle that points right is a lower bound. Samples are upright strokes.
    """
    own = ax is None
    names = figure_names([row.name for row in rows], inches=_NAMES)
    ax = axes_or_new(ax, width=column_width() + LETTER * max(map(len, names.values())), height=1.2 + 0.27 * len(rows))
    values = np.array([row.reading.value for row in rows], dtype=float)
    if is_wide(values) and len(rows) > 1:
        ax.set_xscale("log")
    for place, row in enumerate(rows):
        _draw_number(ax, place, row)
    ax.set_yticks(range(len(rows)), [symbols(names[row.name]) if row.name else "" for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.margins(x=0.12)
    ax.set_xlabel(symbols(label))
    ax.set_title(symbols(title))
    if ax.get_xscale() == "linear":
        ax.xaxis.set_major_locator(ticker.MaxNLocator(4))
    else:
        plain_log_ticks(ax.xaxis)
    if own and len(ax.get_legend_handles_labels()[1]) > 1:
        legend_outside(ax)
    return ax


def _draw_number(ax: Axes, place: int, row: Row) -> None:
    reading = row.reading
    look: dict[str, Any] = {"color": COLOR, "markerfacecolor": COLOR if reading.converged else "white", "markersize": 4}
    is_bound = reading.error_kind == LOWER_BOUND
    ends = np.array([reading.low, reading.high], dtype=float)
    if not is_bound and np.isfinite(ends).all():
        ax.plot(ends, [place, place], "|-", color=COLOR, linewidth=1.1, markersize=5, label=_interval_words(reading))
    mark, words = (">", "lower bound") if is_bound else ("o", "value")
    ax.plot(reading.value, place, mark, label=words if reading.converged else "not converged", **look)
    if row.samples is not None and row.samples.size > 1:
        strokes = row.samples[np.isfinite(row.samples)]
        look = {"color": REFERENCE_COLOR, "markersize": 5, "markeredgewidth": 0.7, "linestyle": "none"}
        ax.plot(strokes, np.full(strokes.size, place + _BELOW), "|", label="sample", **look)
    said = str(reading).replace("   NOT CONVERGED", "")
    ax.text(1.02, place, said, transform=ax.get_yaxis_transform(), fontsize=letters(7), va="center")


def _interval_words(reading: Reading) -> str:
    return "95 % interval" if reading.error_kind == "standard error" else "bound"


# --- the records --------------------------------------------------------------------------------------------------


def plot_estimate(found: Estimate, *, label: str = ITS_UNIT, ax: Axes | None = None) -> Axes:
    """The value with its 95 % interval or bound, above the samples that it is the mean of.

    An estimate does not know what it is of: ``label`` names that and its unit, such as ``"tr H (loss/parameter²)"``.
    """
    row = Row("", reading_of(found, converged=found.converged), found.samples)
    return plot_numbers([row], label=label, title=found.method, ax=ax)


def plot_sharpness(found: Sharpness, *, ax: Axes | None = None) -> Axes:
    """The value with its interval, above what each ascent or random draw gave; of a lower bound, the largest."""
    measure = measure_of(found)
    ball = "" if np.isnan(found.rho) else f", ρ = {format_value(found.rho)}"
    is_exact = found.kind == "exact"  # rounding would be all that the axis shows
    reading = Reading(found.value) if is_exact else reading_of(found, converged=found.converged)
    row = Row("", reading, found.samples)
    label = measure.axis_label if measure is not None else ITS_UNIT
    title = measure.panel_title if measure is not None else figure_text(found.measure.replace("_", " "))
    return plot_numbers([row], label=label, title=f"{title}{ball}", ax=ax)


def plot_gap(found: SpectralGap, *, ax: Axes | None = None) -> Axes:
    """λ₁ − λ₂ and λ₁/λ₂ with their bounds."""
    parts = {"spectral_gap": found.difference, "spectral_ratio": found.ratio}
    rows = [Row(MEASURES[key].axis_label, reading_of(one, converged=one.converged)) for key, one in parts.items()]
    return plot_numbers(rows, title="spectral gap", ax=ax)


def plot_point(found: PointValue, *, ax: Axes | None = None) -> Axes:
    """Loss and both norms at one point."""
    named = {"loss L": found.loss, "‖∇L‖ (loss/parameter)": found.grad_norm, "‖θ‖ (parameter)": found.param_norm}
    return plot_numbers([Row(name, Reading(value)) for name, value in named.items()], ax=ax)


def plot_evaluation(found: Evaluation, *, ax: Axes | None = None) -> Axes:
    """Accuracy class by class, with that over all as a line; without classes, the loss."""
    count = f"{found.num_examples:,} examples"
    if found.accuracy is None:
        return plot_numbers([Row("", Reading(found.loss))], label="loss", title=count, ax=ax)
    own = ax is None
    ax = axes_or_new(ax)
    classes = np.arange(found.accuracy_per_class.size)
    if classes.size:
        ax.plot(classes, 100 * found.accuracy_per_class, "o", color=COLOR, markersize=4, label="one class")
        ax.xaxis.set_major_locator(ticker.MaxNLocator(10, integer=True))
    overall = f"all: {100 * found.accuracy:.4g} %"
    ax.axhline(100 * found.accuracy, color=REFERENCE_COLOR, linewidth=0.8, linestyle=(0, (4, 2)), label=overall)
    ax.set_xlabel("class")
    ax.set_ylabel("accuracy (%)")
    ax.set_title(f"{count}, loss {format_value(found.loss)}")
    if own:
        legend_outside(ax)
    return ax


def plot_sampling(found: SamplingSpread, *, label: str = ITS_UNIT, ax: Axes | None = None) -> Axes:
    """The value on all examples with its interval from the choice of data, above the values on the subsets."""
    low, high = found.interval()
    reading = Reading(found.full, found.error, found.converged, error_kind="standard error", low=low, high=high)
    names = f"all {found.num_examples:,}", f"{len(found.values)} × {found.subset_size:,}"
    spread = Reading(found.mean, found.sem_of_subset, found.converged)
    rows = [Row(names[0], reading), Row(names[1], spread, found.values)]
    return plot_numbers(rows, label=label, title="on all examples, and the mean over subsets", ax=ax)


def plot_missed(found: MissedSearch, *, ax: Axes | None = None) -> Axes:
    """The last eigenvalue found, the most extreme value seen outside the pairs, and how far further ones may lie."""
    edge = Reading(
        found.edge, found.residual, error_kind="bound", low=found.edge - found.residual,
        high=found.edge + found.residual,
    )  # fmt: skip
    rows = [
        Row("last one found", edge),
        Row("seen outside", Reading(found.largest)),
        Row(f"bound at {100 * found.level:g} %", Reading(found.bound)),
    ]
    verdict = "one was missed" if found.missed else "none was missed" if found.complete else "not settled"
    return plot_numbers(rows, label="eigenvalue λ (loss/parameter²)", title=verdict, ax=ax)


def plot_outliers(found: OutlierCount, *, ax: Axes | None = None) -> Axes:
    """How many eigenvalues lie beyond the bulk: by mass, and as many as one probe tells apart."""
    rows = [Row("by mass", reading_of(found.mass, converged=found.mass.converged))]
    if found.resolved >= 0:
        apart = Reading(float(found.resolved), error_kind=LOWER_BOUND, low=float(found.resolved), high=np.inf)
        rows.append(Row("told apart", apart))
    bulk = f"bulk: {format_value(found.low)} … {format_value(found.high)} (loss/parameter²)"
    return plot_numbers(rows, label="eigenvalues beyond the bulk (number)", title=bulk, ax=ax)
