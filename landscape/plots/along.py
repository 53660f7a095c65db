"""Figures of whole trainings against the step: the last iterations, noise and top space, and the edge of stability."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from landscape.plots.arrays import RunLike, by_label
from landscape.plots.drawing import Drawing, count_words, join_words, seeds_words
from landscape.plots.labels import figure_names
from landscape.plots.legends import legend_outside
from landscape.plots.style import (
    EIGENVALUE_COLOR,
    PALETTE,
    REFERENCE_COLOR,
    Style,
    axes_or_new,
    log_if_wide,
    panel_width,
    panels,
    plain_log_ticks,
)
from landscape.plots.tails import Tail, plot_tail, side_by_side, tail_band, tail_of_run, tails_of_groups
from landscape.results import Stability
from landscape.results.stability import StabilityRow
from landscape.store.catalogue import IN_ALONG, IN_TAIL, MEASURES
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


def last_iterations_figure(runs: list[RunLike], styles: dict[str, Style]) -> Iterator[Drawing]:
    """λ_max, gap and gradient over the last iterations."""
    yield from _against_step(
        runs, styles, IN_TAIL, name="last_iterations", title="The last iterations", more=_residual_sentence(runs)
    )


def noise_figure(runs: list[RunLike], styles: dict[str, Style]) -> Iterator[Drawing]:
    """Noise scale, and how much of gradient and update goes along the sharpest directions."""
    more = (
        " The noise scale is the batch size at which the noise of a batch’s gradient is about as long as the gradient; "
        "the top space is that of the two largest eigenvalues."
    )
    yield from _against_step(runs, styles, IN_ALONG, name="noise", title="Noise and the top space", more=more)


def _against_step(
    runs: list[RunLike], styles: dict[str, Style], quantities: Sequence[str], *, name: str, title: str, more: str
) -> Iterator[Drawing]:
    tails = {key: tails_of_groups(runs, key) for key in quantities}
    present = [key for key, found in tails.items() if any(t.steps.size > 1 for group in found.values() for t in group)]
    if not present:
        return
    figure, axes = panels(len(present), columns=3, row_height=2.1)
    for ax, key in zip(axes, present, strict=True):
        plot_tail(runs, key, styles=styles, ax=ax)
        ax.set_title(MEASURES[key].panel_title)
        ax.set_xlabel("step, from the last")
    legend_outside(figure)
    groups = by_label(runs)
    if any(side_by_side(found) is not None for found in tails.values()):
        sentence = "lines are means over seeds, dots single runs, upright lines reach from the lowest seed to the "
        sentence += "highest; at each step the groups stand side by side"
    elif max(len(group) for group in groups.values()) > 1:
        sentence = "thick lines are means over seeds, bands reach from the lowest seed to the highest, and thin lines "
        sentence += "are single runs"
    else:
        sentence = "each line is one run"
    yield Drawing(
        name,
        title,
        f"{join_words([MEASURES[key].words for key in present]).capitalize()} at the measured checkpoints, against "
        f"the step counted from the end of training ({seeds_words(groups.values())}); {sentence}.{more}",
        figure,
    )


def _residual_sentence(runs: list[RunLike]) -> str:
    """How small the residual of every largest eigenvalue is, in per cent of it."""
    found = [tail_of_run(run, "lambda_max") for run in runs]
    values, errors = (np.concatenate([getattr(t, name) for t in found] or [[]]) for name in ("values", "errors"))
    converged = np.concatenate([t.converged for t in found] or [np.empty(0, bool)])
    good = converged & (values != 0)
    if not good.any():
        return ""
    worst = 100 * float(np.max(errors[good] / np.abs(values[good])))
    open_ones = int((~converged).sum())
    rest = f" Open circles: {count_words(open_ones, 'eigenvalue')} not converged." if open_ones else ""
    return f" Residuals bound the error of each converged λ₁ to {worst:.2g} % of it or less.{rest}"


def stability_figure(runs: list[RunLike]) -> Iterator[Drawing]:
    """A panel for each group whose optimizer was held against the curvature at more than one checkpoint."""
    groups = {
        name: there
        for name, group in by_label(runs).items()
        if (there := [run for run in group if len(_tables(run)) > 1])
    }
    if not groups:
        return
    figure, axes = panels(len(groups), columns=3, row_height=2.0)
    titles = figure_names(groups, inches=panel_width(figure, min(3, len(groups))))
    for i, (ax, (name, group)) in enumerate(zip(axes, groups.items(), strict=True)):
        plot_stability_path(group, ax=ax)
        ax.set_title(titles[name])
        ax.set_ylabel("sharpness" if i % 3 == 0 else "")
        ax.set_xlabel("step" if i + 3 >= len(groups) else "")
    legend_outside(figure)
    several = max(len(group) for group in groups.values()) > 1
    seeds = "Thick lines are geometric means over seeds, thin ones single runs. " if several else ""
    yield Drawing(
        "stability",
        "The edge of stability along training",
        "Curvature as each optimizer meets it, against the step, and dashed in the same colour where a quadratic with "
        "that curvature becomes unstable. λ_max, or λ_max(P⁻¹H) in the units of an optimizer with a preconditioner; "
        "critical sharpness 2/η_c, η_c the shortest step along the optimizer’s update that raises the loss, beside "
        f"2/η; batch sharpness, along the gradients of single batches. {seeds}Training is at the edge of stability "
        f"where a line meets its dashed one ({seeds_words(groups.values())}). What raises the loss at once, or is not "
        "positive, has no place on these axes; open marks did not converge.",
        figure,
    )


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
        band = tail_band([tail for tail, _ in paths])
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
            ax.plot(band.steps, band.mean, color=style.color, marker=style.marker, markersize=3.5, label=label)
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


def _tables(run: RunLike) -> list[tuple[int, Stability]]:
    """The table of each checkpoint that has one, by step."""
    found = ((c.step, c.records.get("stability")) for c in run.checkpoints)
    return [(step, table) for step, table in found if isinstance(table, Stability)]


def _rows(run: RunLike, measure: str) -> list[tuple[int, StabilityRow]]:
    """Its values that have a place on a logarithmic axis."""
    return [
        (step, row)
        for step, table in _tables(run)
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
    tail = Tail(
        np.array([step for step, _ in rows], dtype=float),
        np.array([row.value for _, row in rows], dtype=float),
        np.array([row.error for _, row in rows], dtype=float),
        np.array([row.converged for _, row in rows], dtype=bool),
    )
    return tail, np.where(np.isfinite(thresholds), thresholds, math.nan)
