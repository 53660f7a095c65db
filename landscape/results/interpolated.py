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
    @property
    def num_drawn(self) -> int: ...
    @property
    def num_examples(self) -> int: ...


def error_of_range(one: Evaluated) -> float:
    """The stated error, of the range of the loss on the grid; NaN where that has none."""
    finite = one.loss[np.isfinite(one.loss)]
    spread = float(np.ptp(finite)) if finite.size else 0.0
    return one.error / spread if spread > 0 else 0.0 if one.error == 0 else float("nan")


def is_interpolated(one: Evaluated) -> bool:
    """Whether the network was evaluated at fewer points than there are, or on fewer examples."""
    return one.num_drawn > 0 or 0 < one.num_evaluations < one.loss.size


def evaluation_words(one: Evaluated) -> str:
    """``from 169 evaluations, error ≤ 0.4 % of the range``; empty where every point was evaluated.

    Where examples were drawn: ``from 4,096 of 60,000 examples (work of 6 evaluations), error ≤ 4 % of the range at
    95 %``.
    """
    if not is_interpolated(one):
        return ""
    error = f"error ≤ {_percent(error_of_range(one))} of the range"
    if one.num_drawn:
        return f"from {_drawn(one)} (work of {one.num_evaluations} evaluations), {error} at 95 %"
    return f"from {one.num_evaluations} evaluations, {error}"


def evaluation_lines(one: Evaluated) -> list[tuple[str, str]]:
    """(label, text) pairs, for a record's text."""
    words = evaluation_words(one)
    lines = [("evaluated", words)] if words else []
    return [*lines, ("", one.reason)] if one.reason else lines


def evaluation_sentence(slices: Sequence[Evaluated]) -> str:
    """The same of several slices, with a space in front; empty where every point of each was evaluated."""
    found = [one for one in slices if is_interpolated(one)]
    drawn = [one for one in found if one.num_drawn]
    return _sentence([one for one in found if not one.num_drawn]) + (_sentence_of_drawn(drawn) if drawn else "")


def _sentence(found: Sequence[Evaluated]) -> str:
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


def _sentence_of_drawn(found: Sequence[Evaluated]) -> str:
    fewest, most = (pick(found, key=lambda one: one.num_drawn) for pick in (min, max))
    reach = _drawn(most) if fewest.num_drawn == most.num_drawn else f"{fewest.num_drawn:,} to {_drawn(most)}"
    worst = max(error_of_range(one) for one in found)
    of = f"{len(found)} slices are" if len(found) > 1 else "The loss is"
    return (
        f" {of} of {reach}, drawn at random, whose outputs at few points were interpolated; errors against the loss of "
        f"all, in 95 of 100 draws, are at most {_percent(worst)} of its range."
    )


def _drawn(one: Evaluated) -> str:
    return f"{one.num_drawn:,} of {one.num_examples:,} examples"


def _percent(share: float) -> str:
    # Rounded up, since it is a bound.
    return f"{format_value(100 * share * (1 + 5e-3), digits=2)} %" if np.isfinite(share) else "unknown"
