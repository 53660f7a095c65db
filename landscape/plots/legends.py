"""Legends below the axes: every entry whole, in as many columns as have room."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from landscape.escaping.control_characters import told_apart
from landscape.plots.labels import symbols

#: Length of a handle, in letters of the legend's font; and what is around one entry: the pads of handle and column.
_HANDLE, _AROUND = 2.6, 3.4
#: Rows of a legend that a figure has room for as it is.
_ROWS = 2


def legend_outside(target: Axes | Figure, *, columns: int | None = None) -> None:
    """A legend below the axes, each label once: it can cover no data, and no label is cut off.

    Labels wider than the figure lose their middle; where there are many, the figure grows.
    """
    figure = target if isinstance(target, Figure) else target.get_figure(root=True)
    assert figure is not None
    alone = isinstance(target, Figure) or len(figure.axes) == 1
    entries: dict[str, Any] = {}
    for ax in target.axes if isinstance(target, Figure) else [target]:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    font = FontProperties(size=rcParams["legend.fontsize"])
    inches = figure.get_figwidth() if alone else figure.get_figwidth() * target.get_position().width  # type: ignore[union-attr]
    size = font.get_size_in_points() / 72
    labels = _fitted(list(entries), inches - (_HANDLE + _AROUND) * size, font, figure)
    widest = max(_width(label, font, figure) for label in labels)
    room = max(1, int(inches / (widest + (_HANDLE + _AROUND) * size)))
    columns = min(len(entries), columns or room, room)
    labels = [symbols(label) for label in labels]
    handles: list[Any] = [h[0] if isinstance(h, Container) and not hasattr(h, "lines") else h for h in entries.values()]
    style: dict[str, Any] = {"ncols": columns, "handlelength": _HANDLE}
    if not alone:
        target.legend(handles, labels, loc="upper left", bbox_to_anchor=(0, -0.25), **style)
        return
    more = math.ceil(len(labels) / columns) - _ROWS
    if more > 0:
        figure.set_figheight(figure.get_figheight() + 1.55 * more * size)
    figure.legend(handles, labels, loc="outside lower center", **style)


def _fitted(labels: Sequence[str], inches: float, font: FontProperties, figure: Figure) -> list[str]:
    """The labels, those that are too wide without their middle; escaped dollars are whole after the cut as before."""
    widest = max(_width(label, font, figure) for label in labels)
    if widest <= inches:
        return list(labels)
    plain = [label.replace(r"\$", "$") for label in labels]
    most = max(8, int(max(map(len, plain)) * inches / widest))
    while most > 8:
        cut = {name: short.replace("$", r"\$") for name, short in told_apart(plain, most).items()}
        if max(_width(short, font, figure) for short in cut.values()) <= inches:
            break
        most -= 2
    return [cut[name] if len(name) > most else label for name, label in zip(plain, labels, strict=True)]


def _width(label: str, font: FontProperties, figure: Figure) -> float:
    """Inches that a label takes."""
    canvas: Any = figure.canvas
    if not hasattr(canvas, "get_renderer"):
        return 0.0075 * font.get_size_in_points() * len(label)
    drawn = label.replace(r"\$", "$")
    return float(canvas.get_renderer().get_text_width_height_descent(drawn, font, False)[0]) / float(figure.dpi)
