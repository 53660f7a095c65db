"""Parts and powers of a Hessian: its blocks, its diagonal, its moments; what second order gains from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from landscape.plots.labels import figure_names
from landscape.plots.legends import legend_outside
from landscape.plots.numbers import plot_estimate
from landscape.plots.style import EIGENVALUE_COLOR, PALETTE, REFERENCE_COLOR, axes_or_new, is_wide, plain_log_ticks
from landscape.results import BlockTable, Diagonal, SecondOrderGain, SpectralMoments
from landscape.results.base import Array
from landscape.rounding import format_value

COLOR = PALETTE["sgd"].color
#: Inches of a row, and the most that a figure of many blocks is high.
_ROW, _HIGHEST = 0.17, 9.0
_DASHED = (0, (4, 2))


def plot_blocks(found: BlockTable, *, ax: Axes | None = None) -> Axes:
    """The trace of each block with its 95 % interval, and its largest eigenvalue where that was asked for.

    The axis is logarithmic where all values are positive and differ by more than 20 times: an interval that reaches
    zero then ends at the axis.
    """
    own = ax is None
    ax = axes_or_new(ax, height=min(1.0 + _ROW * len(found), _HIGHEST))
    rows = np.arange(len(found))
    with_error = np.isfinite(found.trace_sem)
    ends = [
        found[name].interval() if known else (np.nan, np.nan)
        for name, known in zip(found.names, with_error, strict=True)
    ]
    low, high = np.array(ends, dtype=float).reshape(-1, 2).T
    asked = np.isfinite(found.lambda_max)
    is_log = is_wide(np.concatenate([found.trace, found.lambda_max[asked]]))
    ax.set_xscale("log" if is_log else "linear")
    _draw_intervals(ax, rows, found.trace, low, high, "trace, 95 % interval")
    for done, face, label in ((True, EIGENVALUE_COLOR, "λ_max ± residual"), (False, "white", "λ_max, not converged")):
        chosen = asked & (found.converged.astype(bool) == done)
        if chosen.any():
            look: dict[str, Any] = {
                "color": EIGENVALUE_COLOR,
                "markerfacecolor": face,
                "markersize": 3.5,
                "elinewidth": 0.8,
            }
            ax.errorbar(
                found.lambda_max[chosen], rows[chosen] + 0.2, xerr=found.residual[chosen], fmt="D", label=label, **look
            )
    ax.set_yticks(rows, list(figure_names(found.names, inches=1.5).values()))
    ax.set_ylim(len(found) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    ax.set_axisbelow(True)
    if is_log:
        plain_log_ticks(ax.xaxis)
    ax.set_xlabel("of the block alone (loss/parameter²)")
    if own:
        legend_outside(ax)
    return ax


def _draw_intervals(ax: Axes, rows: Array, values: Array, low: Array, high: Array, label: str) -> None:
    reach = np.nan_to_num(np.stack([values - low, high - values])).clip(min=0)
    ax.errorbar(
        values, rows - 0.1, xerr=reach, fmt="o", color=COLOR, markersize=3.5, elinewidth=1, capsize=2, label=label
    )


def plot_diagonal(found: Diagonal, *, bins: int = 60, ax: Axes | None = None) -> Axes:
    """A histogram of the entries, their number on a logarithmic axis.

    Between the dashed lines an entry is smaller than the 95 % error that is typical for one: chance spreads zeros so
    far.
    """
    own = ax is None
    ax = axes_or_new(ax)
    entries = found.values[np.isfinite(found.values)]
    ax.hist(entries, bins=bins, color=COLOR, alpha=0.8, label="entries")
    low, high = found.interval()
    reach = np.median(0.5 * (high - low))
    if np.isfinite(reach) and reach > 0:
        ax.axvline(reach, color=REFERENCE_COLOR, linewidth=0.8, linestyle=_DASHED, label="typical 95 % error")
        ax.axvline(-reach, color=REFERENCE_COLOR, linewidth=0.8, linestyle=_DASHED)
    ax.set_yscale("log")
    ax.set_xlabel("diagonal entry Hᵢᵢ (loss/parameter²)")
    ax.set_ylabel("parameters (number)")
    ax.set_title(found.method)
    if own:
        legend_outside(ax)
    return ax


def plot_moments(found: SpectralMoments, *, ax: Axes | None = None) -> Axes:
    """|tr(Hᵖ)| against p with 95 % intervals; open where the moment is negative."""
    own = ax is None
    ax = axes_or_new(ax)
    powers, sizes = np.array(found.powers, dtype=float), np.abs(found.values)
    known = [one.interval() if one.error is not None else (np.nan, np.nan) for one in found]
    reach = np.nan_to_num(0.5 * np.array([high - low for low, high in known]))
    for negative, face, label in ((False, COLOR, "moment, 95 % interval"), (True, "white", "negative moment")):
        chosen = (found.values < 0) == negative
        if chosen.any():
            look: dict[str, Any] = {
                "color": COLOR,
                "markerfacecolor": face,
                "markersize": 4,
                "elinewidth": 1,
                "capsize": 2,
            }
            ax.errorbar(powers[chosen], sizes[chosen], yerr=reach[chosen], fmt="o", label=label, **look)
    if is_wide(sizes):
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    ax.set_xlabel("power p")
    ax.set_ylabel("|tr(Hᵖ)|\n(loss/parameter²)ᵖ")
    ax.set_title(found.method)
    if own:
        legend_outside(ax)
    return ax


def plot_gain(found: SecondOrderGain, *, ax: Axes | None = None) -> Axes:
    """How many times as much a damped Newton step promises, against the damping; above the line it promises more."""
    if not found.dampings.size:
        return plot_estimate(found, label="times the decrease of first-order steps", ax=ax)
    own = ax is None
    ax = axes_or_new(ax)
    series = {
        f"over {found.num_steps} gradient steps": (found.over_descent, found.over_descent_bound, "sgd"),
        "over conjugate gradients": (found.over_conjugate, found.over_conjugate_bound, "adam"),
    }
    for label, (values, bounds, name) in series.items():
        style = PALETTE[name]
        look: dict[str, Any] = {"color": style.color, "markersize": 4, "elinewidth": 1, "capsize": 2, "linewidth": 0.8}
        ax.errorbar(found.dampings, values, yerr=np.nan_to_num(bounds), fmt=f"{style.marker}-", label=label, **look)
    ax.axhline(1, color=REFERENCE_COLOR, linewidth=0.8, linestyle=_DASHED, label="no gain")
    ax.set_xscale("log")
    if is_wide(np.concatenate([found.over_descent, found.over_conjugate])):
        ax.set_yscale("log")
    marks = np.unique(found.dampings)
    ax.set_xticks(marks, [format_value(float(mark), digits=2) for mark in marks])
    ax.xaxis.set_minor_locator(ticker.NullLocator())
    ax.set_xlabel("damping δ (in units of λ₁)")
    ax.set_ylabel("ratio of the decreases")
    if own:
        legend_outside(ax)
    return ax
