"""The loss between pairs of minima, in one picture: which groups they join is seen by colours and dashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from landscape.errors import UsageError
from landscape.plots.arrays import PairLike, RunLike, by_label, group_of
from landscape.plots.labels import figure_names
from landscape.plots.legends import legend_outside
from landscape.plots.lines import barrier_point, plot_interpolation
from landscape.plots.paper_styles import full_width
from landscape.plots.style import REFERENCE_COLOR, Style, axes_or_new, optimizer_styles
from landscape.results import LineSlice
from landscape.rounding import format_value

_DASHES: tuple[Any, ...] = ("-", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
#: Inches that the names of both groups may have in the legend, each.
_NAME = 1.8


def plot_pairs(
    pairs: Sequence[PairLike],
    runs: Sequence[RunLike],
    *,
    styles: dict[str, Style] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Straight lines between minima: in the colour of their group where both are of one, else in grey.

    Parameters
    ----------
    pairs : sequence of pairs
        As in ``load_results(path).pairs``.
    runs : sequence of runs
        Those that they join, which say of which group each is.

    Raises
    ------
    UsageError
        If there is no pair.
    """
    if not pairs:
        raise UsageError("there is no pair of minima to draw a line between; analyze with --barriers measures some")
    own = ax is None
    ax = axes_or_new(ax, width=full_width())
    styles = styles or optimizer_styles(by_label(runs))
    group = {run.name: group_of(run) for run in runs}
    groups: dict[tuple[str, ...], list[LineSlice]] = {}
    for pair in pairs:
        ends = tuple(sorted(group.get(name, name) for name in (pair.run_a, pair.run_b)))
        groups.setdefault(ends, []).append(pair.record)
    names = figure_names([name for ends in groups for name in ends], inches=_NAME)
    mixed = [ends for ends in sorted(groups) if ends[0] != ends[1]]
    for ends in sorted(groups, key=lambda e: (e in mixed, e)):
        same = ends[0] == ends[1] and ends[0] in styles
        color = styles[ends[0]].color if same else _greys(len(mixed))[mixed.index(ends) if ends in mixed else 0]
        dash = "-" if same else _DASHES[mixed.index(ends) % len(_DASHES) if ends in mixed else 0]
        label = f"{names[ends[0]]} – {names[ends[1]]}, barrier {_barriers(groups[ends])}"
        plot_interpolation(groups[ends], color=color, dash=dash, label=label, ax=ax)
    if own:
        legend_outside(ax)
    return ax


def _greys(count: int) -> list[str]:
    """Distinct greys, dark to light, none too pale for print."""
    return [str(level) for level in np.linspace(0.15, 0.65, max(count, 1)).round(2)] if count else [REFERENCE_COLOR]


def _barriers(lines: Sequence[LineSlice]) -> str:
    """The range of barriers over the lines of a group, over finite points."""
    heights = []
    for line in lines:
        top = barrier_point(line)
        if top is not None:
            chord = (1 - top[0]) * line.loss[0] + top[0] * line.loss[-1]
            heights.append(float(top[1] - chord))
    if not heights:
        return "unknown"
    low, high = (format_value(x, digits=2) for x in (min(heights), max(heights)))
    return low if low == high else f"{low} … {high}"
