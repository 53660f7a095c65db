"""The sentences of a report on groups at equal training loss, and on where their trainings stopped."""

from __future__ import annotations

from typing import Any

from landscape.comparison import (
    ALPHA,
    CANNOT_TELL,
    DIFFERENT,
    LOG,
    Centre,
    EqualLoss,
    centre_of,
    estimate_of,
    interval_text,
    other_levels,
    where_read,
)
from landscape.rounding import format_value

MOST_PAIRS = 3
FACTORS = "geometric mean over seeds ×/÷ the factor to the ends of its 95 % interval"
LINEAR = "mean over seeds ± half its 95 % interval"


def words_of_scale(scale: str) -> str:
    """What stands behind the numbers of a comparison."""
    return FACTORS if scale == LOG else LINEAR


def at_equal_loss(found: EqualLoss) -> list[str]:
    """The comparison that counts, with its tests and what was left out."""
    order = found.centres("lambda_max")
    if len(order) < 2:
        return []
    values = ", ".join(f"{group} {centre}" for group, centre in order.items())
    scale = words_of_scale(next(iter(order.values())).scale)
    return [
        f"At a training loss of {where_read(found)}, the largest Hessian eigenvalue is, flattest first ({scale}): "
        f"{values}.",
        *_tests(found),
        *([text] if (text := other_levels(found)) else []),
        *found.notes,
    ]


def _tests(found: EqualLoss) -> list[str]:
    rows = found.contrasts[found.contrasts["measure"] == "lambda_max"].dropna(subset=["p_holm"])
    if rows.empty:
        return []
    apart: list[Any] = list(rows[rows["verdict"] == DIFFERENT].itertuples())
    told = f"by an adjusted p below {ALPHA:g}"
    if not apart and (rows["verdict"] == CANNOT_TELL).all():
        floor = format_value(float(rows["smallest_p_holm"].min()), digits=2)
        return [f"These runs cannot tell whether groups differ there: no adjusted p of theirs can be below {floor}."]
    if not apart:
        return [f"None of the {len(rows)} pairs of groups is told apart there {told}." if len(rows) > 1 else
                f"The two are not told apart there {told}."]  # fmt: skip
    named = ", ".join(_pair(row) for row in apart[:MOST_PAIRS])
    more = f" and {len(apart) - MOST_PAIRS} more" if len(apart) > MOST_PAIRS else ""
    return [f"Of {len(rows)} pairs of groups {len(apart)} differ there {told}: {named}{more}."]


def where_training_stopped(order: dict[Any, Centre], losses: dict[Any, Any]) -> str:
    """λ_max at the ends, each beside its loss; no ranking, since these are not equal.

    Parameters
    ----------
    order : dict
        Group → λ_max, lowest first.
    losses : dict
        Group → its row of the training loss.
    """
    there = ", ".join(f"{group} {centre} at a loss of {_loss(losses.get(group))}" for group, centre in order.items())
    scale = words_of_scale(next(iter(order.values())).scale)
    return (
        f"Where training stopped, each at a loss of its own, the largest Hessian eigenvalue is ({scale}): {there}. "
        "That is no ranking: curvature follows the loss."
    )


def _loss(row: Any) -> str:
    return "an unknown size" if row is None else format_value(centre_of(row).value, digits=2)


def _pair(row: Any) -> str:
    sign = "÷" if row.scale == LOG else "−"
    interval = interval_text(row, _three_digits)
    return f"{row.a} {sign} {row.b} = {_three_digits(estimate_of(row)[0])}{f' {interval}' if interval else ''}"


def _three_digits(value: float) -> str:
    return format_value(value, digits=3)
