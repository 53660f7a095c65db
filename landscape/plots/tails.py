"""Quantities against the training step: the last iterations of runs, and sharpness on the way to stability's edge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from landscape.checks import check_choice
from landscape.errors import UsageError
from landscape.plots.arrays import RunLike, by_label, measured
from landscape.plots.labels import legend_text, symbols
from landscape.plots.legends import legend_outside
from landscape.plots.paper_styles import letters
from landscape.plots.style import PALETTE, Style, axes_or_new, log_if_wide, optimizer_styles
from landscape.results.base import Array
from landscape.store.catalogue import IN_ALONG, IN_TAIL, MEASURES
from landscape.store.levels import last_iterations

MOST_MARKERS = 8  # up to so many points, each gets a marker
MOST_BANDS = 3  # so many bands can lie over each other and still be distinguished


@dataclass(frozen=True)
class Tail:
    """One quantity at the measured checkpoints of one run: steps, values, errors and convergence, all ``(M,)``.

    ``steps`` count from the last checkpoint, so they end at 0: runs of different length meet there.
    """

    steps: Array
    values: Array
    errors: Array
    converged: Array


@dataclass(frozen=True)
class Band:
    """Mean, lowest and highest over seeds, at the steps that all seeds share; all ``(M,)``."""

    steps: Array
    mean: Array
    low: Array
    high: Array
    num_seeds: int


def tail_of(rows: Sequence[tuple[int, Any]]) -> Tail:
    """Of steps with what was found there: anything that has ``value``, ``error`` and ``converged``."""
    return Tail(
        np.array([step for step, _ in rows], dtype=float),
        np.array([found.value for _, found in rows], dtype=float),
        np.array([found.error for _, found in rows], dtype=float),
        np.array([found.converged for _, found in rows], dtype=bool),
    )


def tail_of_run(run: RunLike, quantity: str) -> Tail:
    """The quantity at each of the last checkpoints that has it; empty arrays where none has."""
    checkpoints = last_iterations(run.checkpoints, run.info)
    last = checkpoints[-1].step if checkpoints else 0
    return tail_of([(c.step - last, m) for c in checkpoints if (m := measured(c, quantity)) is not None])


def tails_of_groups(runs: Sequence[RunLike], quantity: str) -> dict[str, list[Tail]]:
    """The tails of each group's runs that have the quantity."""
    return {
        name: [tail for run in group if (tail := tail_of_run(run, quantity)).steps.size]
        for name, group in by_label(runs).items()
    }


def tail_band(tails: Sequence[Tail]) -> Band | None:
    """Mean (of positive values the geometric one) and extremes over seeds; None without two seeds that share a step."""
    tails = [t for t in tails if t.steps.size]
    if len(tails) < 2:
        return None
    steps = tails[0].steps
    for tail in tails[1:]:
        steps = np.intersect1d(steps, tail.steps)
    if steps.size == 0:
        return None
    rows = np.stack([t.values[np.searchsorted(t.steps, steps)] for t in tails])
    mean = np.exp(np.log(rows).mean(0)) if (rows > 0).all() else rows.mean(0)
    return Band(steps, mean, rows.min(0), rows.max(0), len(tails))


def plot_tail(
    runs: Sequence[RunLike], quantity: str, *, styles: dict[str, Style] | None = None, ax: Axes | None = None
) -> Axes:
    """One quantity over the last iterations, per group: mean over seeds, band from lowest to highest, thin seeds.

    Where more than three groups have bands, at few steps, they stand side by side as ranges instead.

    Parameters
    ----------
    runs : sequence of runs
        As in ``load_results(path).runs``.
    quantity : str
        ``"lambda_max"``, ``"spectral_gap"`` or ``"grad_norm"``; ``"noise_scale"``, ``"gradient_share"`` or
        ``"update_share"``.

    Returns
    -------
    Axes
        With a logarithmic y axis where values are positive and span more than a factor of 20. Open circles mark
        values that did not converge.
    """
    check_choice("quantity", quantity, (*IN_TAIL, *IN_ALONG))
    own = ax is None
    ax = axes_or_new(ax)
    found = tails_of_groups(runs, quantity)
    styles = styles or optimizer_styles(found)
    shifts = side_by_side(found)
    for i, (name, tails) in enumerate(found.items()):
        draw_tails(ax, tails, name, styles[name], None if shifts is None else shifts[i], band=tail_band(tails))
    everything = [v for tails in found.values() for t in tails for v in t.values]
    log_if_wide(ax, everything)
    ax.set_ylabel(symbols(MEASURES[quantity].axis_label))
    ax.set_xlabel("step, counted from the last")
    ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    ax.margins(x=0.03)
    if own:
        legend_outside(ax)
    return ax


def draw_tails(
    ax: Axes,
    tails: Sequence[Tail],
    name: str,
    style: Style,
    shift: float | None = None,
    *,
    band: Band | None,
    filled: bool = True,
    most_markers: int = MOST_MARKERS,
) -> None:
    """A group, with its band over seeds; without a name it has no place in the legend.

    ``shift`` sets it beside the others where bands would cover each other, None where they would not; ``filled`` is
    whether the band is drawn, where it is none of many; a run of ``most_markers`` points has a marker at each.
    """
    label = legend_text(name) if name else None
    if band is not None and shift is not None:
        _draw_ranges(ax, tails, band, name, style, shift)
        return
    for i, tail in enumerate(tails):
        if band is None:
            marker = style.marker if tail.steps.size <= most_markers else ""
            look: dict[str, Any] = {"linestyle": style.dash, "linewidth": 1.3, "marker": marker, "markersize": 4}
            ax.plot(tail.steps, tail.values, color=style.color, label=label if i == 0 else None, **look)
        else:
            ax.plot(tail.steps, tail.values, color=style.color, linewidth=0.5, alpha=0.7)
        _open_circles(ax, tail, 0.0, style)
    if band is not None:
        marker = style.marker if band.steps.size <= MOST_MARKERS else ""
        if filled:
            ax.fill_between(band.steps, band.low, band.high, color=style.color, alpha=0.15, linewidth=0)
        ax.plot(
            band.steps,
            band.mean,
            color=style.color,
            linestyle=style.dash,
            marker=marker,
            markersize=4,
            label=label,
        )


def _draw_ranges(ax: Axes, tails: Sequence[Tail], band: Band, name: str, style: Style, shift: float) -> None:
    """The mean as a line with markers, each run as a small dot, the range as an upright line, all a little aside."""
    ax.vlines(band.steps + shift, band.low, band.high, color=style.color, linewidth=0.8, alpha=0.7)
    for tail in tails:
        ax.plot(tail.steps + shift, tail.values, ".", color=style.color, markersize=2.5)
        _open_circles(ax, tail, shift, style)
    look: dict[str, Any] = {"linestyle": style.dash, "linewidth": 0.9, "marker": style.marker, "markersize": 4.5}
    ax.plot(band.steps + shift, band.mean, color=style.color, label=legend_text(name), **look)


def _open_circles(ax: Axes, tail: Tail, shift: float, style: Style) -> None:
    bad = ~tail.converged
    if bad.any():
        look: dict[str, Any] = {"markersize": 4, "markerfacecolor": "white", "label": "not converged"}
        ax.plot(tail.steps[bad] + shift, tail.values[bad], "o", color=style.color, **look)


def side_by_side(groups: Mapping[str, Sequence[Tail]]) -> Array | None:
    """How far aside each group is drawn, in steps; None where bands over each other can still be distinguished.

    Groups stand aside where more than three have bands, and the steps are few.
    """
    steps = np.unique(np.concatenate([t.steps for tails in groups.values() for t in tails] or [np.empty(0)]))
    bands = [name for name, tails in groups.items() if tail_band(tails) is not None]
    if len(bands) <= MOST_BANDS or steps.size > MOST_MARKERS:
        return None
    width = 0.6 * float(np.diff(steps).min()) if steps.size > 1 else 0.6
    return np.linspace(-0.5 * width, 0.5 * width, len(groups))


def plot_sharpness_path(
    steps: Any,
    sharpness: Any,
    threshold: float | None = None,
    *,
    threshold_label: str = "2/η",
    error: Any = None,
    label: str | None = None,
    color: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    r"""Sharpness of gradient descent against the step, with the stability threshold :math:`2/\eta` as a dashed line.

    Call it once per step size with the same Axes: each gets the next colour, and its threshold the same colour.

    Parameters
    ----------
    steps, sharpness : (M,) arrays
        λ₁ of the Hessian, in loss/parameter².
    threshold : float, optional
        ``2/η`` for plain gradient descent; momentum and Adam have others.
    threshold_label : str
        What stands beside it.
    error : (M,) array, optional
        Residual bound of each λ₁, drawn as a band.

    Raises
    ------
    UsageError
        If steps and sharpness differ in length.

    References
    ----------
    Cohen, Kaur, Li, Kolter, Talwalkar (2021), Gradient descent on neural networks typically occurs at the edge of
    stability, ICLR.
    """
    x, y = np.asarray(steps, dtype=float), np.asarray(sharpness, dtype=float)
    if x.shape != y.shape or x.ndim != 1:
        raise UsageError(f"steps has shape {x.shape} and sharpness {y.shape}; both must be the same (M,)")
    ax = axes_or_new(ax)
    if color is None:
        taken = len([line for line in ax.lines if line.get_gid() == "sharpness"])
        color = _PATH_COLORS[taken % len(_PATH_COLORS)]
    (line,) = ax.plot(x, y, color=color, linewidth=1.2, label=label)
    line.set_gid("sharpness")
    if error is not None:
        half = np.asarray(error, dtype=float)
        ax.fill_between(x, y - half, y + half, color=color, alpha=0.2, linewidth=0)
    if threshold is not None:
        ax.axhline(threshold, color=color, linestyle=(0, (4, 2)), linewidth=1)
        ax.annotate(
            f"{threshold_label} = {threshold:.3g}",
            (1.01, threshold),
            xycoords=("axes fraction", "data"),
            fontsize=letters(7),
            color=color,
            va="center",
        )
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, 0), max(high, 1.1 * threshold))
    ax.set_xlabel("step")
    ax.set_ylabel("sharpness λ₁ (loss/parameter²)")
    return ax


_PATH_COLORS = [PALETTE[name].color for name in ("sgd", "adam", "nesterov", "rmsprop", "gd", "adagrad")]
