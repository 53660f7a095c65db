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
        """``9.1 ×/÷ 1.6``, or ``9.1 ± 3.5``: what the interval reaches to on either side."""
        if not math.isfinite(self.value) or math.isnan(self.low):
            return format_brief(self.value, None)
        if self.scale == LOG:
            return format_factor(self.value, math.sqrt(self.high / self.low) if self.low > 0 else math.inf)
        return format_brief(self.value, (self.high - self.low) / 2)

    def interval(self, *, digits: int = 3) -> str:
        """``9.1 [5.6, 14.7]``; the value alone where the interval is narrower than the digits shown."""
        value, low, high = (format_value(x, digits=digits) for x in (self.value, self.low, self.high))
        # Not so for NaN either, where one run has no interval.
        return f"{value} [{low}, {high}]" if self.high - self.low > 1e-4 * abs(self.value) else value


def centre(values: Sequence[float], scale: str, level: float = 0.95) -> Centre:
    """Of the values of one group."""
    found = geometric_interval(values, level) if scale == LOG else mean_interval(values, level)
    return Centre(*found[:3], scale)


def centre_of(row: Any) -> Centre:
    """Of a row that :func:`landscape.comparison.compare` made."""
    names = ("gmean", "gmean_low", "gmean_high") if row["scale"] == LOG else ("mean", "low", "high")
    value, low, high = (float(row[name]) for name in names)
    return Centre(value, low, high, str(row["scale"]))
