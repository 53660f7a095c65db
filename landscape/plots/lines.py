"""The loss on lines: along eigenvectors, along random directions, between two minima."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from landscape.errors import UsageError
from landscape.escaping.control_characters import shortened
from landscape.plots.labels import figure_text, legend_text, unit_words
from landscape.plots.legends import legend_outside
from landscape.plots.style import PALETTE, REFERENCE_COLOR, Style, axes_or_new, note_gaps
from landscape.results import Connection, LineSlice
from landscape.results.base import Array
from landscape.results.batch_statistics import BRIEFLY
from landscape.results.metrics import names_of

#: Of metrics, in their order; none is the colour of the loss where that is left to us, nor grey.
_METRIC_STYLES = [PALETTE[name] for name in ("adam", "nesterov", "rmsprop", "adamw", "adagrad", "momentum")]
_DASH_OF_LOSSES, _DASH_OF_OTHERS = (0, (5, 1)), (0, (3, 1, 1, 1))
_MOST = 20  # letters at their axis


@dataclass(frozen=True)
class LineBand:
    """Lowest, median and highest rise over several lines on their common part of t; all ``(M,)``, NaN for gaps."""

    t: Array
    low: Array
    median: Array
    high: Array
    num_lines: int
    num_gaps: int


def rise(line: LineSlice) -> tuple[Array, int]:
    """``L(t) − L(0)`` as ``(M,)`` with NaN where the loss is not finite, and the number of those points.

    The centre is interpolated where the line has no point at t = 0.
    """
    return _rise(line.t, line.loss)


def _rise(t: Array, values: Array) -> tuple[Array, int]:
    loss = np.where(np.isfinite(values), values, np.nan)
    finite = np.isfinite(loss)
    if not finite.any():
        return loss, int(loss.size)
    centre = float(np.interp(0.0, t[finite], loss[finite]))
    return loss - centre, int((~finite).sum())


def quadratic_rise(line: LineSlice) -> Array:
    """``½ t² dᵀHd``, ``(M,)``: what the Hessian alone predicts; the gradient's part is left out."""
    return 0.5 * line.t**2 * line.curvature


def band_over_lines(lines: Sequence[LineSlice]) -> LineBand:
    """Pointwise extremes and median of the rises, on the t that all lines cover.

    A point that is not finite on any line is a gap of the band: leaving that line out would show the others as all.

    Raises
    ------
    UsageError
        If there is no line, or the lines share no interval of t.
    """
    if not lines:
        raise UsageError("a band needs at least one line; got none")
    low, high = max(float(s.t.min()) for s in lines), min(float(s.t.max()) for s in lines)
    if not low < high:
        raise UsageError(f"the lines share no interval of t (common part {low} … {high}); draw them apart")
    first = lines[0].t
    t = (
        first
        if all(np.array_equal(first, s.t) for s in lines)
        else np.linspace(low, high, max(len(s.t) for s in lines))
    )
    rows, gaps = [], 0
    for line in lines:
        values, missing = rise(line)
        gaps += missing
        rows.append(np.interp(t, line.t, values))
    table = np.stack(rows)
    # min, median and max hand NaN on, which is what a gap needs
    return LineBand(t, table.min(0), np.median(table, axis=0), table.max(0), len(lines), gaps)


def steeper_to_the_right(line: LineSlice) -> LineSlice:
    """The same line, turned round where the loss rises more on its left: the sign of an eigenvector is arbitrary."""
    values = rise(line)[0]
    left, right = values[line.t < 0], values[line.t > 0]
    if not (np.isfinite(left).any() and np.isfinite(right).any()) or np.nanmean(left) <= np.nanmean(right):
        return line
    turned = {name: value[..., ::-1] for name in ("loss", "metric_values") if (value := getattr(line, name)).size}
    return replace(line, t=-line.t[::-1], **turned)


def plot_lines(
    lines: LineSlice | Sequence[LineSlice],
    *,
    quadratic: bool = True,
    metrics: Sequence[str] | None = None,
    color: str = PALETTE["sgd"].color,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Rise of the loss along lines (thin where there are several), with the quadratic model dashed.

    Parameters
    ----------
    lines : LineSlice or sequence of them
    quadratic : bool
        Also draw ``½ t² λ`` with λ = dᵀHd from a Hessian-vector product, where the line has one. The axis is set by the
        loss, so a parabola that leaves the picture is cut.
    metrics : sequence of str, optional
        Which metrics of the lines to draw; left out, all. Losses rise as the loss does; others have an axis to the
        right.

    Returns
    -------
    Axes
        Points that are not finite are gaps, and their number stands above the panel.
    """
    lines = [lines] if isinstance(lines, LineSlice) else list(lines)
    own = ax is None
    ax = axes_or_new(ax)
    width = 1.3 if len(lines) == 1 else 0.8
    total = 0
    beside = metrics_beside(lines, metrics)
    label = label or ("loss" if beside else None)
    for i, line in enumerate(lines):
        values, gaps = rise(line)
        total += gaps
        ax.plot(line.t, values, color=color, linewidth=width, label=label if i == 0 else None)
    total += draw_beside(ax, lines, beside, as_rise=True, width=width)
    _fit_limits(ax, [drawn for line in lines for drawn in (rise(line)[0], *_losses(line, beside, as_rise=True))])
    if quadratic:
        for i, line in enumerate(line for line in lines if np.isfinite(line.curvature)):
            model = "½t²λ" if i == 0 else None
            ax.plot(line.t, quadratic_rise(line), color=REFERENCE_COLOR, linewidth=0.8, ls=(0, (4, 2)), label=model)
    note_gaps(ax, total)
    of_one = unit_words(lines[0].step_norm, lines[0].param_norm) if len(lines) == 1 else ""
    ax.set_xlabel(("t (distance along the direction)" if _unit(lines) else "t (lengths of the direction)") + of_one)
    ax.set_ylabel(f"L(θ + t·d) − L(θ){_statistics(lines)}")
    if own:
        legend_outside(ax.figure)  # type: ignore[arg-type]
    return ax


def plot_line_band(
    lines: Sequence[LineSlice],
    *,
    color: str = PALETTE["sgd"].color,
    dash: Any = "-",
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Median rise over several directions, with a band from the lowest to the highest."""
    own = ax is None
    ax = axes_or_new(ax)
    band = band_over_lines(lines)
    ax.fill_between(band.t, band.low, band.high, color=color, alpha=0.18, linewidth=0)
    ax.plot(band.t, band.median, color=color, linestyle=dash, linewidth=1.3, label=label)
    note_gaps(ax, band.num_gaps)
    ax.locator_params(axis="x", nbins=5)
    ax.set_xlabel("t (lengths of the direction)")
    ax.set_ylabel(f"L(θ + t·d) − L(θ){_statistics(lines)}")
    if own:
        legend_outside(ax)
    return ax


def plot_interpolation(
    lines: LineSlice | Sequence[LineSlice],
    *,
    metrics: Sequence[str] | None = None,
    color: str = PALETTE["sgd"].color,
    dash: Any = "-",
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Loss on the straight line between minima; a dot where the barrier is highest above the chord.

    ``metrics`` chooses among those of the lines, left out, all: losses stand beside the loss, others on an axis to the
    right.

    Raises
    ------
    UsageError
        If a line leaves one minimum instead of joining two.
    """
    lines = [lines] if isinstance(lines, LineSlice) else list(lines)
    own = ax is None
    ax = axes_or_new(ax)
    gaps = 0
    beside = metrics_beside(lines, metrics)
    label = label or ("loss" if beside else None)
    for i, line in enumerate(lines):
        top = barrier_point(line)
        loss = np.where(np.isfinite(line.loss), line.loss, np.nan)
        gaps += int(np.isnan(loss).sum())
        ax.plot(line.t, loss, color=color, linestyle=dash, linewidth=1, label=label if i == 0 else None)
        if top is not None:
            ax.plot(*top, "o", color=color, markersize=3)
    gaps += draw_beside(ax, lines, beside, as_rise=False, width=1)
    note_gaps(ax, gaps)
    ax.set_xlabel("t from one minimum (0) to the other (1)")
    ax.set_ylabel(f"loss L{_statistics(lines)}")
    if own:
        legend_outside(ax.figure)  # type: ignore[arg-type]
    return ax


def barrier_point(line: LineSlice) -> tuple[float, float] | None:
    """``(t, loss)`` where the loss is highest above the chord, over the finite points; None where an end is not finite.

    Raises
    ------
    UsageError
        If the line does not join two minima.
    """
    if line.kind != "interpolation":
        raise UsageError(f"this line ({line.direction}) leaves one minimum; a barrier lies between two")
    if not (np.isfinite(line.loss[0]) and np.isfinite(line.loss[-1])):
        return None
    above = line.loss - ((1 - line.t) * line.loss[0] + line.t * line.loss[-1])
    i = int(np.argmax(np.where(np.isfinite(above), above, -np.inf)))
    return float(line.t[i]), float(line.loss[i])


def metrics_beside(lines: Sequence[LineSlice | Connection], chosen: Sequence[str] | None) -> dict[str, Style]:
    """Names of the metrics to draw, each with its colour."""
    names = names_of(lines)
    for name in [] if chosen is None else chosen:
        if name not in names:
            lines[0].metric(name)  # says which there are
    return {
        name: _METRIC_STYLES[i % len(_METRIC_STYLES)]
        for i, name in enumerate(names)
        if chosen is None or name in chosen
    }


def _losses(line: LineSlice, beside: dict[str, Style], *, as_rise: bool) -> list[Array]:
    """The metrics that share the axis of the loss, as they are drawn there."""
    found = [line.metric(name) for name in beside if name in line.metric_losses]
    return [_rise(line.t, values)[0] if as_rise else np.where(np.isfinite(values), values, np.nan) for values in found]


def draw_beside(
    ax: Axes, lines: Sequence[LineSlice | Connection], beside: dict[str, Style], *, as_rise: bool, width: float
) -> int:
    """Losses on the axis of the loss, the other metrics on one to the right; how many points are not finite."""
    gaps, right, labelled = 0, None, set[str]()
    others = [name for name in beside if any(name in s.metric_names and name not in s.metric_losses for s in lines)]
    for line in lines:
        for name in (name for name in beside if name in line.metric_names):
            values, missing = _rise(line.t, line.metric(name))
            is_loss = name in line.metric_losses
            if not (is_loss and as_rise):
                values = np.where(np.isfinite(line.metric(name)), line.metric(name), np.nan)
            if not is_loss:
                right = right or _right_of(ax)
            gaps += missing
            (ax if is_loss or right is None else right).plot(
                line.t,
                values,
                color=beside[name].color,
                linestyle=_DASH_OF_LOSSES if is_loss else _DASH_OF_OTHERS,
                linewidth=width,
                label=None if name in labelled else legend_text(name),
            )
            labelled.add(name)
    if right is not None:
        last = {name.rpartition(" ")[2] for name in others}  # one word for an accuracy and a test accuracy
        right.set_ylabel(figure_text(last.pop() if len(last) == 1 else shortened(", ".join(others), _MOST)))
    return gaps


def _right_of(ax: Axes) -> Axes:
    """The axes over ``ax`` whose values stand to the right: those that are there, or new ones."""
    beside = [other for other in ax.get_shared_x_axes().get_siblings(ax) if other is not ax]
    there = next((other for other in beside if other.get_position().bounds == ax.get_position().bounds), None)
    right = there or ax.twinx()
    right.spines["right"].set_visible(True)
    return right


def _fit_limits(ax: Axes, values: Sequence[Array]) -> None:
    finite = np.concatenate([v[np.isfinite(v)] for v in values]) if values else np.empty(0)
    if finite.size:
        low, high = float(min(finite.min(), 0)), float(finite.max())
        room = 0.06 * (high - low) or 1.0
        ax.set_ylim(low - room, high + room)


def _statistics(lines: Sequence[LineSlice]) -> str:
    """What moves with θ, where it is the same on all lines."""
    kinds = {line.batch_statistics for line in lines}
    brief = BRIEFLY.get(kinds.pop(), "") if len(kinds) == 1 else ""
    return f" ({brief})" if brief else ""


def _unit(lines: Sequence[LineSlice]) -> bool:
    """Whether t is a distance in parameter space: all directions have length one."""
    return all(abs(line.step_norm - 1) < 1e-3 for line in lines)
