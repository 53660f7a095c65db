"""Training loss, and a number of every step, against the step, arm by arm."""

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
INNER = (0.1, 0.9)
#: Inches, by the number of rows.
HEIGHTS = {1: 2.2, 2: 3.6, 3: 4.1}


def history_panels(
    losses: pd.DataFrame,
    sizes: pd.DataFrame,
    columns: Mapping[str, Sequence[str]],
    *,
    tests: pd.DataFrame | None = None,
    against: str = "step",
    below: str = "step size",
) -> Figure:
    """Losses above, step sizes or another number of every step below; a column for each group of arms that share a
    problem.

    Parameters
    ----------
    losses : DataFrame
        ``arm``, ``seed``, ``step``, ``value``: the loss over all training data at the checkpoints. Drawn: the median
        over seeds and a band from the lowest to the highest.
    sizes : DataFrame
        The same of the step size of every step, with a row if there are any. Drawn: the median of a window of steps
        over all seeds, and a band that holds the middle 80 %. A window whose quantile is not positive has no place on
        a logarithmic axis: a gap.
    columns : mapping
        Title of a column → its arms.
    tests : DataFrame, optional
        The loss over the test data, as ``losses``, for a row between.
    against : {"step", "epoch"}
        The column of the three that is the horizontal axis.
    below : str
        What ``sizes`` are, on their axis.
    """
    rows = [("training loss", losses, (0.0, 1.0))]
    if tests is not None and not tests.empty:
        rows.append(("test loss", tests, (0.0, 1.0)))
    if not sizes.empty:
        rows.append((figure_text(below), sizes, INNER))
    width = column_width() if len(columns) == 1 else full_width()
    figure = new_figure(width, HEIGHTS[len(rows)])
    names = short_names(columns.values())
    styles = optimizer_styles(names.values())
    for place, (title, arms) in enumerate(columns.items()):
        first: Axes | None = None
        for index, (label, frame, inner) in enumerate(rows):
            ax = figure.add_subplot(len(rows), len(columns), index * len(columns) + place + 1, sharex=first)
            for arm in arms:
                own = frame[frame["arm"] == arm]
                own = windowed(own, against) if frame is sizes else own
                band_of_windows(
                    ax, own, styles[names[arm]], None if first else legend_text(names[arm]), against, inner=inner
                )
            log_if_wide(ax, frame.loc[frame["arm"].isin(arms) & (frame["value"] > 0), "value"])
            if first is None:
                first = ax
                ax.set_title(figure_text(title))
            if index < len(rows) - 1:
                ax.tick_params(labelbottom=False)
            else:
                ax.set_xlabel(against)
            if place == 0:
                ax.set_ylabel(label)
    legend_outside(figure)
    return figure


def windowed(frame: pd.DataFrame, against: str = "step") -> pd.DataFrame:
    """At the middle of a window of steps."""
    if frame.empty:
        return frame
    last = int(frame["step"].max())
    width = max(1, -(-last // WINDOWS))
    window = (frame["step"] - 1) // width
    scale = 1.0 if against == "step" else float(frame[against].max()) / last
    return frame.assign(**{against: (window + 0.5) * width * scale})


def band_of_windows(
    ax: Axes,
    frame: pd.DataFrame,
    style: Style,
    label: str | None,
    against: str = "step",
    *,
    inner: tuple[float, float] = INNER,
) -> None:
    """The median over seeds, and a band around the middle."""
    over_seeds = frame.groupby(against)["value"]
    middle = over_seeds.median()
    low, high = (over_seeds.quantile(share) for share in inner)
    steps = middle.index.to_numpy(dtype=float)
    ax.fill_between(steps, low, high, color=style.color, alpha=0.15, linewidth=0)
    ax.plot(steps, middle, color=style.color, linestyle=style.dash, linewidth=1.1, label=label)
