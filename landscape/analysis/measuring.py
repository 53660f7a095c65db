"""One run through all its quantities: each record on disk when it exists, and reused where its key agrees."""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from landscape.analysis.amounts import time_text
from landscape.analysis.cache import Opened
from landscape.analysis.clock import CHECKING, PLANNING, Clock
from landscape.analysis.context import CheckpointContext
from landscape.analysis.costs import Cost, total
from landscape.analysis.objectives import objective_of
from landscape.analysis.plan import Plan
from landscape.analysis.quantities import Quantity, applies, quantities, quantities_at
from landscape.analysis.recording import (
    Found,
    cost_of,
    is_better,
    judged,
    key_of,
    provenance,
    question_at,
    question_of,
    stored,
    take_eigenpairs,
    with_limit,
)
from landscape.analysis.rounds import MARGIN, Budget
from landscape.analysis.survey import RunFiles
from landscape.checkpoints import Checkpoint
from landscape.errors import ForeignError, LandscapeError, ResultsError, as_ours, traceback_text
from landscape.jobs import Reporter
from landscape.progress import listening
from landscape.results import Record
from landscape.store import ALONG, AROUND, ResultStore

NEEDED = ("point", "eigenpairs")  # by the other quantities: without them a checkpoint is not measured


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
    put_off : list of dict
        The same of what there was no time for, and of which nothing is stored.
    written : int
        Records that were measured.
    """

    run: str
    measured: bool = False
    died: bool = False
    skipped: list[dict[str, str]] = field(default_factory=list)
    put_off: list[dict[str, str]] = field(default_factory=list)
    written: int = 0


def measure_run(
    store: ResultStore,
    files: RunFiles,
    plan: Plan,
    opened: Opened,
    reporter: Reporter | None = None,
    budget: Budget | None = None,
) -> Measured:
    """Measure the last checkpoint first: its eigenvectors are where Lanczos starts at the earlier ones.

    What cannot be measured is listed in the outcome, with the reason, whatever the model, loss or problem raise.

    Parameters
    ----------
    budget : Budget, optional
        What fits into it is measured; left out, everything.

    Raises
    ------
    ResultsError
        If records cannot be stored: to go on would be to measure for nothing.
    """
    outcome = Measured(files.run)
    clock = Clock(reporter, left=CHECKING + PLANNING + total(files.wanted(plan)), num_vectors=2 * plan.eigs)
    work = Work(store, files.run, plan, clock, outcome, budget)
    newest = len(files.files) - 1
    earlier = [total([q.cost for q in quantities(plan, is_last=False, is_around=i in files.compared)])
               for i in range(newest)]  # fmt: skip
    least = total([q.cost for q in quantities(plan, is_last=False) if q.name in NEEDED])
    guess: np.ndarray | None = None
    last: CheckpointContext | None = None
    for index, file in reversed([*enumerate(files.files)]):
        is_last = index == newest
        if not is_last and not files.is_wanted(index):
            continue
        if not is_last and budget is not None and not budget.fits(clock.expected(PLANNING * 0.2 + least)):
            break
        try:
            checkpoint, context = _opened(work, files, index, opened, guess, last)
            failed = list[tuple[str, LandscapeError]]()
            if not files.is_wanted(index):
                take_eigenpairs(work.store, work.run, checkpoint, context)
            else:
                if is_last:  # before its records, which it explains: they never stand under an older description
                    chosen = {AROUND: list(files.around), ALONG: list(files.along)}
                    store.describe_run(files.run, _describe_run(checkpoint, context) | chosen)
                failed = _measure_checkpoint(work, checkpoint, context, later=total(earlier[:index]))
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


@dataclass
class Work:
    """The measuring of one run: where records go, how far it is, and how long it may take."""

    store: ResultStore
    run: str
    plan: Plan
    clock: Clock
    outcome: Measured
    budget: Budget | None


def _opened(
    work: Work, files: RunFiles, index: int, opened: Opened, guess: np.ndarray | None, last: CheckpointContext | None
) -> tuple[Checkpoint, CheckpointContext]:
    """A checkpoint and its objective, which an earlier round may have made."""
    plan, clock, file = work.plan, work.clock, files.files[index]
    is_last = index == len(files.files) - 1
    if is_last:
        clock.show(f"{files.run}  reading")
    checkpoint = opened.checkpoint(file)
    is_asked = work.budget is None or work.budget.is_asked
    if (known := opened.context(file)) is not None:
        known.plan, known.guess, known.last, known.is_asked = plan, guess, last, is_asked
        return checkpoint, known
    problem = opened.problem(checkpoint, plan)
    if is_last:
        with contextlib.suppress(Exception):  # what is wrong with the data, the objective says
            count = plan.examples or problem.batches("train").num_examples
            clock.guess(checkpoint.num_parameters, count)
            clock.left = CHECKING + PLANNING + total(files.wanted(plan, count))
        clock.show(f"{files.run}  checking the loss")
    with listening(partial(clock.hear, files.run)):
        check = is_last and plan.check and files.is_wanted(index)
        objective = objective_of(checkpoint, plan, check=check, problem=problem)
    if is_last:
        clock.finish(CHECKING)
        clock.show(f"{files.run}  planning")
    stored = work.store.provenance(files.run, checkpoint.step, "eigenpairs") or {}
    expected = max(1, int(sum(cost.matvecs for cost in files.expected(plan))))
    context = CheckpointContext(
        objective, plan, is_last, index in files.compared, guess, plan.route or stored.get("route", "auto"), expected,
        last, problem, model=partial(checkpoint.model, problem), path_of_run=partial(opened.readable, files.files),
        ends_of_run=partial(opened.readable, files.ends), is_asked=is_asked, checkpoint=checkpoint,
    )  # fmt: skip
    context.planned = sum(quantity.cost.matvecs for quantity in quantities_at(context))
    if work.budget is not None:
        opened.keep(file, context)
    return checkpoint, context


def skipped(what: str, error: LandscapeError) -> dict[str, str]:
    """The entry of what could not be measured in the list of such."""
    cause = error.__cause__ if isinstance(error, ForeignError) else None
    trace = {} if cause is None else {"traceback": traceback_text(cause)}
    return {"file": what, "reason": str(error)} | trace


def _measure_checkpoint(
    work: Work, checkpoint: Checkpoint, context: CheckpointContext, *, later: Cost
) -> list[tuple[str, LandscapeError]]:
    """Measure what is not stored yet; the quantities that could not be measured, and why, do not stop the others."""
    work.store.describe_checkpoint(work.run, checkpoint.step, checkpoint.metrics)
    question, todo = question_at(checkpoint, context), quantities_at(context)
    if work.budget is not None:  # numbers before pictures
        todo.sort(key=lambda q: q.name not in NEEDED and (q.asked is None or q.is_picture) and q.cost.products > 3)
    calibrated, failed = not context.is_last, list[tuple[str, LandscapeError]]()
    for quantity in todo:
        if quantity.on_test_data and context.test_data is None:
            work.clock.finish(quantity.cost, skipped=True)
            continue
        key = key_of(quantity, question, context)
        found = stored(work.store, work.run, checkpoint.step, quantity, key, context)
        if found.answer is not None:
            work.clock.finish(quantity.cost, skipped=True)
        else:
            try:
                if not applies(quantity, context):
                    work.clock.finish(quantity.cost, skipped=True)
                    continue
                if not calibrated:
                    _calibrate(work, context)
                    calibrated = True
                found = _if_there_is_time(work, checkpoint, quantity, key, context, found, later)
            except ResultsError:
                raise
            except BaseException as error:
                if quantity.name in NEEDED:
                    raise
                failed.append((quantity.name, as_ours(error)))
                work.clock.finish(quantity.cost, skipped=True)
        if (record := found.answer or found.coarser) is not None:
            context.found[quantity.name], context.fields[quantity.name] = record, found.fields
    return failed


def _if_there_is_time(
    work: Work, checkpoint: Checkpoint, quantity: Quantity, key: dict[str, Any], context: CheckpointContext,
    found: Found, later: Cost,
) -> Found:  # fmt: skip
    """Measure a quantity, unless time is short and it is not expected to fit; ``later`` is wanted after it."""
    cost, budget, clock = quantity.cost, work.budget, work.clock
    if quantity.asked is not None and found.coarser is not None:
        cost = quantity.asked.cost_after(cost_of(found.coarser), quantity.asked.reached(found.coarser, context))
    if budget is not None:
        clock.agree()
        if found.coarser is not None and not budget.is_asked and _is_at_its_limit(quantity, found.coarser, work.plan):
            clock.finish(quantity.cost, skipped=True)
            return found  # it would end on the same limit again
        seconds, reserved = clock.expected(cost), budget.held_back(clock.expected(later))
        is_needed = quantity.name in NEEDED and found.coarser is None
        if not is_needed and not budget.fits(seconds, reserved=reserved):
            if found.coarser is None:
                reason = f"not begun: it needs about {time_text(seconds)}, more than is left of the time"
                name = f"{work.run}/{Path(checkpoint.path).name}: {quantity.name}"
                work.outcome.put_off.append({"file": name, "reason": reason})
            clock.finish(quantity.cost, skipped=True)
            return found
        share = (budget.left - reserved) / (2 if is_needed else 1)
        context.affordable = share / max(clock.seconds_per.matvecs, 1e-9)
    context.coarser = found.coarser if budget is not None else None  # without haste, the newest answer counts
    try:
        key = with_limit(quantity, key, context)
        record = measure(work.store, work.run, checkpoint.step, quantity, key, context, clock)
    finally:
        context.affordable = context.coarser = None
    clock.finish(quantity.cost)
    if record is found.coarser:
        return found
    work.outcome.written += 1
    return Found(record, key["fields"])


def measure(
    store: ResultStore,
    run: str,
    step: int,
    quantity: Quantity,
    key: dict[str, Any],
    context: CheckpointContext,
    clock: Clock,
) -> Record:
    """Measure one quantity and put it on disk with its provenance, unless what is there is better."""
    doing, seconds = f"{run}  step {step}  {quantity.name}", clock.expected(quantity.cost)
    expected = max(quantity.cost.matvecs + quantity.cost.gradients + quantity.cost.losses, 1.0)

    def progress(done: int, most: int) -> None:
        clock.show(doing, ahead=seconds * min(done / min(expected, max(most, 1)), 1.0))

    clock.show(doing)
    started, context.resume = time.perf_counter(), store.unfinished(run, step, quantity.name)
    record = quantity.measure(context, progress)
    taken = time.perf_counter() - started
    if not math.isfinite(getattr(record, "products", math.nan)):  # parts of the data are multiplied by more slowly
        clock.learn(cost_of(record), taken)
    record, how = judged(
        quantity, record, provenance(key, record, taken, context.objective, route=context.products.route), context
    )
    if context.coarser is not None and not is_better(quantity, record, context.coarser, context):
        if not context.is_asked:
            return context.coarser
        # It stays, and is all there is to be had of what was asked.
        earlier = (store.provenance(run, step, quantity.name) or how) | {"key": key}
        record, how = judged(quantity, context.coarser, earlier, context)
    store.write(run, step, quantity.name, record, how)
    return record


def _is_at_its_limit(quantity: Quantity, record: Record, plan: Plan) -> bool:
    """Whether a record took about all the products that the plan allows: another attempt would end where it did."""
    return quantity.asked is not None and cost_of(record).products >= MARGIN * plan.max_matvecs


def _calibrate(work: Work, context: CheckpointContext) -> None:
    work.clock.show(f"{work.run}  planning")
    with listening(partial(work.clock.hear, work.run)):
        work.clock.calibrate(context)
    work.clock.finish(PLANNING, skipped=True)
    work.clock.device = context.objective.device
    work.clock.vector = context.objective.layout.size * context.objective.theta.element_size()
    work.clock.show(f"{work.run}  {work.clock.expectation()}")


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
