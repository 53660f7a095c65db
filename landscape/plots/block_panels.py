"""Curvature of blocks of parameters along trainings, a panel for each block."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape.plots.labels import legend_text
from landscape.plots.legends import legend_outside
from landscape.plots.style import (
    Style,
    columns_for,
    is_wide,
    label_outer,
    name_panels,
    optimizer_styles,
    panels,
    share_limits,
)


def block_panels(found: pd.DataFrame, *, arms: Sequence[str], label: str) -> Figure:
    """Against the epoch: of every arm the median over seeds, and a band from the lowest to the highest.

    Parameters
    ----------
    found : DataFrame
        ``arm``, ``seed``, ``epoch``, ``block``, ``value``. Seeds are joined by the place of their checkpoints in the
        run, at the mean of their epochs. All panels have one axis, which is logarithmic where all medians are positive
        and differ by more than 20 times; a band that goes below zero then begins at the median.
    arms : sequence of str
        In this order, as far as they are there.
    label : str
        Of the values.
    """
    styles = optimizer_styles(arms)
    blocks = list(dict.fromkeys(found["block"]))
    columns = columns_for(len(blocks))
    figure, axes = panels(len(blocks), columns=columns, row_height=1.3)
    placed = found.assign(place=found.groupby(["arm", "seed", "block"]).cumcount())
    medians = placed.groupby(["block", "arm", "place"])["value"].median()
    scale = "log" if is_wide(medians) else "linear"
    for ax, block in zip(axes, blocks, strict=True):
        ax.set_yscale(scale)
        for arm in arms:
            own = placed[(placed["arm"] == arm) & (placed["block"] == block)]
            if not own.empty:
                _band(ax, own, styles[arm], legend_text(arm))
    share_limits(axes, which="xy")
    name_panels(axes, blocks, columns=columns)
    label_outer(axes, columns=columns, x="epoch", y=label)
    legend_outside(figure)
    return figure


def _band(ax: Axes, own: pd.DataFrame, style: Style, label: str) -> None:
    places = own.groupby("place")
    at, middle, low, high = (
        places["epoch"].mean(), places["value"].median(), places["value"].min(), places["value"].max()
    )  # fmt: skip
    if ax.get_yscale() == "log":
        low = low.where(low > 0, middle)
    ax.fill_between(at, low, high, color=style.color, alpha=0.15, linewidth=0)
    look = {"color": style.color, "linestyle": style.dash, "linewidth": 1.1, "marker": ".", "markersize": 3}
    ax.plot(at, middle, label=label, **look)
