"""Training loss and step size against the step, arm by arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape.plots.labels import figure_text, legend_text
from landscape.plots.legends import legend_outside
from landscape.plots.paper_styles import column_width, full_width
from landscape.plots.style import Style, log_if_wide, new_figure, optimizer_styles, short_names

#: Steps are gathered into at most so many windows: the step sizes of single batches jump.
WINDOWS = 60
_INNER = (0.1, 0.9)


def history_panels(
    losses: pd.DataFrame, sizes: pd.DataFrame, columns: Mapping[str, Sequence[str]], *, below: str = "step size"
) -> Figure:
    """Losses above, step sizes or another number of every step below; a column for each group of arms that share a
    problem.

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
    below : str
        What ``sizes`` are, on their axis.
    """
    width = column_width() if len(columns) == 1 else full_width()
    figure = new_figure(width, 3.6)
    names = short_names(columns.values())
    styles = optimizer_styles(names.values())
    for place, (title, arms) in enumerate(columns.items()):
        above = figure.add_subplot(2, len(columns), place + 1)
        under = figure.add_subplot(2, len(columns), len(columns) + place + 1, sharex=above)
        for arm in arms:
            style = styles[names[arm]]
            _band(above, losses[losses["arm"] == arm], style, legend_text(names[arm]), inner=(0.0, 1.0))
            _band(under, _windowed(sizes[sizes["arm"] == arm]), style, None, inner=_INNER)
        for ax, frame in ((above, losses), (under, sizes)):
            log_if_wide(ax, frame.loc[frame["arm"].isin(arms) & (frame["value"] > 0), "value"])
        above.set_title(figure_text(title))
        above.tick_params(labelbottom=False)
        under.set_xlabel("step")
        if place == 0:
            above.set_ylabel("training loss")
            under.set_ylabel(figure_text(below))
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
