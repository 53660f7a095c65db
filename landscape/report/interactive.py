"""The loss surface to turn with the mouse; print and pages without scripts show the figure instead."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from landscape.results import PlaneSlice

ELEMENT = "turnable-surface"


def plotly_library() -> str:
    """The library itself, to stand once in the page."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().replace("</script", "<\\/script")


def surface_figure(planes: Mapping[str, PlaneSlice]) -> str | None:
    """An HTML element with one surface per run and a menu to choose; None where there is no plane."""
    if not planes:
        return None
    from plotly import graph_objects as go

    names = list(planes)
    figure = go.Figure()
    for index, (name, plane) in enumerate(planes.items()):
        loss = np.where(np.isfinite(plane.loss) & (plane.loss > 0), plane.loss, np.nan)
        figure.add_surface(
            x=plane.x, y=plane.y, z=np.log10(loss), customdata=plane.loss, colorscale="Viridis", showscale=False,
            visible=index == 0, name=name, hovertemplate="x %{x:.2f}<br>y %{y:.2f}<br>loss %{customdata:.4g}",
        )  # fmt: skip
    # Run names come from folders: plotly reads a little HTML in labels.
    buttons = [
        {"label": name.replace("<", "‹").replace(">", "›"), "method": "restyle",
         "args": [{"visible": [other == name for other in names]}]}
        for name in names
    ]  # fmt: skip
    heights = np.concatenate([np.log10(p.loss[np.isfinite(p.loss) & (p.loss > 0)]) for p in planes.values()])
    limits = [float(heights.min()), float(heights.max())] if heights.size else [0.0, 1.0]
    axis = {"title": {"text": "log₁₀ loss"}, "range": limits}
    figure.update_layout(
        scene={"xaxis": {"title": {"text": "x"}}, "yaxis": {"title": {"text": "y"}}, "zaxis": axis,
               "aspectmode": "cube", "camera": {"eye": {"x": 1.6, "y": 1.6, "z": 1.0}}},
        updatemenus=[{"buttons": buttons, "x": 0, "y": 1.0, "xanchor": "left", "yanchor": "bottom"}],
        margin={"l": 0, "r": 0, "t": 40, "b": 0}, height=540, paper_bgcolor="white", autosize=True,
    )  # fmt: skip
    return figure.to_html(
        full_html=False, include_plotlyjs=False, div_id=ELEMENT,
        config={"responsive": True, "displaylogo": False, "showTips": False},
    )  # fmt: skip
