"""One record and what is known of it: its key, whether a stored one serves, how it was measured, how accurate it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landscape.analysis.asking import THOROUGHNESS, limit
from landscape.analysis.context import CheckpointContext
from landscape.analysis.costs import Cost
from landscape.analysis.plan import Plan
from landscape.analysis.presets import COUNTS, PRESETS
from landscape.analysis.quantities import Quantity, quantities_at
from landscape.checkpoints import Checkpoint
from landscape.errors import LandscapeError
from landscape.objective import Objective
from landscape.results import Eigenpairs, Record, Sharpness
from landscape.store import ResultStore

RECORD_VERSION = 3  # raised where a quantity's meaning changes, so that older records are measured again
#: Kinds of sharpness that are measured by products.
_BY_PRODUCTS = ("lambda_max", "trace", "relative_flatness", "fisher_rao")


@dataclass(frozen=True)
class Found:
    """What there is of a quantity: an answer to what is asked now, or a record that is not as accurate.

    Attributes
    ----------
    answer, coarser : Record or None
    fields : dict
        The settings by which that record was measured.
    """

    answer: Record | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    coarser: Record | None = None


def question_of(plan: Plan) -> dict[str, str]:
    """What a plan asks, apart from how thoroughly and with what: answers to another question stand in no table with it.

    >>> question_of(Plan("quick", examples=64, workers=2))
    {'examples': '64', 'seed': '0'}
    """
    elsewhere = {
        *PRESETS[plan.plan], *COUNTS[max(COUNTS)], "tol", "time", "plan", "seed", "device", "workers", "threads",
        "data", "chunk", "route", "batch_statistics", "check", "pairs", "every",
    }  # fmt: skip
    usual = Plan(plan.plan).fields()
    fields = {n: v for n, v in plan.fields().items() if n not in elsewhere and v and v != usual[n]}
    return {name: str(value) for name, value in fields.items()} | ({"seed": str(plan.seed)} if plan.examples else {})


def question_at(checkpoint: Checkpoint, context: CheckpointContext) -> dict[str, Any]:
    """What makes two records of a checkpoint answers to one question."""
    config = context.plan.problem_config
    return {
        **context.question, "params": checkpoint.params_sha256,
        "problem": [checkpoint.problem, checkpoint.problem_config if config is None else config],
        "version": RECORD_VERSION, **({"interacting": True} if context.interacting else {}),
    }  # fmt: skip


def key_of(quantity: Quantity, question: Mapping[str, Any], context: CheckpointContext) -> dict[str, Any]:
    """What must agree for a record to be used again: its settings, those of what it rests on, and the question."""
    fields: dict[str, Any] = {}
    for name in quantity.rests_on:
        fields |= context.fields.get(name, {})
    key = {"fields": {**fields, **quantity.fields}, **question}
    key |= {"test": context.test_data} if quantity.on_test_data else {}
    key |= {"optimizer": context.optimizer_digest} if quantity.of_optimizer else {}
    key |= {"ends": [c.params_sha256 for c in context.ends or ()]} if quantity.of_ends else {}
    return key | {"path": [c.params_sha256 for c in context.path]} if quantity.of_path else key


def stored(
    store: ResultStore, run: str, step: int, quantity: Quantity, key: dict[str, Any], context: CheckpointContext
) -> Found:
    """The record with this key; else one that is as accurate as asked; else one that is less so.

    On a time, what is no number to be improved is left as it is once it is there, though its eigenpairs have moved.
    """
    name = quantity.name
    if (record := store.find(run, step, name, key)) is not None:
        return Found(record, key["fields"])
    has_number = quantity.asked is not None and not quantity.is_picture
    is_left_alone = not has_number and context.plan.time is not None and quantity.cost.products > 0
    if quantity.asked is None and not is_left_alone:
        return Found()
    ignored = THOROUGHNESS if is_left_alone or quantity.asked is None else quantity.asked.way.ignores
    near = store.find(run, step, name, key, serves=lambda other, _: _same_but_for(ignored, key, other))
    if near is None:
        return Found()
    fields = (store.provenance(run, step, name) or {})["key"]["fields"]
    if is_left_alone or quantity.asked is None or quantity.asked.is_met(near, context):
        return Found(near, fields)
    return Found(None, fields, near)


def take_eigenpairs(store: ResultStore, run: str, checkpoint: Checkpoint, context: CheckpointContext) -> None:
    """Of a run's last checkpoint, which another job has measured: where the search begins at the earlier ones.

    Raises
    ------
    LandscapeError
        If they are not stored.
    """
    (quantity,) = (quantity for quantity in quantities_at(context) if quantity.name == "eigenpairs")
    key = key_of(quantity, question_at(checkpoint, context), context)
    found = stored(store, run, checkpoint.step, quantity, key, context)
    if found.answer is None:
        raise LandscapeError(f"the eigenpairs of {Path(checkpoint.path).name} are not stored; analyze the run again")
    context.found[quantity.name], context.fields[quantity.name] = found.answer, found.fields


def with_limit(quantity: Quantity, key: dict[str, Any], context: CheckpointContext) -> dict[str, Any]:
    """The key of a record that has less time than the plan allows: with more, it is measured again."""
    if quantity.asked is None or "max_matvecs" not in quantity.fields:
        return key
    return {**key, "fields": {**key["fields"], "max_matvecs": limit(context, quantity.asked.name)}}


def judged(
    quantity: Quantity, record: Record, how: dict[str, Any], context: CheckpointContext
) -> tuple[Record, dict[str, Any]]:
    """The record and its provenance, with whether it is as accurate as was asked, and if not, why."""
    if quantity.asked is None:
        return record, how
    reached, is_met = quantity.asked.reached(record, context), quantity.asked.is_met(record, context)
    about: dict[str, Any] = {"accuracy": quantity.asked.accuracy, "reached": reached}
    if is_met or not context.is_asked:  # without a time limit for all, or within its round
        record = record if isinstance(record, Eigenpairs) else _converged(record)
        return record, how | {"asked": about, "converged": bool(np.all(getattr(record, "converged", True)))}
    about["why"] = quantity.asked.told(reached, cost_of(record), context)
    return record, how | {"asked": about, "converged": False}


def is_better(quantity: Quantity, record: Record, coarser: Record, context: CheckpointContext) -> bool:
    """Whether a record takes the place of the one that is there."""
    assert quantity.asked is not None
    is_met = quantity.asked.is_met(record, context)
    return is_met or not quantity.asked.reached(record, context) >= quantity.asked.reached(coarser, context)


def cost_of(record: Record) -> Cost:
    """What was spent on it."""
    if isinstance(record, Sharpness):
        parts = float(getattr(record, "cost", math.nan))  # where parts of the data count as such
        spent = parts if math.isfinite(parts) else record.num_evaluations
        return Cost(matvecs=spent) if record.measure in _BY_PRODUCTS else Cost(losses=spent)
    products = float(getattr(record, "products", math.nan))
    return Cost(matvecs=products if math.isfinite(products) else int(getattr(record, "num_matvecs", 0)))


def provenance(
    key: dict[str, Any], record: Record, seconds: float, objective: Objective, *, route: str | None
) -> dict[str, Any]:
    """How a record was measured; ``route`` is None where no Hessian was multiplied by."""
    return {
        "key": key, "seconds": seconds, "matvecs": int(getattr(record, "num_matvecs", 0)),
        "converged": bool(np.all(getattr(record, "converged", True))), "chunk": objective.chunk, "route": route,
        "device": str(objective.device), "created": now(), "dtype": str(objective.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
    }  # fmt: skip


def now() -> str:
    """The time, for provenance."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _converged(record: Any) -> Any:
    """An estimate that ended on a limit, but as accurate as it was to be."""
    return replace(record, converged=True) if getattr(record, "converged", True) is False else record


def _same_but_for(ignored: frozenset[str], key: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two keys ask the same, but for some settings."""

    def rest(of: Mapping[str, Any]) -> dict[str, Any]:
        fields = of.get("fields")
        kept = {n: v for n, v in fields.items() if n not in ignored} if isinstance(fields, dict) else None
        return {**of, "fields": kept}

    return rest(key) == rest(other)
