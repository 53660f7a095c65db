"""What training wrote down at every step: loss, gradient norm and step size, of one run or of all groups."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes

from landscape.checks import check_choice
from landscape.errors import UsageError
from landscape.plots.arrays import RunLike, by_label
from landscape.plots.histories import band_of_windows, windowed
from landscape.plots.labels import figure_text, legend_text
from landscape.plots.legends import legend_outside
from landscape.plots.style import PALETTE, axes_or_new, log_if_wide, optimizer_styles, plain_log_ticks
from landscape.results import StepHistory

#: What is drawn where no name is given: the first of these that there is.
FIRST = ("gradient_norm", "loss", "step_size")
#: Title of the panel and label of the axis of each; others are called by their name.
STEP_WORDS = {
    "gradient_norm": ("Gradient norm of each batch", "‖∇L(θ; batch)‖"),
    "loss": ("Loss of each batch", "batch loss"),
    "step_size": ("Step size", "step size"),
}


def plot_step_history(found: StepHistory, name: str | None = None, *, ax: Axes | None = None) -> Axes:
    """One number of a run against the step: each step as a dot, and the medians of windows of steps as a line.

    Parameters
    ----------
    name : str, optional
        One of ``found.names``; left out, the gradient norm, or else what there is.

    Raises
    ------
    UsageError
        If nothing was saved, or not that.
    """
    if not found.names:
        raise UsageError("this training saved nothing at its steps; there is nothing to draw")
    if name is not None:
        check_choice("name", name, found.names)
    name = name or next((first for first in FIRST if first in found.names), found.names[0])
    ax = axes_or_new(ax)
    frame = pd.DataFrame({"step": found.steps, "value": found[name]}).dropna()
    ax.plot(frame["step"], frame["value"], ".", color="#B8B8B8", markersize=2, zorder=1)
    medians = windowed(frame).groupby("step")["value"].median()
    ax.plot(medians.index, medians, color=PALETTE["sgd"].color, linewidth=1.2)
    _finish(ax, name, frame)
    ax.set_xlabel("step")
    return ax


def plot_steps(runs: Sequence[RunLike], name: str, *, ax: Axes | None = None) -> Axes:
    """One number of every step, all groups over each other.

    Medians over seeds and a window of steps (at most ``WINDOWS`` of them), bands around the middle 80 %.
    """
    own, frame = ax is None, step_frame(runs, name)
    ax = axes_or_new(ax)
    groups = by_label(runs)
    styles = optimizer_styles(groups)
    for group in groups:
        if not (part := frame[frame["group"] == group]).empty:
            band_of_windows(ax, windowed(part), styles[group], legend_text(group))
    _finish(ax, name, frame)
    if own:
        ax.set_xlabel("step")
        legend_outside(ax)
    return ax


def step_frame(runs: Sequence[RunLike], name: str) -> pd.DataFrame:
    """``group``, ``run``, ``step``, ``value`` of every step of the runs that have such a number."""
    parts = []
    for group, members in by_label(runs).items():
        for run in members:
            found = history_of_run(run)
            if found is not None and name in found.names:
                about = {"group": group, "run": run.name, "step": found.steps, "value": found[name]}
                parts.append(pd.DataFrame(about).dropna())
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["group", "run", "step", "value"])


def history_of_run(run: RunLike) -> StepHistory | None:
    """What its training saved at every step; None where nothing was read."""
    found = [c.records.get("history") for c in run.checkpoints]
    return next((record for record in reversed(found) if isinstance(record, StepHistory)), None)


def _finish(ax: Axes, name: str, frame: pd.DataFrame) -> None:
    if log_if_wide(ax, frame.loc[frame["value"] > 0, "value"]):
        plain_log_ticks(ax.yaxis)
    ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    ax.set_ylabel(STEP_WORDS[name][1] if name in STEP_WORDS else figure_text(name.replace("_", " ")))
