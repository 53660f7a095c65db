"""One run through all its quantities: each record on disk when it exists, and reused where its key agrees."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landscape.analysis.cache import Opened
from landscape.analysis.context import CheckpointContext
from landscape.analysis.plan import PRESETS, Plan
from landscape.analysis.quantities import Cost, Quantity, applies, quantities
from landscape.analysis.survey import RunFiles
from landscape.checkpoints import Checkpoint
from landscape.errors import ForeignError, LandscapeError, ResultsError, as_ours, traceback_text
from landscape.jobs import Reporter
from landscape.objective import Objective
from landscape.problems import Problem
from landscape.results import Record
from landscape.store import AROUND, ResultStore

NEEDED = ("point", "eigenpairs")  # by the other quantities: without them a checkpoint is not measured
RECORD_VERSION = 2  # raised where a quantity's meaning changes, so that older records are measured again


@dataclass
class Measured:
    """What became of the measuring of a run, or of a pair of runs.

    Attributes
    ----------
    run : str
    measured : bool
        Whether its last checkpoint was measured; of a pair, whether its line was.
    died : bool
        Whether the process that measured it did, or an executor lost it; what it had measured is stored.
    skipped : list of dict
        ``file`` and ``reason`` of what could not be measured, and ``traceback`` where code of others raised.
    """

    run: str
    measured: bool = False
    died: bool = False
    skipped: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Clock:
    """Expected seconds of a job and of what is done of it."""

    reporter: Reporter | None
    total: float = 0.0
    done: float = 0.0
    seconds_per: Cost = field(default_factory=lambda: Cost(0.2, 0.1, 0.03))

    def expected(self, cost: Cost) -> float:
        """Seconds that a cost should take on this machine."""
        rate = self.seconds_per
        return cost.matvecs * rate.matvecs + cost.gradients * rate.gradients + cost.losses * rate.losses

    def show(self, doing: str, ahead: float = 0.0) -> None:
        """Update the reporter; ``ahead`` seconds of the current measurement are done."""
        if self.reporter is not None:
            self.reporter.update(done=self.done + ahead, total=max(self.total, self.done + ahead), doing=doing)

    def calibrate(self, context: CheckpointContext, left: list[Quantity], later: list[Cost]) -> None:
        """Time one loss, gradient and matvec, after one of each to warm up, and expect the rest accordingly."""
        objective, hessian = context.objective, context.hessian
        theta = objective.theta
        self.seconds_per = Cost(
            matvecs=_seconds(lambda: hessian @ theta),
            gradients=_seconds(lambda: objective.gradient(theta)),
            losses=_seconds(lambda: objective.loss(theta)),
        )
        self.total = self.done + sum(self.expected(cost) for cost in [*(q.cost for q in left), *later])


def measure_run(
    store: ResultStore, files: RunFiles, plan: Plan, opened: Opened, reporter: Reporter | None = None
) -> Measured:
    """Measure the last checkpoint first: its eigenvectors are where Lanczos starts at the earlier ones.

    What cannot be measured is listed in the outcome, with the reason, whatever the model, loss or problem raise.

    Raises
    ------
    ResultsError
        If records cannot be stored: to go on would be to measure for nothing.
    """
    clock, outcome = Clock(reporter), Measured(files.run)
    clock.total = sum(clock.expected(cost) for cost in files.expected(plan))
    newest = len(files.files) - 1
    tail = [q.cost for i in range(newest) for q in quantities(plan, is_last=False, is_around=i in files.compared)]
    expected = max(1, int(sum(cost.matvecs for cost in files.expected(plan))))
    guess: np.ndarray | None = None
    last: CheckpointContext | None = None
    for index, file in reversed([*enumerate(files.files)]):
        is_last, is_around = index == newest, index in files.compared
        try:
            checkpoint = opened.checkpoint(file)
            problem = opened.problem(checkpoint, plan)
            objective = objective_of(checkpoint, plan, check=is_last and plan.check, problem=problem)
            stored = store.provenance(files.run, checkpoint.step, "eigenpairs") or {}
            context = CheckpointContext(
                objective, plan, is_last, is_around, guess, stored.get("route", "auto"), expected,
                last, problem, partial(checkpoint.model, problem),
            )  # fmt: skip
            if is_last:  # before its records, which it explains, so that they never stand under an older description
                store.describe_run(files.run, _describe_run(checkpoint, context) | {AROUND: list(files.around)})
            failed = _measure_checkpoint(store, files.run, checkpoint, context, clock, later=tail if is_last else [])
        except ResultsError:
            raise
        except BaseException as error:
            outcome.skipped.append(skipped(f"{files.run}/{Path(file).name}", as_ours(error)))
            if is_last:  # the earlier ones have the same model, loss and data
                return outcome
            continue
        outcome.skipped += [skipped(f"{files.run}/{Path(file).name}: {name}", error) for name, error in failed]
        if is_last:
            guess, outcome.measured = context.eigenpairs.vectors[:, :2], True
            last = context
    return outcome


def objective_of(checkpoint: Checkpoint, plan: Plan, *, check: bool, problem: Problem | None = None) -> Objective:
    """The question that is asked at a checkpoint: on all examples, or on as many as the plan draws from them."""
    options = plan.objective_options() | ({"dtype": getattr(torch, plan.dtype)} if plan.dtype else {})
    whole = checkpoint.objective(problem or plan.problem, data_dir=plan.data, check=check, **options)
    if plan.examples is None or plan.examples >= whole.num_examples:
        return whole
    drawn = np.random.default_rng(plan.seed).choice(whole.num_examples, plan.examples, replace=False)
    return whole.subset(np.sort(drawn))


def question_at(checkpoint: Checkpoint, context: CheckpointContext) -> dict[str, Any]:
    """What makes two records of a checkpoint answers to one question."""
    config = context.plan.problem_config
    return {
        **context.question, "params": checkpoint.params_sha256,
        "problem": [checkpoint.problem, checkpoint.problem_config if config is None else config],
        "version": RECORD_VERSION, **({"interacting": True} if context.interacting else {}),
    }  # fmt: skip


def question_of(plan: Plan) -> dict[str, str]:
    """What a plan asks, apart from how thoroughly and with what: answers to another question stand in no table with it.

    >>> question_of(Plan("quick", examples=64, workers=2))
    {'examples': '64', 'seed': '0'}
    """
    elsewhere = {
        *PRESETS[plan.plan],
        "plan",
        "seed",
        "device",
        "workers",
        "threads",
        "data",
        "chunk",
        "batch_statistics",
        "check",
    }
    usual = Plan(plan.plan).fields()
    fields = {n: v for n, v in plan.fields().items() if n not in elsewhere and v and v != usual[n]}
    return {name: str(value) for name, value in fields.items()} | ({"seed": str(plan.seed)} if plan.examples else {})


def skipped(what: str, error: LandscapeError) -> dict[str, str]:
    """The entry of what could not be measured in the list of such."""
    cause = error.__cause__ if isinstance(error, ForeignError) else None
    trace = {} if cause is None else {"traceback": traceback_text(cause)}
    return {"file": what, "reason": str(error)} | trace


def now() -> str:
    """The time, for provenance."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _measure_checkpoint(
    store: ResultStore, run: str, checkpoint: Checkpoint, context: CheckpointContext, clock: Clock, *, later: list[Cost]
) -> list[tuple[str, LandscapeError]]:
    """Measure what is not stored yet; the quantities that could not be measured, and why, do not stop the others."""
    store.describe_checkpoint(run, checkpoint.step, checkpoint.metrics)
    question = question_at(checkpoint, context)
    todo = quantities(context.plan, is_last=context.is_last, is_around=context.is_around)
    calibrated, failed = not context.is_last, list[tuple[str, LandscapeError]]()
    for index, quantity in enumerate(todo):
        key = {"fields": quantity.fields, **question}
        if quantity.on_test_data:
            if context.test_data is None:
                continue
            key["test"] = context.test_data
        stored = store.find(run, checkpoint.step, quantity.name, key)
        if stored is None:
            try:
                if not applies(quantity, context):
                    continue
                if not calibrated:
                    clock.show(f"{run}  step {checkpoint.step}  timing a matvec")
                    clock.calibrate(context, todo[index:], later)
                    calibrated = True
                stored = measure(store, run, checkpoint.step, quantity, key, context, clock)
            except ResultsError:
                raise
            except BaseException as error:
                if quantity.name in NEEDED:
                    raise
                failed.append((quantity.name, as_ours(error)))
        if stored is not None:
            context.found[quantity.name] = stored
        clock.done += clock.expected(quantity.cost)
    return failed


def measure(
    store: ResultStore,
    run: str,
    step: int,
    quantity: Quantity,
    key: dict[str, Any],
    context: CheckpointContext,
    clock: Clock,
) -> Record:
    """Measure one quantity and put it on disk with its provenance."""
    doing, seconds = f"{run}  step {step}  {quantity.name}", clock.expected(quantity.cost)
    expected = max(quantity.cost.matvecs + quantity.cost.gradients + quantity.cost.losses, 1.0)

    def progress(done: int, most: int) -> None:
        clock.show(doing, ahead=seconds * min(done / min(expected, max(most, 1)), 1.0))

    clock.show(doing)
    started = time.perf_counter()
    record = quantity.measure(context, progress)
    how = provenance(key, record, time.perf_counter() - started, context.objective, route=context.hessian.route)
    store.write(run, step, quantity.name, record, how)
    return record


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


def _seconds(call: Callable[[], object]) -> float:
    call()
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _describe_run(checkpoint: Checkpoint, context: CheckpointContext) -> dict[str, Any]:
    objective, problem = context.objective, context.problem
    assert problem is not None
    return {
        "optimizer": checkpoint.optimizer, "seed": checkpoint.seed, "lr": checkpoint.lr, "config": checkpoint.config,
        "problem": checkpoint.problem or problem.name, "num_parameters": objective.layout.size,
        "num_examples": objective.num_examples, "of_examples": objective.drawn_from,
        "num_classes": problem.num_classes, "loss": problem.loss_name,
        "num_test_examples": None if problem.test is None else problem.batches("test").num_examples,
        "checked": context.plan.check, "interacting": context.interacting, "params": context.params,
        "fingerprint": objective.digest(), "mode": objective.mode, "frozen": list(objective.layout.frozen),
        "dtype": str(objective.dtype).removeprefix("torch."), "unused": list(objective.unused),
        "linear": list(objective.linear), "asked": question_of(context.plan),
    }  # fmt: skip
