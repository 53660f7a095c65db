"""On which scale groups are averaged: positive measures on that of factors, by their logarithms; others as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from landscape.rounding import format_brief, format_factor, format_value
from landscape.statistics import geometric_interval, mean_interval
from landscape.store.catalogue import MEASURES

LINEAR, LOG = "linear", "log"


def scale_of(measure: str, values: Sequence[float]) -> str:
    """``"log"`` for a positive measure all of whose values are above zero, else ``"linear"``."""
    return LOG if MEASURES[measure].is_positive and len(values) and min(values) > 0 else LINEAR


@dataclass(frozen=True)
class Centre:
    """Where a group lies: the mean, or on the scale of factors the geometric mean, with the interval of it.

    ``low`` and ``high`` are NaN for a single run.
    """

    value: float
    low: float
    high: float
    scale: str = LINEAR

    def __str__(self) -> str:
        """``9.1 ×/÷ 1.6``, or ``9.1 ± 3.5``: what the interval reaches to on either side; both where that is cut."""
        if not math.isfinite(self.value) or math.isnan(self.low):
            return format_brief(self.value, None)
        if self.scale == LOG:
            return format_factor(self.value, math.sqrt(self.high / self.low) if self.low > 0 else math.inf)
        if abs(self.high + self.low - 2 * self.value) > 1e-6 * (self.high - self.low):
            return self.interval()
        return format_brief(self.value, (self.high - self.low) / 2)

    def interval(self, *, digits: int = 3) -> str:
        """``9.1 [5.6, 14.7]``; the value alone where the interval is narrower than the digits shown."""
        value, low, high = (format_value(x, digits=digits) for x in (self.value, self.low, self.high))
        # Not so for NaN either, where one run has no interval.
        return f"{value} [{low}, {high}]" if self.high - self.low > 1e-4 * abs(self.value) else value


def centre(values: Sequence[float], scale: str, level: float = 0.95, *, measure: str | None = None) -> Centre:
    """Of the values of one group; with the measure, its interval holds nothing that it cannot be."""
    if scale == LOG:
        return Centre(*geometric_interval(values, level)[:3], scale)
    value, low, high, _ = mean_interval(values, level)
    return Centre(value, *possible(measure, low, high), scale)


def possible(measure: str | None, low: float, high: float) -> tuple[float, float]:
    """The ends of an interval without what lies below 0 or above 1, where the measure is a share."""
    if measure is None or not MEASURES[measure].is_share:
        return low, high
    return (low if math.isnan(low) else max(low, 0.0)), (high if math.isnan(high) else min(high, 1.0))


def centres_of(frame: Any, measure: str) -> dict[Any, Centre]:
    """Group → its centre, in the order of the rows that :func:`landscape.comparison.compare` made of a measure."""
    rows = frame[frame["measure"] == measure]
    return {row["group"]: centre_of(row) for _, row in rows.iterrows()}


def centre_of(row: Any) -> Centre:
    """Of a row that :func:`landscape.comparison.compare` made."""
    names = ("gmean", "gmean_low", "gmean_high") if row["scale"] == LOG else ("mean", "low", "high")
    value, low, high = (float(row[name]) for name in names)
    return Centre(value, low, high, str(row["scale"]))
