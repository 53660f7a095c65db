"""Quantities that are never negative, printed with their error or as not resolved."""

from __future__ import annotations

import math

from landscape.results.base import Estimate
from landscape.rounding import format_resolved, format_value, is_resolved


def half_interval(found: Estimate, level: float = 0.95) -> float | None:
    """How far the interval of this level reaches, on its longer side; None where the estimate has no error."""
    if found.error is None:
        return None
    low, high = found.interval(level)
    return max(found.value - low, high - found.value)


def towards_zero(found: Estimate, level: float = 0.95) -> float | None:
    """How far the interval reaches from the value towards zero: skewed samples have one that is longer on one side."""
    if found.error is None:
        return None
    low, high = found.interval(level)
    return found.value - low if found.value >= 0 else high - found.value


def resolved(found: Estimate, *, most: float = math.inf, scale: float = 1.0, unit: str = "") -> str:
    """The estimate ± half its 95 % interval, times ``scale``, both its ends where ± would say too much, or that it is
    not resolved.

    Parameters
    ----------
    most : float
        The largest value that the quantity can have, before scaling; the smallest is 0.
    """
    reach, below = half_interval(found), towards_zero(found)
    value, most = scale * found.value, scale * most
    if reach is None or below is None:
        return format_resolved(value, None, most=most, unit=unit)
    is_skewed = reach >= abs(found.value) and is_resolved(value, scale * below) and scale * reach < most / 2
    if not is_skewed:
        return format_resolved(value, scale * reach, most=most, unit=unit)
    low, high = (format_value(scale * end, digits=2) for end in found.interval(0.95))
    return f"{format_value(value, digits=2)} [{low}, {high}]{unit}"
