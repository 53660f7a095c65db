"""How near an optimizer is to the edge of stability, its update by tensor, and where the curvature along it lies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from landscape.plots.labels import LETTER, figure_names, figure_text, symbols
from landscape.plots.legends import legend_outside
from landscape.plots.numbers import Row, plot_estimate, plot_numbers
from landscape.plots.paper_styles import column_width, letters
from landscape.plots.style import PALETTE, REFERENCE_COLOR, axes_or_new, is_wide, plain_log_ticks
from landscape.results import DirectionalSharpness, Estimate, GeneralizedSharpness, OptimizerUpdate, Stability
from landscape.results.stability import NORMS, StabilityRow
from landscape.rounding import format_value
from landscape.store.reading import LOWER_BOUND, Reading

COLOR = PALETTE["sgd"].color
_CURVATURE = "loss/parameter²"
#: Groups that have a row and a column of their own; the others are left out, and their number is said.
MOST_GROUPS = 10
_ROW, _HIGHEST = 0.19, 9.0
_DASHED: Any = (0, (4, 2))


def plot_stability(found: Stability, *, ax: Axes | None = None) -> Axes:
    """Each measure over its threshold, with its error: right of the dashed line a quadratic would be unstable.

    Open dots did not converge; a triangle that points right is a lower bound. Measures without a threshold have their
    value at the right and no dot.
    """
    own = ax is None
    names = ["λ_max" if row.measure == "lambda_max" else row.measure.replace("_", " ") for row in found.rows]
    width = column_width() + LETTER * max((len(name) for name in names), default=0) + 1.2
    ax = axes_or_new(ax, width=width, height=1.2 + 0.27 * max(len(names), 1))
    ax.axvline(1, color=REFERENCE_COLOR, linewidth=0.8, linestyle=_DASHED, label="edge of stability")
    for place, row in enumerate(found.rows):
        _draw_ratio(ax, place, row)
    ratios = found.ratios[np.isfinite(found.ratios)]
    if len(ratios) > 1 and is_wide(ratios):
        ax.set_xscale("log")
        plain_log_ticks(ax.xaxis)
    else:
        ax.set_xlim(0, 1.15 * max(1.1, *ratios.tolist(), 0))
        ax.xaxis.set_major_locator(ticker.MaxNLocator(4))
    ax.set_yticks(range(len(names)), [symbols(name) for name in names])
    ax.set_ylim(max(len(names), 1) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_xlabel("value ÷ threshold")
    where = "" if found.step < 0 else f", step {found.step:,}"
    ax.set_title(figure_text(f"{found.optimizer}, η = {format_value(found.lr)}{where}"))
    if own:
        legend_outside(ax)
    return ax


def _draw_ratio(ax: Axes, place: int, row: StabilityRow) -> None:
    bound = row.kind == LOWER_BOUND
    said = f"{'≥ ' if bound else ''}{format_value(row.value, digits=4)}"
    if math.isfinite(row.ratio):
        said += f" of {format_value(row.threshold)}"
        face = COLOR if row.converged else "white"
        look: dict[str, Any] = {"color": COLOR, "markerfacecolor": face, "markersize": 4, "linestyle": "none"}
        error = 2 * row.error if row.kind == "standard error" else row.error
        if math.isfinite(error):
            reach = error / row.threshold
            ends = [row.ratio - reach, row.ratio + reach]
            ax.plot(
                ends, [place, place], "|-", color=COLOR, linewidth=1.1, markersize=5, label="95 % interval or bound"
            )
        label = "lower bound" if bound else "ratio"
        ax.plot(row.ratio, place, ">" if bound else "o", label=label if row.converged else "not converged", **look)
    ax.text(1.02, place, said, transform=ax.get_yaxis_transform(), fontsize=letters(7), va="center")


def plot_update(found: OptimizerUpdate, *, ax: Axes | None = None) -> Axes:
    """Root mean square of the update over each tensor, per unit of learning rate."""
    names = list(figure_names(found.names, inches=1.5).values())
    ax = axes_or_new(ax, height=min(1.0 + _ROW * len(names), _HIGHEST))
    moved = np.flatnonzero(found.rms > 0)
    ax.plot(found.rms[moved], moved, "o", color=COLOR, markersize=4)
    if len(moved) > 1 and is_wide(found.rms[moved]):
        ax.set_xscale("log")
        plain_log_ticks(ax.xaxis)
    else:
        ax.set_xlim(left=0)
        ax.xaxis.set_major_locator(ticker.MaxNLocator(4))
    ax.set_yticks(range(len(names)), [symbols(name) for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_xlabel("root mean square of u (parameter/η)")
    ax.set_title(figure_text(f"{found.optimizer}: cos(u, g) = {format_value(found.alignment, digits=2)}"))
    return ax


def plot_directional(found: DirectionalSharpness, *, ax: Axes | None = None) -> Axes:
    """What each pair of groups has in the curvature along the update: red adds to it, blue takes from it."""
    if len(found.names) < 2:
        value = Estimate(found.value, bound=found.bound, method="curvature along the update")
        return plot_estimate(value, label=f"uᵀHu/‖u‖² ({_CURVATURE})", ax=ax)
    weight = np.abs(found.parts).max(axis=0)
    shown = np.sort(np.argsort(-weight, kind="stable")[:MOST_GROUPS])
    parts, size = found.parts[np.ix_(shown, shown)], 0.34 * len(shown)
    ax = axes_or_new(ax, width=max(column_width(), size + 1.6), height=max(2.4, size + 1.5))
    most = float(np.abs(parts).max()) or 1.0
    ax.imshow(parts, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
    for (row, column), part in np.ndenumerate(parts):
        share = 100 * part / found.value if found.value else math.nan
        color = "white" if abs(part) > 0.6 * most else "black"
        if abs(share) >= 0.5:
            ax.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=letters(6), color=color)
    names = figure_names(found.names, inches=0.9)
    ticks = [names[found.names[j]] for j in shown]
    ax.set_xticks(range(len(shown)), ticks, rotation=60, ha="right")
    ax.set_yticks(range(len(shown)), ticks)
    rest = len(found.names) - len(shown)
    ax.set_xlabel("% of uᵀHu/‖u‖²" + (f"; {rest} smaller left out" if rest else ""))
    ax.set_title(f"uᵀHu/‖u‖² = {format_value(found.value, digits=3)}, {format_value(found.within, digits=3)} within")
    ax.spines[["top", "right"]].set_visible(True)
    return ax


def plot_generalized(found: GeneralizedSharpness, *, ax: Axes | None = None) -> Axes:
    """The largest value that ascents reached, above where each of them ended, and the value that none can exceed."""
    own = ax is None
    reached = Reading(found.value, None, found.converged, error_kind=LOWER_BOUND, low=found.value, high=math.inf)
    label = f"max dᵀHd, ‖d‖ ≤ 1 in the {NORMS.get(found.norm, found.norm)} norm ({_CURVATURE})"
    ax = axes_or_new(ax, width=column_width() + 0.4, height=1.6)
    ax = plot_numbers([Row("", reached, found.samples)], label=label, ax=ax)
    if math.isfinite(found.upper):
        ax.plot(found.upper, 0, "<", color=REFERENCE_COLOR, markersize=4, label="upper bound")
    if own:
        legend_outside(ax)
    return ax
