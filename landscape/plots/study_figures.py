"""Figures that only a study has: loss against what was evaluated, quantities against a setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure

from landscape.plots.labels import figure_text, legend_text, symbols
from landscape.plots.legends import legend_outside
from landscape.plots.paper_styles import column_width, full_width
from landscape.plots.style import REFERENCE_COLOR, log_if_wide, new_figure, optimizer_styles, short_names

#: Costs at which the losses of runs are read, between the first and the last, evenly in logarithms.
PLACES = 200
#: Of a line on an axis, where four panels stand side by side.
LETTERS = 26


def cost_panels(
    lines: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]],
    columns: Mapping[str, Sequence[str]],
    *,
    levels: Sequence[float] = (),
) -> Figure:
    """The lowest loss so far against the cost: median over runs, and a band from the lowest to the highest.

    Parameters
    ----------
    lines : mapping
        Arm → of each of its runs the costs, growing, and the losses, (S,) each.
    columns : mapping
        Title of a panel → its arms.
    levels : sequence of float
        Losses marked by a dotted line.
    """
    figure = new_figure(column_width() if len(columns) == 1 else full_width(), 2.5)
    names = short_names(columns.values())
    styles = optimizer_styles(names.values())
    for place, (title, arms) in enumerate(columns.items()):
        ax = figure.add_subplot(1, len(columns), place + 1)
        drawn = []
        for arm in arms:
            end = min(float(cost[-1]) for cost, _ in lines[arm])
            start = max(float(cost[cost > 0][0]) for cost, _ in lines[arm])
            at = np.geomspace(start, max(end, start), PLACES)
            read = np.array([_lowest(cost, loss, at) for cost, loss in lines[arm]])
            style = styles[names[arm]]
            ax.fill_between(at, read.min(0), read.max(0), color=style.color, alpha=0.15, linewidth=0)
            label = legend_text(names[arm])
            ax.plot(at, np.median(read, 0), color=style.color, linestyle=style.dash, linewidth=1.1, label=label)
            drawn.append(read.ravel())
        for level in levels:
            ax.axhline(level, color=REFERENCE_COLOR, linewidth=0.7, linestyle=":")
        ax.set_xscale("log")
        values = np.concatenate(drawn)
        log_if_wide(ax, values[values > 0])
        ax.set_title(figure_text(title))
        ax.set_xlabel("cost (losses of all data)")
        if place == 0:
            ax.set_ylabel("lowest training loss")
    legend_outside(figure)
    return figure


def _lowest(cost: np.ndarray, loss: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The lowest loss of a run after so much was spent."""
    best = np.minimum.accumulate(loss)
    return best[np.searchsorted(cost, at, side="right") - 1]


def _in_lines(words: str) -> str:
    """Words over or beside one of four panels; broken before indices are set, whose marks have no width."""
    return symbols(fill(figure_text(words), LETTERS))


def dose_panels(
    found: Mapping[str, Mapping[str, Sequence[tuple[float, Sequence[float], float | None]]]], setting: str
) -> Figure:
    """Quantities against a number that arms differ in, beside what is known of them.

    Parameters
    ----------
    found : mapping
        Words of a quantity, one a panel → name of a set of arms → for each of its arms the number, the values of its
        runs, and the closed form or None.
    """
    figure = new_figure(full_width() if len(found) > 1 else column_width(), 2.5)
    styles = optimizer_styles(dict.fromkeys(name for sets in found.values() for name in sets))
    for place, (words, sets) in enumerate(found.items()):
        ax = figure.add_subplot(1, len(found), place + 1)
        drawn: list[float] = []
        for name, arms in sets.items():
            rows = sorted(arms, key=lambda arm: arm[0])
            x = np.array([row[0] for row in rows])
            values = [np.asarray(row[1], dtype=float) for row in rows]
            middle = np.array([np.median(own) for own in values])
            reach = np.abs(np.array([[own.min(), own.max()] for own in values]).T - middle)
            color = styles[name].color
            label = legend_text(name) if name else None
            ax.errorbar(
                x, middle, yerr=reach, fmt="o", color=color, markersize=4, elinewidth=0.9, label=label, zorder=3
            )
            known = [(row[0], row[2]) for row in rows if row[2] is not None]
            if known:
                ax.plot(*zip(*known, strict=True), color=color, linewidth=0.9, linestyle=(0, (3, 2)), zorder=2)
            drawn += [value for own in values for value in own] + [value for _, value in known]
        if min(x) > 0:
            ax.set_xscale("log")
        positive = np.array([value for value in drawn if value > 0])
        if len(positive) > 0.5 * len(drawn):
            log_if_wide(ax, positive)
        else:
            least = max(float(positive.min()) if len(positive) else 1.0, 1e-6)
            ax.set_yscale("symlog", linthresh=least)
            if min(drawn) >= 0:
                ax.set_ylim(bottom=-0.2 * least)
        ax.set_title(_in_lines(words))
        ax.set_xlabel(figure_text(setting.replace("_", " ")))
    if any(row[2] is not None for sets in found.values() for arms in sets.values() for row in arms):
        figure.axes[0].plot([], [], color="black", linewidth=0.9, linestyle=(0, (3, 2)), label="closed form")
    legend_outside(figure)
    return figure


def relation_panels(
    rows: Mapping[str, Sequence[Mapping[str, float]]], words: Mapping[str, str], *, same: str = ""
) -> Figure:
    """The first of several numbers of each run against the others, a panel for each.

    Parameters
    ----------
    rows : mapping
        Arm → the numbers of each of its runs, by key.
    words : mapping
        Key → what stands on its axis; the first is the vertical one.
    same : str
        In the panel of this key a line shows where both numbers are equal.
    """
    figure = new_figure(full_width(), 2.4)
    first, *others = words
    styles = optimizer_styles(rows)
    upright = np.array([run[first] for runs in rows.values() for run in runs])
    for place, key in enumerate(others):
        ax = figure.add_subplot(1, len(others), place + 1)
        for arm, runs in rows.items():
            x, y = ([run[name] for run in runs] for name in (key, first))
            label = legend_text(arm) if place == 0 else None
            ax.plot(x, y, styles[arm].marker, color=styles[arm].color, markersize=3, alpha=0.8, label=label)
        across = np.array([run[key] for runs in rows.values() for run in runs])
        for values, axis in ((across, "x"), (upright, "y")):
            if (values > 0).all():
                log_if_wide(ax, values, axis=axis)
        if key == same:
            low, high = max(across.min(), upright.min()), min(across.max(), upright.max())
            ax.plot([low, high], [low, high], color=REFERENCE_COLOR, linewidth=0.7, linestyle=":")
        ax.set_xlabel(_in_lines(words[key]))
        if place == 0:
            ax.set_ylabel(_in_lines(words[first]))
        else:
            ax.tick_params(labelleft=False)
    legend_outside(figure)
    return figure
