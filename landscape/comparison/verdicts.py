"""The words for a decision: its interval, what was not told, and what the design could not have told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from landscape.comparison.averages import LOG
from landscape.rounding import format_value
from landscape.statistics import CANNOT_TELL, DIFFERENT

#: Adjusted p below which groups differ, at the level that nobody changed.
ALPHA = 0.05
#: With unlike numbers of runs each pair may be a design of its own: more of them are counted.
_NOTES = 3


def estimate_of(row: Any) -> tuple[float, float, float]:
    """Of a row of :func:`contrasts` the ratio, or the difference on a linear scale, with its simultaneous interval."""
    return float(row.ratio if row.scale == LOG else row.difference), float(row.low), float(row.high)


def interval_text(
    row: Any, number: Callable[[float], str], *, turn: Callable[[float], float] | None = None, between: str = ", ",
    brackets: bool = True,
) -> str:  # fmt: skip
    """``[0.3, 0.9]`` of a row of :func:`contrasts`; empty where there is none.

    An end that the decision excludes is written ``>0`` or ``<1``: the interval ends there and does not hold it.

    Parameters
    ----------
    number : callable
        How an end is printed.
    turn : callable, optional
        What is done to the ends first, such as to name the pair the other way around.
    """
    _, *ends = estimate_of(row)
    if np.isnan(ends).any():
        return ""
    none = 1.0 if row.scale == LOG else 0.0
    low, high = sorted(ends if turn is None else map(turn, ends))
    # Where there is a difference, an end that only rounds to none is not there.
    near = [row.verdict == DIFFERENT and number(end) == number(none) for end in (low, high)]
    below, above = near[0] and low >= none, near[1] and high <= none
    text = f"{'>' * below}{number(low)}{between}{'<' * above}{number(high)}"
    return f"[{text}]" if brackets else text


def verdict_text(row: Any) -> str:
    """``not distinguishable with 5 seeds``, or that the design cannot tell; empty where there is a difference."""
    if row.verdict == DIFFERENT:
        return ""
    if row.verdict == CANNOT_TELL:
        return f"this design cannot tell: its smallest adjusted p is {format_value(row.smallest_p_holm, digits=2)}"
    return f"not distinguishable with {replicates(row)}"


def replicates(row: Any) -> str:
    """``5 seeds``, ``5 runs each``, ``5 and 8 runs``."""
    if row.paired:
        return f"{row.n} seeds"
    return f"{row.n} runs each" if row.n == row.m else f"{row.n} and {row.m} runs"


def design_notes(frame: pd.DataFrame, level: float) -> list[str]:
    """Of rows of :func:`contrasts`: what they could tell at all, and how small a difference they would have found."""
    alpha = round(1 - level, 12)
    tested = frame.dropna(subset=["p"])
    designs: Any = tested.drop_duplicates(["paired", "n", "m", "pairs", "smallest_p_holm"]).itertuples()
    found = []
    for row in designs:
        of = f"With {replicates(row)} and {row.pairs} {'pair' if row.pairs == 1 else 'pairs'} of groups"
        if not row.smallest_p_holm < alpha:
            floor, adjusted = _two(row.smallest_p), _two(row.smallest_p_holm)
            found.append(f"{of} this design cannot tell: p cannot fall below {floor}, adjusted not below {adjusted}.")
        elif np.isfinite(row.detectable):
            unit = "the differences of pairs" if row.paired else "a group"
            found.append(
                f"{of} a difference of {_two(row.detectable)} standard deviations of {unit} is found 4 times in 5 "
                "(simulated, by the rule that decides here)."
            )
    kept = list(dict.fromkeys(found))
    return kept[:_NOTES] + [f"There are {len(kept) - _NOTES} other designs among the pairs."] * (len(kept) > _NOTES)


def _two(value: float) -> str:
    return format_value(float(value), digits=2)
