"""What a slice says of how it was evaluated: at every point, or at few, with an error between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from landscape.results.base import Array
from landscape.rounding import format_value


class Evaluated(Protocol):
    """A slice with what it took."""

    @property
    def loss(self) -> Array: ...
    @property
    def error(self) -> float: ...
    @property
    def num_evaluations(self) -> int: ...
    @property
    def reason(self) -> str: ...


def error_of_range(one: Evaluated) -> float:
    """The stated error, of the range of the loss on the grid; NaN where that has none."""
    finite = one.loss[np.isfinite(one.loss)]
    spread = float(np.ptp(finite)) if finite.size else 0.0
    return one.error / spread if spread > 0 else 0.0 if one.error == 0 else float("nan")


def is_interpolated(one: Evaluated) -> bool:
    """Whether the network was evaluated at fewer points than there are."""
    return 0 < one.num_evaluations < one.loss.size


def evaluation_words(one: Evaluated) -> str:
    """``from 169 evaluations, error ≤ 0.4 % of the range``; empty where every point was evaluated."""
    if not is_interpolated(one):
        return ""
    return f"from {one.num_evaluations} evaluations, error ≤ {_percent(error_of_range(one))} of the range"


def evaluation_lines(one: Evaluated) -> list[tuple[str, str]]:
    """(label, text) pairs, for a record's text."""
    words = evaluation_words(one)
    lines = [("evaluated", words)] if words else []
    return [*lines, ("", one.reason)] if one.reason else lines


def evaluation_sentence(slices: Sequence[Evaluated]) -> str:
    """The same of several slices, with a space in front; empty where every point of each was evaluated."""
    found = [one for one in slices if is_interpolated(one)]
    if not found:
        return ""
    counts = sorted({one.num_evaluations for one in found})
    reach = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    worst = max(error_of_range(one) for one in found)
    each = " each" if len(found) > 1 else ""
    return (
        f" The network was evaluated at {reach} points{each} and its outputs interpolated: errors of the loss are at "
        f"most {_percent(worst)} of its range."
    )


def _percent(share: float) -> str:
    # Rounded up, since it is a bound.
    return f"{format_value(100 * share * (1 + 5e-3), digits=2)} %" if np.isfinite(share) else "unknown"
