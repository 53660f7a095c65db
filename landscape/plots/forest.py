"""Differences between groups as a forest plot: one row per pair of groups, an effect with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape.comparison import ALPHA
from landscape.errors import UsageError
from landscape.plots.labels import figure_names
from landscape.plots.legends import legend_outside
from landscape.plots.paper_styles import column_width, full_width, letters
from landscape.plots.style import DOUBLE, REFERENCE_COLOR, axes_or_new, new_figure
from landscape.store.catalogue import IN_CONTRASTS, MEASURES, shown_contrasts

#: With more pairs than that, only those with the first group are drawn.
MOST_ROWS = 18
#: Beyond them, in standard deviations, an interval ends in an arrow, and an effect stands at the edge with its number:
#: with few seeds both may be anything.
FARTHEST, FARTHEST_EFFECT = 12.0, 30.0
#: Characters of a title that fit above one of several panels, in our own width.
TITLE_WIDTH = 18
_OTHER, _SIGNIFICANT = "#9AA5B1", "#0072B2"


def plot_forest(differences: pd.DataFrame, measure: str, *, ax: Axes | None = None) -> Axes:
    """Hedges' g of every pair of groups in one measure, with its interval; filled where the adjusted p is below 0.05.

    Parameters
    ----------
    differences : DataFrame
        As :func:`landscape.comparison.contrasts` returns it.
    measure : str
        One of its measures. g > 0: the first group of the pair has the larger value.

    Raises
    ------
    UsageError
        If the measure was not compared.
    """
    rows = drawn_pairs(differences, measure)
    if rows.empty:
        raise UsageError(f"no pair of groups was compared in {measure!r}; there is {_measures_of(differences)}")
    own = ax is None
    ax = axes_or_new(ax, height=0.9 + 0.19 * len(rows))
    reach = _reach(rows)
    row: Any
    for y, row in enumerate(rows.itertuples()):
        _draw_pair(ax, row, y, reach)
    ax.axvline(0, color=REFERENCE_COLOR, linewidth=0.7, zorder=0)
    ax.set_xlim(-1.05 * reach, 1.05 * reach)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    room = 0.16 * ax.figure.get_figwidth()  # type: ignore[union-attr]
    names = figure_names([str(name) for pair in rows[["a", "b"]].to_numpy() for name in pair], inches=room)
    ax.set_yticks(range(len(rows)), [f"{names[str(row.a)]} − {names[str(row.b)]}" for row in rows.itertuples()])
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", color="#EEEEEE", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_title(MEASURES[measure].panel_title if measure in MEASURES else measure)
    ax.set_xlabel("Hedges’ g (standard deviations)")
    if own:
        legend_outside(ax)
    return ax


def forest_figure(differences: pd.DataFrame) -> Figure | None:
    """A panel for each of the main measures in which a pair has an effect size; None where none has."""
    effects = {m: drawn_pairs(differences, m)["effect"].to_numpy(float) for m in IN_CONTRASTS}
    present = shown_contrasts([m for m, found in effects.items() if np.isfinite(found).any()])
    if not present:
        return None
    rows = max(len(drawn_pairs(differences, m)) for m in present)
    figure = new_figure(column_width() if len(present) == 1 else full_width(), 1.1 + 0.17 * rows)
    most = TITLE_WIDTH if len(present) == 1 else int(TITLE_WIDTH * figure.get_figwidth() / DOUBLE)
    for i, measure in enumerate(present):
        ax = figure.add_subplot(1, len(present), i + 1)
        plot_forest(differences, measure, ax=ax)
        ax.set_xlabel("Hedges’ g")
        ax.set_title(fill(MEASURES[measure].panel_title, most))
        if i:
            ax.set_yticklabels([])
    legend_outside(figure)
    return figure


def drawn_pairs(differences: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The pairs that are drawn: all, or those with the first group where there are many."""
    rows = differences[differences["measure"] == measure]
    return rows if len(rows) <= MOST_ROWS else rows[rows["a"] == rows["a"].iloc[0]]


def _reach(rows: pd.DataFrame) -> float:
    """Half the width of the axis: room for every effect, and for intervals up to a limit."""
    effects = np.abs(rows["effect"].to_numpy(float))
    ends = np.abs(rows[["effect_low", "effect_high"]].to_numpy(float))
    finite_effects, finite_ends = effects[np.isfinite(effects)], ends[np.isfinite(ends)]
    most = min(float(finite_effects.max(initial=1.0)), FARTHEST_EFFECT)
    return max(1.15 * most, min(float(finite_ends.max(initial=1.0)), FARTHEST))


def _draw_pair(ax: Axes, row: Any, y: int, reach: float) -> None:
    if not np.isfinite(row.effect):
        ax.plot(0, y, "x", color=_OTHER, markersize=4, label="no spread, or one seed: no effect size")
        return
    significant = bool(row.p_holm < ALPHA)
    color, said = (_SIGNIFICANT, f"adjusted p < {ALPHA:g}") if significant else (_OTHER, f"adjusted p ≥ {ALPHA:g}")
    low, high = max(row.effect_low, -reach), min(row.effect_high, reach)
    ax.plot([low, high], [y, y], color=color, linewidth=1.2)
    place = min(max(row.effect, -reach), reach)
    ax.plot(place, y, "o", color=color, markerfacecolor=color if significant else "white", markersize=4, label=said)
    if place != row.effect:  # no axis holds both 0.5 and 500: this one stands at the edge with its number
        side = 1 if place < 0 else -1
        ax.annotate(
            f"{row.effect:.0f}", (place, y), (5 * side, 2), textcoords="offset points", fontsize=letters(6),
            color=color, ha="left" if side > 0 else "right", va="bottom",
        )  # fmt: skip
    for beyond, place, mark in ((row.effect_low < -reach, -reach, "<"), (row.effect_high > reach, reach, ">")):
        if beyond:
            ax.plot(place, y, mark, color=color, markersize=3.5, clip_on=False)


def _measures_of(differences: pd.DataFrame) -> str:
    names: Sequence[str] = list(dict.fromkeys(differences["measure"]))
    return ", ".join(names) or "nothing"
