"""Quantities that are never negative, printed with their error or as not resolved."""

from __future__ import annotations

import math

from landscape.results.base import Estimate
from landscape.rounding import format_resolved


def half_interval(found: Estimate, level: float = 0.95) -> float | None:
    """How far the interval of this level reaches, on its longer side; None where the estimate has no error."""
    if found.error is None:
        return None
    low, high = found.interval(level)
    return max(found.value - low, high - found.value)


def resolved(found: Estimate, *, most: float = math.inf, scale: float = 1.0, unit: str = "") -> str:
    """The estimate ± half its 95 % interval, times ``scale``, or that it is not resolved.

    Parameters
    ----------
    most : float
        The largest value that the quantity can have, before scaling; the smallest is 0.
    """
    reach = half_interval(found)
    return format_resolved(scale * found.value, None if reach is None else scale * reach, most=scale * most, unit=unit)
