"""What training wrote down at every step: loss, gradient norm and step size, of one run or of all groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape.checks import check_choice
from landscape.errors import UsageError
from landscape.plots.arrays import RunLike, by_label
from landscape.plots.labels import figure_text, legend_text
from landscape.plots.legends import legend_outside
from landscape.plots.paper_styles import column_width, full_width
from landscape.plots.style import (
    PALETTE,
    Style,
    axes_or_new,
    log_if_wide,
    new_figure,
    optimizer_styles,
    plain_log_ticks,
    short_names,
)
from landscape.results import StepHistory

#: Steps are gathered into at most so many windows: the step sizes of single batches jump.
WINDOWS = 60
_INNER = (0.1, 0.9)
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
    medians = _windowed(frame).groupby("step")["value"].median()
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
            _band(ax, _windowed(part), styles[group], legend_text(group), inner=_INNER)
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


def history_panels(losses: pd.DataFrame, sizes: pd.DataFrame, columns: Mapping[str, Sequence[str]]) -> Figure:
    """Losses above, step sizes below; a column for each group of arms that share a problem.

    Parameters
    ----------
    losses : DataFrame
        ``arm``, ``seed``, ``step``, ``value``: the loss over all training data at the checkpoints. Drawn: the median
        over seeds and a band from the lowest to the highest.
    sizes : DataFrame
        The same of the step size of every step. Drawn: the median of a window of steps over all seeds, and a band
        that holds the middle 80 %. A window whose quantile is not positive has no place on a logarithmic axis: a gap.
    columns : mapping
        Title of a column → its arms.
    """
    width = column_width() if len(columns) == 1 else full_width()
    figure = new_figure(width, 3.6)
    names = short_names(columns.values())
    styles = optimizer_styles(names.values())
    for place, (title, arms) in enumerate(columns.items()):
        above = figure.add_subplot(2, len(columns), place + 1)
        below = figure.add_subplot(2, len(columns), len(columns) + place + 1, sharex=above)
        for arm in arms:
            style = styles[names[arm]]
            _band(above, losses[losses["arm"] == arm], style, legend_text(names[arm]), inner=(0.0, 1.0))
            _band(below, _windowed(sizes[sizes["arm"] == arm]), style, None, inner=_INNER)
        for ax, frame in ((above, losses), (below, sizes)):
            log_if_wide(ax, frame.loc[frame["arm"].isin(arms) & (frame["value"] > 0), "value"])
        above.set_title(figure_text(title))
        above.tick_params(labelbottom=False)
        below.set_xlabel("step")
        if place == 0:
            above.set_ylabel("training loss")
            below.set_ylabel("step size")
    legend_outside(figure)
    return figure


def _windowed(frame: pd.DataFrame) -> pd.DataFrame:
    """With ``step`` the middle of a window of steps."""
    if frame.empty:
        return frame
    last = int(frame["step"].max())
    width = max(1, -(-last // WINDOWS))
    window = (frame["step"] - 1) // width
    return frame.assign(step=(window + 0.5) * width)


def _band(ax: Axes, frame: pd.DataFrame, style: Style, label: str | None, *, inner: tuple[float, float]) -> None:
    over_seeds = frame.groupby("step")["value"]
    middle = over_seeds.median()
    low, high = (over_seeds.quantile(share) for share in inner)
    steps = middle.index.to_numpy(dtype=float)
    ax.fill_between(steps, low, high, color=style.color, alpha=0.15, linewidth=0)
    ax.plot(steps, middle, color=style.color, linestyle=style.dash, linewidth=1.1, label=label)
