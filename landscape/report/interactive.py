"""The loss surface to turn with the mouse; print and pages without scripts show the figure instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from landscape.escaping.pages import plotly_label
from landscape.plots import surface_heights
from landscape.results import PlaneSlice

ELEMENT = "turnable-surface"


def plotly_library() -> str:
    """The library itself, to stand once in the page."""
    from plotly.offline import get_plotlyjs

    library: str = get_plotlyjs()
    return library.replace("</script", "<\\/script")


def surface_figure(records: Mapping[str, Any]) -> tuple[str | None, str]:
    """An HTML element with one surface per run and a menu to choose, and the scale of its height.

    The height is logarithmic under the same condition as in the figure: where that of every run is. None where no run
    has a plane with a finite loss.
    """
    planes = {n: p for n, p in records.items() if isinstance(p, PlaneSlice) and np.isfinite(p.loss).any()}
    if not planes:
        return None, ""
    from plotly import graph_objects as go

    names = list(planes)
    logarithmic = all(surface_heights(plane)[1] for plane in planes.values())
    finite = {name: np.where(np.isfinite(plane.loss), plane.loss, np.nan) for name, plane in planes.items()}
    heights = {name: np.log10(loss) if logarithmic else loss for name, loss in finite.items()}
    figure = go.Figure()
    for index, (name, plane) in enumerate(planes.items()):
        figure.add_surface(
            x=plane.x, y=plane.y, z=heights[name], customdata=finite[name], colorscale="Viridis", showscale=False,
            visible=index == 0, name=plotly_label(name),
            hovertemplate="x %{x:.2f}<br>y %{y:.2f}<br>loss %{customdata:.4g}",
        )  # fmt: skip
    buttons = [
        {"label": plotly_label(name), "method": "restyle",
         "args": [{"visible": [other == name for other in names]}]}
        for name in names
    ]  # fmt: skip
    limits = [float(min(map(np.nanmin, heights.values()))), float(max(map(np.nanmax, heights.values())))]
    axis: dict[str, Any] = {"title": {"text": "log₁₀ loss" if logarithmic else "loss"}}
    axis |= {"range": limits} if limits[0] < limits[1] else {}
    figure.update_layout(
        scene={"xaxis": {"title": {"text": "x"}}, "yaxis": {"title": {"text": "y"}}, "zaxis": axis,
               "aspectmode": "cube", "camera": {"eye": {"x": 2.45, "y": 2.45, "z": 1.5}}},
        updatemenus=[{"buttons": buttons, "x": 0, "y": 1.0, "xanchor": "left", "yanchor": "bottom"}],
        margin={"l": 0, "r": 0, "t": 40, "b": 0}, height=540, paper_bgcolor="white", autosize=True,
    )  # fmt: skip
    element = figure.to_html(
        full_html=False, include_plotlyjs=False, div_id=ELEMENT,
        config={"responsive": True, "displaylogo": False, "showTips": False},
    )  # fmt: skip
    return element, "logarithmic" if logarithmic else "linear"
