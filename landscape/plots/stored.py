"""Stored results: a measure along a run, between groups of runs, and what was found at one checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from landscape.checks import check_choice
from landscape.errors import UsageError
from landscape.plots.arrays import measured
from landscape.plots.comparison import plot_measure
from landscape.plots.labels import figure_text, symbols
from landscape.plots.legends import legend_outside
from landscape.plots.lines import plot_interpolation
from landscape.plots.numbers import Row, plot_numbers
from landscape.plots.spectrum import plot_spectrum
from landscape.plots.style import PALETTE, axes_or_new, log_if_wide
from landscape.results import Eigenpairs, SpectralMeasure
from landscape.store import CheckpointResults, PairResult, Results, RunResults
from landscape.store.catalogue import MEASURES, Measure
from landscape.store.tidy import readings, unit_of

#: What is drawn where no measure is named: the first of these that there is, else the first of the catalogue.
FIRST = ("lambda_max", "trace", "train_loss")


def plot_results(results: Results, measure: str | None = None, *, ax: Axes | None = None) -> Axes:
    """One measure at the end of all runs, a group per row: see :func:`landscape.plots.plot_measure`."""
    chosen = _measure(measure, [run.checkpoints[-1] for run in results.runs if run.checkpoints])
    return plot_measure(results.runs, chosen, ax=ax)


def plot_run(run: RunResults, measure: str | None = None, *, ax: Axes | None = None) -> Axes:
    """One measure against the step, with its error; open circles did not converge."""
    chosen = _measure(measure, run.checkpoints)
    own = ax is None
    ax = axes_or_new(ax)
    found = [(c.step, one) for c in run.checkpoints if (one := measured(c, chosen)) is not None]
    steps = np.array([step for step, _ in found])
    values, errors = (np.array([getattr(one, part) for _, one in found]) for part in ("value", "error"))
    converged = np.array([one.converged for _, one in found])
    color = PALETTE["sgd"].color
    ax.plot(steps, values, color=color, linewidth=0.9)
    for done, face, label in ((True, color, None), (False, "white", "not converged")):
        at = converged == done
        if at.any():
            look: dict[str, Any] = {"color": color, "markerfacecolor": face, "markersize": 3.5, "elinewidth": 0.8}
            ax.errorbar(steps[at], values[at], yerr=np.nan_to_num(errors[at]), fmt="o", capsize=2, label=label, **look)
    log_if_wide(ax, values)
    ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    ax.set_title(figure_text(run.name or "this run"))
    ax.set_xlabel("step")
    ax.set_ylabel(symbols(MEASURES[chosen].axis_label))
    if own:
        legend_outside(ax)
    return ax


def plot_checkpoint(checkpoint: CheckpointResults, *, ax: Axes | None = None) -> Axes:
    """The spectral density with the eigenvalues; where there is neither, the numbers that were measured."""
    density, pairs = (checkpoint.records.get(name) for name in ("density", "eigenpairs"))
    measure = density if isinstance(density, SpectralMeasure) else None
    eigenpairs = pairs if isinstance(pairs, Eigenpairs) else None
    if measure is not None or eigenpairs is not None:
        ax = plot_spectrum(measure, eigenpairs=eigenpairs, ax=ax)
        ax.set_title(f"step {checkpoint.step}")
        return ax
    found = readings(checkpoint)
    if not found:
        raise UsageError(f"nothing was measured at step {checkpoint.step}, so there is nothing to draw")
    rows = [Row(_with_unit(MEASURES[key]), reading) for key, reading in found.items()]
    return plot_numbers(rows, title=f"step {checkpoint.step}", ax=ax)


def plot_pair(pair: PairResult, *, ax: Axes | None = None) -> Axes:
    """The loss on the line between both minima."""
    ax = plot_interpolation(pair.record, ax=ax)
    ax.set_title(figure_text(f"{pair.run_a} to {pair.run_b}"))
    return ax


def _with_unit(measure: Measure) -> str:
    unit = unit_of(measure)
    return f"{measure.words} ({unit})" if unit else measure.words


def _measure(asked: str | None, checkpoints: Iterable[CheckpointResults]) -> str:
    """The measure that is drawn: one that some of the checkpoints have."""
    listed = list(checkpoints)
    if asked is not None:
        check_choice("measure", asked, MEASURES)
    there = [key for key in MEASURES if any(measured(c, key) is not None for c in listed)]
    if asked is not None and asked in there:
        return asked
    if asked is None and there:
        return next((key for key in FIRST if key in there), there[0])
    what = f"{asked} was not measured there" if asked is not None else "nothing was measured there"
    raise UsageError(f"{what}; there is {', '.join(there) or 'no measure'}")
