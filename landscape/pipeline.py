"""Checkpoints in, results and report out: resumable at every record, and nothing bad in a folder stops the rest."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from landscape import geometry
from landscape.checkpoints import Checkpoint, CheckpointDir, find_runs
from landscape.errors import CheckpointError, LandscapeError
from landscape.objective import Objective
from landscape.plan import Plan
from landscape.quantities import Bench, Cost, Quantity, quantities
from landscape.report import write_report
from landscape.results import Eigenpairs, Record
from landscape.store import ResultStore, load_results
from landscape.version import __version__

RECORD_VERSION = 1  # raised where a quantity's meaning changes, so that older records are measured again


class Reporter(Protocol):
    """Who is told how far the work has come. Seconds are estimates from measured costs of a matvec and a loss."""

    def update(self, *, done: float, total: float, doing: str) -> None:
        """``done`` of ``total`` expected seconds of work; ``doing`` says what is being measured."""


@dataclass
class Skipped:
    """A file or run that could not be measured, and why."""

    file: str
    reason: str


@dataclass
class Run:
    """A run to be measured: its usable checkpoints, oldest first."""

    name: str
    checkpoints: list[Checkpoint]
    final: Objective | None = None  # of the last checkpoint, once it was measured


@dataclass
class Clock:
    """Expected seconds of all work and of what is done."""

    reporter: Reporter | None
    total: float = 0.0
    done: float = 0.0
    seconds_per: Cost = field(default_factory=lambda: Cost(0.2, 0.1, 0.03))

    def expected(self, cost: Cost) -> float:
        """Seconds that a cost should take on this machine."""
        rate = self.seconds_per
        return cost.matvecs * rate.matvecs + cost.gradients * rate.gradients + cost.losses * rate.losses

    def show(self, doing: str, ahead: float = 0.0) -> None:
        """Tell the reporter; ``ahead`` seconds of the current measurement are done."""
        if self.reporter is not None:
            self.reporter.update(done=self.done + ahead, total=max(self.total, self.done + ahead), doing=doing)


def analyze(path: str | Path, plan: Plan | None = None, *, reporter: Reporter | None = None, command: str = "") -> Path:
    """Measure every run below a folder and write results, tables, figures and a report into it.

    The last checkpoint of each run gets every quantity of the plan, ``plan.last − 1`` earlier ones λ_max, spectral gap
    and gradient norm; minima of equal seed and different optimizer are joined by lines. Each record is on disk when it
    exists; a second call reuses those whose plan fields, objective and parameters agree.

    Parameters
    ----------
    path : str or Path
        One run (a folder with ``step_*.h5``) or a folder of runs.
    plan : Plan, optional
        Left out, ``Plan("standard")``.
    reporter : Reporter, optional
        Told about progress.
    command : str
        What the user typed, for the provenance.

    Returns
    -------
    Path
        ``results.h5``, beside ``report.html``, ``figures/`` and ``tables/``. Files that could not be used are listed
        in it, as is what did not converge.

    Raises
    ------
    CheckpointError
        If no checkpoint can be used.
    ResultsError
        If the folder cannot be written to, or another process analyses it.
    """
    plan, root, started = plan or Plan(), Path(path), time.perf_counter()
    runs, skipped = survey(root, plan)
    with ResultStore(root) as store:
        clock = Clock(reporter)
        clock.total = sum(clock.expected(cost) for cost in _all_costs(runs, plan))
        for run in runs:
            _measure_run(store, run, plan, clock, skipped)
        _measure_barriers(store, runs, plan, clock)
        if not any(run.final for run in runs):
            raise CheckpointError(f"nothing in {root} could be measured. First reason: {skipped[0].reason}")
        store.describe(_describe(plan, skipped, time.perf_counter() - started, command))
        keep = {run.name: [c.step for c in run.checkpoints] for run in runs if run.final}
        results = store.consolidate(keep=keep)
    clock.show("drawing figures and report")
    write_report(load_results(results))
    return results


def survey(root: Path, plan: Plan) -> tuple[list[Run], list[Skipped]]:
    """The runs below a folder with the checkpoints to measure, and the files that cannot be read."""
    runs, skipped = [], []
    for folder in find_runs(root):
        usable, unusable = CheckpointDir(folder).usable(last=plan.last)
        skipped += [Skipped(os.path.relpath(bad.file, root), bad.reason) for bad in unusable]
        if usable:
            name = folder.resolve().name if folder.resolve() == root.resolve() else folder.relative_to(root).as_posix()
            runs.append(Run(name, usable))
    if not runs:
        raise CheckpointError(f"no checkpoint in {root} can be read. First reason: {skipped[0].reason}")
    return runs, skipped


def _measure_run(store: ResultStore, run: Run, plan: Plan, clock: Clock, skipped: list[Skipped]) -> None:
    """The last checkpoint first: its eigenvectors are where Lanczos starts at the earlier ones."""
    guess: np.ndarray | None = None
    for checkpoint in reversed(run.checkpoints):
        is_last = checkpoint is run.checkpoints[-1]
        try:
            objective = checkpoint.objective(
                plan.problem, data_dir=plan.data, check=is_last, device=plan.device,
                dtype=getattr(torch, plan.dtype) if plan.dtype else None,
            )  # fmt: skip
            bench = Bench(objective, plan, is_last, guess)
            _measure_checkpoint(store, run.name, checkpoint, bench, clock)
        except LandscapeError as error:
            skipped.append(Skipped(f"{run.name}/{checkpoint.path.name}", str(error)))
            if is_last:  # the earlier ones have the same model, loss and data
                return
            continue
        if is_last:
            guess, run.final = bench.eigenpairs.vectors[:, :2], objective
            store.describe_run(run.name, _describe_run(checkpoint, bench))


def _measure_checkpoint(store: ResultStore, run: str, checkpoint: Checkpoint, bench: Bench, clock: Clock) -> None:
    store.describe_checkpoint(run, checkpoint.step, checkpoint.metrics)
    fingerprint = bench.objective.digest()
    calibrated = False
    for quantity in quantities(bench.plan, is_last=bench.is_last):
        key = {
            "fields": quantity.fields, "objective": fingerprint, "params": checkpoint.params_sha256,
            "version": RECORD_VERSION,
        }  # fmt: skip
        seconds = clock.expected(quantity.cost)
        stored = store.find(run, checkpoint.step, quantity.name, key)
        if stored is None:
            if bench.is_last and not calibrated:
                _calibrate(clock, bench)
                calibrated, seconds = True, clock.expected(quantity.cost)
            stored = _measure(store, run, checkpoint.step, quantity, key, bench, clock)
        bench.found[quantity.name] = stored
        clock.done += seconds


def _measure(
    store: ResultStore, run: str, step: int, quantity: Quantity, key: dict[str, Any], bench: Bench, clock: Clock
) -> Record:
    doing, seconds = f"{run}  step {step}  {quantity.name}", clock.expected(quantity.cost)
    expected = max(quantity.cost.matvecs + quantity.cost.gradients + quantity.cost.losses, 1.0)

    def progress(done: int, most: int) -> None:
        clock.show(doing, ahead=seconds * min(done / min(expected, max(most, 1)), 1.0))

    clock.show(doing)
    started = time.perf_counter()
    record = quantity.measure(bench, progress)
    store.write(run, step, quantity.name, record, {
        "key": key, "seconds": time.perf_counter() - started, "matvecs": int(getattr(record, "num_matvecs", 0)),
        "converged": bool(np.all(getattr(record, "converged", True))), "chunk": bench.objective.chunk,
        "route": bench.hessian.route, "device": str(bench.objective.device), "created": _now(),
        "dtype": str(bench.objective.dtype).removeprefix("torch."),
    })  # fmt: skip
    return record


def _measure_barriers(store: ResultStore, runs: list[Run], plan: Plan, clock: Clock) -> None:
    for a, b, at_a, at_b in _comparable_pairs(runs, plan.barriers):
        key = {
            "fields": {"points": plan.points}, "objective": at_a.digest(), "version": RECORD_VERSION,
            "params": [a.checkpoints[-1].params_sha256, b.checkpoints[-1].params_sha256],
        }  # fmt: skip
        if store.find_pair(a.name, b.name, key) is None:
            clock.show(f"{a.name} to {b.name}  interpolation")
            started = time.perf_counter()
            line = geometry.interpolate(at_a, at_a.theta, at_b.theta, points=plan.points)
            store.write_pair(a.name, b.name, line, {
                "key": key, "seconds": time.perf_counter() - started, "matvecs": 0, "converged": True,
                "created": _now(),
            })  # fmt: skip
        clock.done += clock.expected(Cost(losses=plan.points))


def _comparable_pairs(runs: list[Run], most: int) -> list[tuple[Run, Run, Objective, Objective]]:
    """Pairs of runs with the same question and seed but another optimizer."""
    measured = [(run, run.checkpoints[-1], run.final, run.final.digest()) for run in runs if run.final]
    pairs = [
        (a, b, at_a, at_b)
        for i, (a, last_a, at_a, question_a) in enumerate(measured)
        for b, last_b, at_b, question_b in measured[i + 1 :]
        if question_a == question_b and last_a.seed == last_b.seed and last_a.optimizer != last_b.optimizer
    ]
    return pairs[:most]


def _calibrate(clock: Clock, bench: Bench) -> None:
    """Time one loss, gradient and matvec, after one of each to warm up, and rescale what is expected of the rest."""
    objective, hessian = bench.objective, bench.hessian
    theta = objective.theta

    def seconds(call: Any) -> float:
        call()
        started = time.perf_counter()
        call()
        return time.perf_counter() - started

    before = clock.seconds_per
    clock.seconds_per = Cost(
        matvecs=seconds(lambda: hessian @ theta),
        gradients=seconds(lambda: objective.gradient(theta)),
        losses=seconds(lambda: objective.loss(theta)),
    )
    remaining = clock.total - clock.done
    clock.total = clock.done + remaining * clock.seconds_per.matvecs / before.matvecs


def _all_costs(runs: list[Run], plan: Plan) -> Iterator[Cost]:
    for run in runs:
        for checkpoint in run.checkpoints:
            for quantity in quantities(plan, is_last=checkpoint is run.checkpoints[-1]):
                yield quantity.cost


def _describe_run(checkpoint: Checkpoint, bench: Bench) -> dict[str, Any]:
    objective = bench.objective
    eigs = bench.found["eigenpairs"]
    assert isinstance(eigs, Eigenpairs)
    return {
        "optimizer": checkpoint.optimizer, "seed": checkpoint.seed, "lr": checkpoint.lr, "config": checkpoint.config,
        "problem": checkpoint.problem, "num_parameters": objective.layout.size,
        "num_examples": objective.num_examples, "fingerprint": objective.digest(), "loss": objective.loss_name,
        "mode": objective.mode, "dtype": str(objective.dtype).removeprefix("torch."),
        "frozen": list(objective.layout.frozen), "unused": list(objective.unused), "linear": list(objective.linear),
    }  # fmt: skip


def _describe(plan: Plan, skipped: list[Skipped], seconds: float, command: str) -> dict[str, Any]:
    return {
        "plan": plan.fields(), "plan_name": plan.plan, "skipped": [vars(s) for s in skipped], "seconds": seconds,
        "command": command, "created": _now(), "platform": platform.platform(), "threads": torch.get_num_threads(),
        "versions": {
            "landscape": __version__, "torch": torch.__version__, "numpy": np.__version__,
            "python": sys.version.split()[0],
        },
    }  # fmt: skip


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
