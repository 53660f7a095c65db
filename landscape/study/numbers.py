"""How the sentences of a study print numbers: with intervals where those show, shares in per cent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from landscape.comparison import centre_of
from landscape.plots.drawing import join_words
from landscape.rounding import format_brief, format_value
from landscape.statistics import CANNOT_TELL, DIFFERENT, OPEN, mean_interval
from landscape.store.catalogue import MEASURES

#: Numbers that differ by less, relative to the larger, are one to the digits shown.
SAME = 1e-4


def unit_of(measure: str) -> tuple[float, str]:
    """The factor and the unit of a difference: shares differ by percentage points."""
    return (100.0, " points") if MEASURES[measure].is_share else (1.0, "")


def interval_of(row: Any) -> str:
    if not MEASURES[row["measure"]].is_share:
        return centre_of(row).interval()
    mean, low, high = (f"{100 * row[key]:.1f}" for key in ("mean", "low", "high"))
    return f"{mean} % [{low}, {high}]" if row["high"] - row["low"] > SAME * abs(row["mean"]) else f"{mean} %"


def centre_text(row: Any) -> str:
    return str(centre_of(row))


def over_seeds(values: Sequence[float]) -> str:
    """Mean ± half its 95 % interval."""
    mean, low, _, _ = mean_interval(values)
    return plus_minus(mean, mean - low)


def plus_minus(mean: float, half: float) -> str:
    """Without an interval where there is none, or it is below the digits shown."""
    return format_brief(mean, half) if half > SAME * abs(mean) else format_value(mean)


def two_decimals(value: float) -> str:
    """Two decimals, zero without a sign."""
    return f"{round(value, 2) + 0.0:.2f}"


def number(value: float, digits: int = 3) -> str:
    return format_value(float(value), digits=digits)


def verdicts(rows: pd.DataFrame) -> str:
    """``2 with a difference and 4 not distinguishable, of 6``."""
    counts = rows["verdict"].value_counts()
    words = {DIFFERENT: "with a difference", OPEN: "not distinguishable", CANNOT_TELL: "where this design cannot tell"}
    listed = join_words([f"{counts[verdict]} {text}" for verdict, text in words.items() if verdict in counts])
    return f"{listed}, of {len(rows)}"
