"""What a reader takes away, in a few sentences computed from the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape import comparison
from landscape.plots.drawing import join_words
from landscape.rounding import format_brief, format_value
from landscape.store import Results, RunResults
from landscape.store.catalogue import IN_HEADLINE, IN_LISTS, MEASURES, read
from landscape.store.metrics import ACCURACY, read_metric

MOST_RUNS = 3  # that get a sentence of their own
#: Group and measure → the row of the comparison.
Table = dict[tuple[Any, str], Any]


def headline(results: Results) -> list[str]:
    """A few sentences that a reader takes away, computed from the numbers."""
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
    orders = {measure: found for measure in IN_HEADLINE if len(found := _order(table, groups, measure)) > 1}
    sentences = []
    if "lambda_max" in orders:
        differ = comparison.losses_differ(frame)
        sentences += _by_lambda_max(table, orders["lambda_max"], differ)
        sentences += _at_equal_loss(results) if differ else []
    for measure in IN_LISTS:
        if measure in orders:
            values = ", ".join(f"{group} {_centre(table[group, measure])}" for group in orders[measure])
            bound = " (lower bounds)" if MEASURES[measure].is_bound else ""
            sentences.append(f"{MEASURES[measure].words.capitalize()}{bound}, flattest first: {values}.")
    sentences += _agreement(orders)
    gains = [f"{g} {_centre(table[g, 'second_order_gain'])}" for g in groups if (g, "second_order_gain") in table]
    if gains:
        sentences.append(
            f"A damped Newton step on the whole data promises so many times the decrease of a gradient step: "
            f"{', '.join(gains)}."
        )
    accuracies = [f"{g} {100 * table[g, ACCURACY]['mean']:.1f} %" for g in groups if (g, ACCURACY) in table]
    if accuracies:
        saved = any(read_metric(run.last, ACCURACY).is_saved for run in measured)
        sentences.append(f"Test accuracy{', as training saved it' if saved else ''}: {', '.join(accuracies)}.")
    fewest = int(frame["n"].min())
    if fewest < comparison.FEW_SEEDS:
        sentences.append(
            f"{fewest} seed{'s say' if fewest > 1 else ' says'} little about others: where intervals overlap, "
            "the order may be chance. That a minimum is flatter is not a generalization claim."
        )
    return sentences


def _order(table: Table, groups: list[Any], measure: str) -> list[Any]:
    """The groups that have the measure, flattest first."""
    there = [g for g in groups if (g, measure) in table and np.isfinite(table[g, measure]["mean"])]
    return sorted(there, key=lambda group: comparison.centre_of(table[group, measure]).value)


def _by_lambda_max(table: Table, order: list[Any], differ: str) -> list[str]:
    """Who ended flattest and sharpest; ``differ`` says where their training losses are not equal."""
    first, last = (table[group, "lambda_max"] for group in (order[0], order[-1]))
    values = ", ".join(f"{group} {_centre(table[group, 'lambda_max'])}" for group in order)
    but = f", but at {differ}, which curvature follows: this order may be theirs" if differ else ""
    return [
        f"By the largest Hessian eigenvalue, {order[0]} ended in the flattest minima and {order[-1]} in the "
        f"sharpest ({_scale(first)}: {values}){but}.",
        *_overlap(first, last),
    ]


def _at_equal_loss(results: Results) -> list[str]:
    """The same comparison where checkpoints on the way were measured at about one training loss, or how to get it."""
    found = comparison.at_equal_loss(results)
    if found is None:
        return [f"No measured checkpoints have equal training losses: {comparison.HOW}."]
    values = ", ".join(f"{group} {centre}" for group, centre in found.means.items())
    losses = " to ".join(dict.fromkeys(format_value(loss, digits=2) for loss in (found.low, found.high)))
    return [f"At equal training loss ({losses}, at checkpoints on the way) λ_max is, flattest first: {values}."]


def _of_one_group(results: Results) -> list[str]:
    """The means over seeds, where there is nothing to compare them with."""
    rows = {str(row["measure"]): row for _, row in comparison.compare(results, by="label").iterrows()}
    parts = [f"{MEASURES[measure].words} {_centre(rows[measure])}" for measure in IN_HEADLINE if measure in rows]
    if not parts:
        return []
    first = next(row for measure, row in rows.items() if measure in IN_HEADLINE)
    return [f"{first['group']}, {first['n']} runs, {_scale(first)}: {join_words(parts)}."]


def _overlap(low: Any, high: Any) -> list[str]:
    """Whether the intervals of the flattest and the sharpest group settle their order."""
    below, above = comparison.centre_of(low), comparison.centre_of(high)
    if not np.isfinite([below.high, above.low]).all():
        return []
    settled = "do not overlap" if below.high < above.low else "overlap, so these seeds do not settle even that order"
    return [f"Their intervals, of {low['group']} and {high['group']}, {settled}."]


def _scale(row: Any) -> str:
    """What stands behind the numbers of a comparison."""
    if row["scale"] == comparison.LOG:
        return "geometric mean over seeds ×/÷ the factor to the ends of its 95 % interval"
    return "mean over seeds ± half its 95 % interval"


def _agreement(orders: dict[str, list[Any]]) -> list[str]:
    if len(orders) < 2:
        return []
    flattest: dict[Any, list[str]] = {}
    for measure, order in orders.items():
        flattest.setdefault(order[0], []).append(MEASURES[measure].words)
    if len(flattest) == 1:
        return [f"All {len(orders)} flatness measures agree on {next(iter(flattest))} as the flattest."]
    parts = [f"{group} by {join_words(names)}" for group, names in flattest.items()]
    return [f"The flatness measures disagree on which is flattest: {'; '.join(parts)}."]


def _of_one_run(run: RunResults) -> str:
    top, tr, worst = (read(run.last, key) for key in ("lambda_max", "trace", "sharpness_worst"))
    parts = []
    if top is not None:
        parts.append(f"λ_max = {format_brief(top.value, top.error)}")
    if tr is not None:
        parts.append(f"a trace of {format_brief(tr.value, tr.error)}")
    if worst is not None:
        parts.append(f"a worst-case rise of at least {format_value(worst.value, digits=3)}")
    return f"{run.name or 'This run'} ended, at step {run.last.step}, with {join_words(parts) or 'nothing measured'}."


def _centre(row: Any) -> str:
    return str(comparison.centre_of(row))
