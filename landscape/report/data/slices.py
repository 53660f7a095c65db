"""Lines and planes around a run, and lines between runs, small enough to send."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.escaping.control_characters import visible
from landscape.report.data.numbers import listed, short
from landscape.results import LineSlice, PathSlice, PlaneSlice
from landscape.results.base import Array

#: Points of a side of a plane: with few planes, with many, with hundreds.
_SIDES = ((40, 41), (200, 25), (10**9, 17))


def line_entry(line: LineSlice) -> dict[str, Any]:
    """One slice: its points, what its curvature is by derivatives, and the error of its losses."""
    return {
        "direction": visible(line.direction),
        "t": listed(line.t, 6),
        "loss": listed(line.loss),
        "norm": short(line.step_norm, 4),
        "curvature": short(line.curvature),
        "error": short(line.error, 2),
        "agrees": bool(line.curvature_agrees) if np.isfinite(line.curvature) else None,
    }


def most_points(num_planes: int) -> int:
    """How many points of a side a page carries, where it carries so many planes."""
    return next(side for most, side in _SIDES if num_planes <= most)


def plane_entry(plane: PlaneSlice | PathSlice, most: int) -> dict[str, Any] | None:
    """The loss row by row over an even grid; None where nothing of it is finite.

    Of a finer grid every second, third, … point is taken, as it was measured; where no such step meets both ends, the
    values between points are read on straight lines, and ``read`` says so.
    """
    if not np.isfinite(plane.loss).any():
        return None
    rows, between_y = _places(plane.y, most)
    columns, between_x = _places(plane.x, most)
    loss = _at(_at(np.asarray(plane.loss, dtype=float), rows).T, columns).T
    entry = {
        "x": listed([plane.x[0], plane.x[-1]], 6), "y": listed([plane.y[0], plane.y[-1]], 6),
        "columns": len(columns), "rows": len(rows), "loss": listed(loss),
        "measured": [len(plane.x), len(plane.y)], "read": between_x or between_y,
        "directions": [visible(words) for words in plane.directions],
        "error": short(plane.error, 2), "error_log10": short(plane.error_log10, 2),
        "drawn": [plane.num_drawn, plane.num_examples] if plane.num_drawn else None,
    }  # fmt: skip
    if isinstance(plane, PathSlice):
        return entry | {"share": short(plane.explained, 4), "paths": _paths(plane)}
    agrees = bool(plane.curvature_agrees) if np.isfinite(plane.curvature).all() else None
    return entry | {"norms": listed(plane.step_norms), "length": short(plane.param_norm, 4), "agrees": agrees}


def _paths(plane: PathSlice) -> list[dict[str, Any]]:
    return [
        {"name": visible(name), "points": listed(plane.path(name), 5)}
        for name in plane.names
    ]  # fmt: skip


def _places(axis: Array, most: int) -> tuple[Array, bool]:
    """Which places of an even axis are kept, and whether they lie between its points."""
    last = len(axis) - 1
    is_even = last < 2 or np.ptp(np.diff(axis)) <= 1e-6 * np.ptp(axis)
    steps = (step for step in range(1, last + 1) if last % step == 0 and last // step < most)
    step = next(steps, last)
    if is_even and last // max(step, 1) + 1 > min(len(axis), most) // 2:
        return np.arange(0, last + 1, step, dtype=float), False
    count = min(len(axis), most)
    even = np.linspace(axis[0], axis[-1], count)
    return np.interp(even, axis, np.arange(last + 1)), True


def _at(rows: Array, places: Array) -> Array:
    """Rows (n, m) at places (k,) of their index, on straight lines between them."""
    low = np.clip(np.floor(places).astype(int), 0, len(rows) - 1)
    high = np.minimum(low + 1, len(rows) - 1)
    share = (places - low)[:, None]
    with np.errstate(invalid="ignore"):
        mixed = rows[low] * (1 - share) + rows[high] * share
    return np.asarray(np.where(share == 0, rows[low], mixed))
