"""What a reader takes away, in a few sentences computed from the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from landscape import comparison
from landscape.plots.drawing import join_words
from landscape.report import equal_loss
from landscape.report.agreement import agreement, runs_at, runs_at_ends
from landscape.rounding import format_brief, format_value
from landscape.store import Results, RunResults
from landscape.store.catalogue import IN_HEADLINE, IN_LISTS, MEASURES, read
from landscape.store.metrics import ACCURACY, read_metric
from landscape.store.stationarity import UNKNOWN, kinds_sentence, stationary

MOST_RUNS = 3  # that get a sentence of their own
#: Group and measure → the row of the comparison.
Table = dict[tuple[Any, str], Any]
#: Group → where it lies, lowest first.
Centres = dict[Any, comparison.Centre]


def headline(results: Results, matched: comparison.EqualLoss | None = None) -> list[str]:
    """A few sentences that a reader takes away, computed from the numbers; ``matched`` where that is known already."""
    measured = [run for run in results.runs if run.checkpoints]
    if not measured:
        return ["Nothing was measured."]
    labels = {run.label for run in measured}
    if len(labels - {None}) < 2:
        more = len(measured) - MOST_RUNS
        rest = [f"The table has {more} more run{'s' if more > 1 else ''}."] if more > 0 else []
        together = _of_one_group(results) if len(measured) > 1 and None not in labels else []
        return [*together, *map(_of_one_run, measured[:MOST_RUNS]), *rest]
    frame = comparison.compare(results, by="label")
    table: Table = {(row["group"], str(row["measure"])): row for _, row in frame.iterrows()}
    groups = list(dict.fromkeys(frame["group"]))
    ends = {measure: _order(table, groups, measure) for measure in IN_HEADLINE}
    ends = {measure: order for measure, order in ends.items() if len(order) > 1}
    sentences = _comparisons(results, matched or comparison.at_equal_loss(results), frame, table, ends)
    if stopped := kinds_sentence(run.last for run in measured):
        sentences.append(stopped)
    gains = [f"{g} {_centre(table[g, 'second_order_gain'])}" for g in groups if (g, "second_order_gain") in table]
    if gains:
        sentences.append(
            "At equal cost in products, a damped Newton step lowers the quadratic model of the whole data so many "
            f"times as much as gradient descent: {', '.join(gains)}."
        )
    accuracies = [f"{g} {100 * table[g, ACCURACY]['mean']:.1f} %" for g in groups if (g, ACCURACY) in table]
    if accuracies:
        saved = any(read_metric(run.last, ACCURACY).is_saved for run in measured)
        sentences.append(f"Test accuracy{', as training saved it' if saved else ''}: {', '.join(accuracies)}.")
    fewest = int(frame["n"].min())
    if fewest < comparison.FEW_SEEDS:
        sentences.append(
            f"{fewest} seed{'s say' if fewest > 1 else ' says'} little about others: where intervals overlap, "
            "the order may be chance. That one is flatter is not a generalization claim."
        )
    return sentences


def _order(table: Table, groups: list[Any], measure: str) -> Centres:
    """The groups that have the measure, flattest first."""
    there = {g: comparison.centre_of(table[g, measure]) for g in groups if (g, measure) in table}
    finite = [(g, centre) for g, centre in there.items() if np.isfinite(centre.value)]
    return dict(sorted(finite, key=lambda item: item[1].value))


def _comparisons(
    results: Results, matched: comparison.EqualLoss, frame: Any, table: Table, ends: dict[str, Centres]
) -> list[str]:
    """At equal training loss first, by every measure that is there; then where training stopped, with its losses.

    Ends of unequal loss are not ranked; where nothing can be read at one loss, it is said why, and what to do.
    """
    differ = comparison.losses_differ(frame)
    there = {measure: order for measure in IN_HEADLINE if len(order := matched.centres(measure)) > 1}
    sentences = [*equal_loss.at_equal_loss(matched), *_lists(there, "there"), *agreement(there, runs_at(matched))]
    if not there and differ:
        sentences.append(f"The groups stopped at {differ}, and cannot be compared at one: {matched.reason}.")
    if "lambda_max" not in ends or matched.by_match:
        return sentences
    if differ:
        losses = {group: table[group, "train_loss"] for group in ends["lambda_max"] if (group, "train_loss") in table}
        return [*sentences, equal_loss.where_training_stopped(ends["lambda_max"], losses)]
    return [*sentences, *_of_ends(table, ends, runs_at_ends(results), again=bool(there))]


def _of_ends(table: Table, ends: dict[str, Centres], runs_at_end: pd.DataFrame, *, again: bool) -> list[str]:
    """Who stopped flattest and sharpest, at about one training loss."""
    order = ends["lambda_max"]
    values = ", ".join(f"{group} {centre}" for group, centre in order.items())
    scale = equal_loss.words_of_scale(next(iter(order.values())).scale)
    first, *_, last = order
    sentences = [
        f"By the largest Hessian eigenvalue where training stopped, {first} is flattest and {last} sharpest ({scale}: "
        f"{values}).",
        *_overlap(table[first, "lambda_max"], table[last, "lambda_max"]),
    ]
    return sentences if again else [*sentences, *_lists(ends, ""), *agreement(ends, runs_at_end)]


def _lists(orders: dict[str, Centres], where: str) -> list[str]:
    """The other measures, group by group."""
    said = []
    for measure in IN_LISTS:
        if measure in orders:
            values = ", ".join(f"{group} {centre}" for group, centre in orders[measure].items())
            bound = " (lower bounds)" if MEASURES[measure].is_bound else ""
            place = f" {where}" if where else ""
            said.append(f"{MEASURES[measure].words.capitalize()}{place}{bound}, flattest first: {values}.")
    return said


def _of_one_group(results: Results) -> list[str]:
    """The means over seeds, where there is nothing to compare them with."""
    rows = {str(row["measure"]): row for _, row in comparison.compare(results, by="label").iterrows()}
    parts = [f"{MEASURES[measure].words} {_centre(rows[measure])}" for measure in IN_HEADLINE if measure in rows]
    if not parts:
        return []
    first = next(row for measure, row in rows.items() if measure in IN_HEADLINE)
    return [f"{first['group']}, {first['n']} runs, {equal_loss.words_of_scale(first['scale'])}: {join_words(parts)}."]


def _overlap(low: Any, high: Any) -> list[str]:
    """Whether the intervals of the flattest and the sharpest group settle their order."""
    below, above = comparison.centre_of(low), comparison.centre_of(high)
    if not np.isfinite([below.high, above.low]).all():
        return []
    settled = "do not overlap" if below.high < above.low else "overlap, so these seeds do not settle even that order"
    return [f"Their intervals, of {low['group']} and {high['group']}, {settled}."]


def _of_one_run(run: RunResults) -> str:
    top, tr, worst = (read(run.last, key) for key in ("lambda_max", "trace", "sharpness_worst"))
    parts = []
    if top is not None:
        parts.append(f"λ_max = {format_brief(top.value, top.error)}")
    if tr is not None:
        parts.append(f"a trace of {format_brief(tr.value, tr.error)}")
    if worst is not None:
        parts.append(f"a worst-case rise of at least {format_value(worst.value, digits=3)}")
    kind = stationary(run.last).kind
    what = "" if kind == UNKNOWN else f": {kind}"
    with_ = join_words(parts) or "nothing measured"
    return f"{run.name or 'This run'} ended, at step {run.last.step}, with {with_}{what}."


def _centre(row: Any) -> str:
    return str(comparison.centre_of(row))
