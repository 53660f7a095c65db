"""Positions on a picture, each with its name where no other name, mark or edge is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox

from landscape.plots.labels import figure_text
from landscape.plots.paper_styles import letters
from landscape.results.base import Array

#: Where a name may stand, in points from its mark, with the alignment that goes with it; the first is preferred.
_PLACES: tuple[tuple[float, float, str, str], ...] = (
    (5, 5, "left", "bottom"), (5, -5, "left", "top"), (-5, 5, "right", "bottom"), (-5, -5, "right", "top"),
    (0, 7, "center", "bottom"), (0, -7, "center", "top"), (7, 0, "left", "center"), (-7, 0, "right", "center"),
    (10, 14, "left", "bottom"), (10, -14, "left", "top"), (-10, 14, "right", "bottom"), (-10, -14, "right", "top"),
)  # fmt: skip
_MARK = 4.0  # half the size of a mark, in points
_SWEEPS = 4
_LOOKS = ("o", "s", "^", "D", "v", "P", "X", "h")


def draw_marks(ax: Axes, names: Sequence[str], points: Array, *, notes: Sequence[str] | None = None) -> None:
    """A mark and a name at each point (S, 2), white with a black edge, so that they are seen on any colour.

    Parameters
    ----------
    notes : sequence of str, optional
        A second line below each name, such as the loss there.
    """
    for i, point in enumerate(points):
        look: dict[str, Any] = {"color": "white", "markeredgecolor": "black", "markersize": 5, "markeredgewidth": 0.9}
        ax.plot(*point, _LOOKS[i % len(_LOOKS)], zorder=6, **look)
    label_points(ax, [f"{name}\n{note}" if note else name for name, note in zip(names, notes or [""] * len(names),
                                                                                strict=True)], points)  # fmt: skip


def label_points(ax: Axes, texts: Sequence[str], points: Array) -> None:
    """Names beside points; of the places around each the one that overlaps least with what is there already."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    if not hasattr(figure.canvas, "get_renderer"):
        FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # limits and aspect are settled now
    canvas: Any = figure.canvas
    renderer = canvas.get_renderer()
    frame, scale = ax.get_window_extent(renderer), figure.dpi / 72
    at = ax.transData.transform(np.asarray(points, dtype=float).reshape(-1, 2))
    half = _MARK * scale
    taken = [Bbox([[x - half, y - half], [x + half, y + half]]) for x, y in at]
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
    names, sizes = [], []
    for text, point in zip(texts, np.asarray(points), strict=True):
        shown = "\n".join(figure_text(part) for part in text.split("\n"))
        drawn = ax.annotate(
            shown, tuple(point), xytext=(5, 5), textcoords="offset points", fontsize=letters(6), zorder=7, bbox=box,
            annotation_clip=False,
        )  # fmt: skip
        extent = drawn.get_window_extent(renderer)
        names.append(drawn)
        sizes.append((extent.width, extent.height))
    chosen = _arranged(at, sizes, taken, frame, scale)
    for drawn, (right, up, across, along) in zip(names, chosen, strict=True):
        drawn.set(position=(right, up), ha=across, va=along)


def _arranged(
    at: Array, sizes: Sequence[tuple[float, float]], marks: Sequence[Bbox], frame: Bbox, scale: float
) -> list[tuple[float, float, str, str]]:
    """A place for each name; chosen again when all others have theirs, so that the first does not block the last."""
    boxes: list[Bbox | None] = [None] * len(at)
    chosen = [_PLACES[0]] * len(at)
    for _ in range(_SWEEPS):
        for i, ((x, y), (width, height)) in enumerate(zip(at, sizes, strict=True)):
            taken = [*marks, *(other for j, other in enumerate(boxes) if j != i and other is not None)]
            costs = [_cost(_box(x, y, place, width, height, scale), taken, frame) for place in _PLACES]
            chosen[i] = _PLACES[int(np.argmin(costs))]
            boxes[i] = _box(x, y, chosen[i], width, height, scale)
    return chosen


def _box(x: float, y: float, place: tuple[float, float, str, str], width: float, height: float, scale: float) -> Bbox:
    """Where the text would stand, in pixels."""
    right, up, across, along = place
    left = x + right * scale - {"left": 0.0, "center": 0.5, "right": 1.0}[across] * width
    low = y + up * scale - {"bottom": 0.0, "center": 0.5, "top": 1.0}[along] * height
    return Bbox([[left, low], [left + width, low + height]])


def _cost(box: Bbox, taken: Sequence[Bbox], frame: Bbox) -> float:
    """Area that is covered twice, and more for what leaves the frame."""
    inside = Bbox.intersection(box, frame)
    area = box.width * box.height
    outside = area - (inside.width * inside.height if inside is not None else 0.0)
    covered = 0.0
    for other in taken:
        if (both := Bbox.intersection(box, other)) is not None:
            covered += both.width * both.height
    return covered + 3 * outside
