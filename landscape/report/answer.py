"""What was asked, and the answer in a sentence: the first lines of the page."""

from __future__ import annotations

import math
from typing import Any

from landscape import comparison
from landscape.comparison import Centre, EqualLoss
from landscape.plots.arrays import group_word
from landscape.plots.drawing import join_words
from landscape.rounding import format_value
from landscape.store import Results
from landscape.store.stationarity import MINIMUM, UNKNOWN, stationary

#: Groups named with their numbers; of more, the flattest and the sharpest.
_MOST = 4


def question(results: Results) -> str:
    """What these runs can say something about."""
    runs, groups = [run for run in results.runs if run.checkpoints], labels_of(results)
    at_rest = ends_word(results) == "minima"
    if len(groups) > 1:
        return (
            f"Which {group_word(runs)} ended {'in the flattest minimum' if at_rest else 'where the loss is flattest'}?"
        )
    what = f" of {next(iter(groups))}" if groups else ""
    if len(runs) > 1:
        return f"How flat are the {'minima' if at_rest else 'end points'}{what}?"
    return f"How flat is {'the minimum' if at_rest else 'the loss at the end'}{what}?"


def labels_of(results: Results) -> set[str]:
    """Of the groups in which something was measured."""
    return {run.label for run in results.runs if run.checkpoints and run.label is not None}


def ends_word(results: Results) -> str:
    """``minima``, or ``end points`` where it is known of one that it is none."""
    kinds = {stationary(run.last).kind for run in results.runs if run.checkpoints}
    return "minima" if kinds <= {MINIMUM, UNKNOWN} else "end points"


def answer(results: Results, matched: EqualLoss) -> tuple[str, str]:
    """The answer, and its numbers with how sure they are; both empty where no two groups are there.

    Groups are ranked at one training loss alone, or where they stopped at losses that do not differ.
    """
    if len(labels_of(results)) < 2:
        return "", ""
    order = matched.centres("lambda_max")
    if len(order) > 1:
        return _ranked(order, f"at a training loss of {format_value(matched.level, digits=3)}")
    frame = comparison.compare(results, by="label")
    ends = {g: c for g, c in comparison.centres_of(frame, "lambda_max").items() if math.isfinite(c.value)}
    ends = dict(sorted(ends.items(), key=lambda pair: pair[1].value))
    if len(ends) < 2:
        return "", ""
    if differ := comparison.losses_differ(frame):
        return (
            f"These runs do not say: they stopped at {differ}.",
            f"Curvature follows the loss, and there is none at which to compare them: {matched.reason}.",
        )
    return _ranked(ends, "where training stopped")


def _ranked(order: dict[Any, Centre], where: str) -> tuple[str, str]:
    """The flattest, every other beside it, and whether the intervals of the first two settle it."""
    (first, low), (second, high), *_ = order.items()
    others = [f"{group} has {centre}" for group, centre in list(order.items())[1:]]
    if len(order) > _MOST:
        others = [others[0], f"the sharpest of {len(order)}, {next(reversed(order))}, has {list(order.values())[-1]}"]
    said = f"Its largest Hessian eigenvalue is {low}; {join_words(others)}."
    if not all(map(math.isfinite, (low.high, high.low))):
        sure = "One run of a group says nothing about another seed: no interval can be given."
    elif low.high < high.low:
        sure = f"The 95 % intervals of {first} and {second} do not overlap."
    else:
        sure = f"The 95 % intervals of {first} and {second} overlap: other seeds could change the order."
    return f"{first}, {where}.", f"{said} {sure}"
