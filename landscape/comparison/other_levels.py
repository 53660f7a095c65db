"""Whether the group that is flattest or sharpest at one training loss is so at others."""

from __future__ import annotations

import math
from typing import Any

from landscape.comparison.averages import Centre
from landscape.comparison.equal_loss import EqualLoss
from landscape.rounding import format_value
from landscape.store.catalogue import MEASURES


def other_levels(found: EqualLoss, measure: str = "lambda_max") -> str:
    """Which group lies apart from all others at each level above the headline's; empty where none does anywhere.

    A group lies apart where its interval overlaps with that of no other. These are intervals of single groups, so this
    says less than the contrasts of the headline; it is there because an order at one loss is often another at the next.
    """
    orders = {level: found.centres(measure, level) for level in found.levels}
    orders = {level: order for level, order in orders.items() if len(order) > 1}
    said = {level: _apart(order) for level, order in orders.items()}
    above = [level for level in said if level != found.level]
    if not any(said[level] for level in above):
        return ""
    parts = [f"at {format_value(level, digits=3)} {said[level] or 'none lies apart'}" for level in above]
    return (
        f"At higher training losses, by {MEASURES[measure].symbol} and intervals of single groups: {'; '.join(parts)}."
    )


def _apart(order: dict[Any, Centre]) -> str:
    """``a lies below all others (2.3 ×/÷ 1.12)``, or above, or both; empty where neither."""
    groups = list(order)
    first, last = groups[0], groups[-1]
    parts = []
    if _ends(order[first])[1] < min(_ends(order[g])[0] for g in groups[1:]):
        parts.append(f"{first} lies below all others ({order[first]})")
    if _ends(order[last])[0] > max(_ends(order[g])[1] for g in groups[:-1]):
        parts.append(f"{last} lies above all others ({order[last]})")
    return " and ".join(parts)


def _ends(middle: Centre) -> tuple[float, float]:
    """Of one run, which has no interval, nothing is known."""
    if math.isnan(middle.low):
        return -math.inf, math.inf
    return middle.low, middle.high
