"""How far a slice goes, in both units that say something: the length of its direction, and that of θ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from landscape.rounding import format_value

if TYPE_CHECKING:
    from landscape.results.surface import LineSlice, PlaneSlice


def reaches(one: LineSlice | PlaneSlice) -> list[tuple[float, float, float]]:
    """Of each axis: the radius in lengths of its column, as a distance, and as a share of ‖θ‖ (NaN where unknown)."""
    is_line = hasattr(one, "t")
    axes: list[Any] = [getattr(one, name) for name in ("t" if is_line else "xy")]
    lengths: list[float] = [one.step_norm] if hasattr(one, "step_norm") else one.step_norms.tolist()
    found = []
    for axis, length in zip(axes, lengths, strict=True):
        radius = float(abs(axis).max())
        share = radius * length / one.param_norm if one.param_norm > 0 else math.nan
        found.append((radius, radius * length, share))
    return found


def reach_words(one: LineSlice | PlaneSlice) -> str:
    """``0.44 lengths, 1.4 in θ (0.12 ‖θ‖)``, without lengths where these are 1; along x and y where they differ."""
    said = []
    for radius, distance, share in reaches(one):
        of_theta = f" ({format_value(share, digits=2)} ‖θ‖)" if math.isfinite(share) else ""
        lengths = "" if math.isclose(radius, distance, rel_tol=1e-3) else f"{format_value(radius, digits=3)} lengths, "
        said.append(f"{lengths}{format_value(distance, digits=3)} in θ{of_theta}")
    return said[0] if len(set(said)) == 1 else f"x: {said[0]}; y: {said[1]}"


def reach_lines(one: LineSlice | PlaneSlice) -> list[tuple[str, str]]:
    """(label, text) pairs, for a record's text; none of a line between two minima, nor of older records."""
    if not math.isfinite(one.param_norm):
        return []
    lines = [("radius", reach_words(one))]
    return [*lines, ("", one.radius_words)] if one.radius_words else lines
