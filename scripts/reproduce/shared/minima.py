"""Minima reached in several ways at one and the same training loss, and how sharp they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from shared.palette import BLUE
from shared.ratios import Ratio, ratio
from shared.training import trained

import landscape as ls
from landscape import plots
from landscape.plots.style import GAP_COLOR, log_if_wide
from landscape.problems import Problem

LABELS = {
    "lambda_max": r"sharpness $\lambda_{\max}$",
    "adaptive_worst": r"adaptive sharpness ($\rho = 0.5$)",
}


@dataclass(frozen=True)
class Minimum:
    """Where a run stopped: its training loss, and a number for each measure of sharpness."""

    loss: float
    sharpness: dict[str, float]


#: label of the way to train → seed → minimum
Minima = dict[str, dict[int, Minimum]]


def minima(
    problem: Problem,
    ways: Mapping[str, Mapping[str, Any]],
    *,
    seeds: Sequence[int],
    until: float,
    measures: Sequence[str] = ("lambda_max",),
) -> Minima:
    """Train in each of the ways from each seed until the training loss is ``until``, and measure there.

    Parameters
    ----------
    ways : mapping
        label → keyword arguments of :func:`trained`.
    measures : sequence of str
        Of :func:`landscape.sharpness`.
    """
    found: Minima = {label: {} for label in ways}
    for label, asked in ways.items():
        for seed in seeds:
            objective = problem.objective(trained(problem, until=until, seed=seed, **asked))
            sharpness = {measure: float(ls.sharpness(objective, measure=measure, strict=False)) for measure in measures}
            found[label][seed] = Minimum(objective.loss(), sharpness)
    return found


def values(group: Mapping[int, Minimum], measure: str = "lambda_max") -> dict[int, float]:
    """``{seed: sharpness}``."""
    return {seed: minimum.sharpness[measure] for seed, minimum in group.items()}


def compared(found: Minima, a: str, b: str, measure: str = "lambda_max") -> Ratio:
    """How many times as sharp the minima of a are as those of b."""
    return ratio(values(found[a], measure), values(found[b], measure))


def means(found: Minima, measure: str = "lambda_max") -> dict[str, float]:
    """Geometric mean over seeds."""
    return {
        label: float(np.exp(np.mean(np.log(list(values(group, measure).values()))))) for label, group in found.items()
    }


def losses(found: Minima) -> tuple[float, float]:
    """The lowest and the highest training loss of all minima."""
    every = [minimum.loss for group in found.values() for minimum in group.values()]
    return min(every), max(every)


def draw_minima(found: Minima, *, xlabel: str) -> Figure:
    """One panel for each measure: a thin line for each seed, their geometric mean as bars across."""
    measures = list(next(iter(next(iter(found.values())).values())).sharpness)
    figure = plots.new_figure(plots.SINGLE if len(measures) == 1 else plots.DOUBLE, 2.6)
    for ax, measure in zip(figure.subplots(1, len(measures), squeeze=False)[0], measures, strict=True):
        for index, seed in enumerate(next(iter(found.values()))):
            line = [group[seed].sharpness[measure] for group in found.values()]
            ax.plot(line, "o-", color=GAP_COLOR, linewidth=0.6, markersize=3, label="one seed" if index == 0 else None)
        middle = list(means(found, measure).values())
        ax.plot(middle, "_", color=BLUE, markersize=16, markeredgewidth=2, label="geometric mean over seeds")
        log_if_wide(ax, [m.sharpness[measure] for group in found.values() for m in group.values()])
        ax.set_xticks(range(len(found)), list(found))
        ax.margins(x=0.15)
        ax.set_xlabel(xlabel)
        ax.set_ylabel(LABELS[measure])
    plots.legend_outside(figure)
    return figure
