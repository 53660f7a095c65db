"""Single steps of training against their number: what theory asks of them, and what they did."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from landscape.plots.labels import legend_text
from landscape.plots.legends import legend_outside
from landscape.plots.paper_styles import full_width
from landscape.plots.style import REFERENCE_COLOR, new_figure, optimizer_styles

#: column → (title, label of the axis), one panel each.
STEP_PANELS = {
    "loss": ("Training loss", "L"),
    "lambda_max": ("Sharpness", "λ₁"),
    "alignment": ("Step along −g", "cos(d, −g)"),
    "stretch": ("Change met ÷ predicted", "ΔL ÷ (gᵀd + ½dᵀHd)"),
    "step_share": ("Step size ÷ (2/λ₁)", "η λ₁/2"),
    "mean_curvature": ("Curvature along the step", "Δgᵀd/‖d‖²"),
    "smoothness": ("Local smoothness ÷ sharpness", "‖Δg‖/‖d‖ ÷ λ₁"),
    "top_share": ("Gradient in the top space", "‖Uᵀg‖²/‖g‖²"),
    "noise_ratio": ("Noise of a batch", "E‖g_B − g‖²/‖g‖²"),
}
_LOGARITHMIC = ("loss", "lambda_max", "noise_ratio", "smoothness", "step_share")
_AROUND_ONE = ("stretch", "smoothness", "step_share")
_ACROSS = 3


def step_panels(frame: pd.DataFrame) -> Figure:
    """A panel for each quantity against the step: median over seeds, and a band from the lowest to the highest.

    A step that does not descend has no step size: it is left out of that panel.

    Parameters
    ----------
    frame : DataFrame
        With the columns ``arm``, ``seed``, ``step`` and those of ``STEP_PANELS``, as
        :func:`landscape.study.follow` writes them.
    """
    down = -(-len(STEP_PANELS) // _ACROSS)
    figure = new_figure(full_width(), 2.0 * down)
    frame = frame.replace([np.inf, -np.inf], np.nan)
    labels = list(dict.fromkeys(frame["arm"]))
    styles = optimizer_styles(labels)
    for index, (column, (title, symbol)) in enumerate(STEP_PANELS.items()):
        ax = figure.add_subplot(down, _ACROSS, index + 1)
        for label in labels:
            over_seeds = frame[frame["arm"] == label].groupby("step")[column]
            steps, style = over_seeds.median().index.to_numpy() + 1, styles[label]
            ax.fill_between(steps, over_seeds.min(), over_seeds.max(), color=style.color, alpha=0.15, linewidth=0)
            ax.plot(steps, over_seeds.median(), color=style.color, linestyle=style.dash, label=legend_text(label))
        ax.set_xscale("log")
        if column in _LOGARITHMIC and (frame[column].dropna() > 0).all():
            ax.set_yscale("log")
        if column in _AROUND_ONE:
            ax.axhline(1, color=REFERENCE_COLOR, linewidth=0.7, linestyle=":")
        if column == "stretch":
            low, high = np.nanquantile(frame[column], [0.05, 0.95])
            ax.set_ylim(min(low, 0.0), max(high, 1.5))
        ax.set_title(title)
        ax.set_ylabel(symbol)
        ax.set_xlabel("step + 1" if index >= len(STEP_PANELS) - _ACROSS else "")
    legend_outside(figure)
    return figure
