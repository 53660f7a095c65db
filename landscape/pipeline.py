"""Checkpoints in, results and report out: resumable at every record, and nothing bad in a folder stops the rest."""

from __future__ import annotations

import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landscape import geometry
from landscape.checkpoints import Checkpoint, CheckpointDir, find_runs, load_checkpoint
from landscape.crew import available_cores, measure_runs
from landscape.errors import CheckpointError, LandscapeError
from landscape.measuring import RECORD_VERSION, Job, Outcome, Reporter, now, objective_of
from landscape.plan import Plan
from landscape.report import write_report
from landscape.store import ResultStore, load_results
from landscape.version import __version__


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
    jobs, skipped = survey(root, plan)
    told = _Told(reporter)
    with ResultStore(root) as store:
        outcomes = measure_runs(store, jobs, plan, told)
        skipped += [bad for outcome in outcomes for bad in outcome.skipped]
        measured = _measured(jobs, outcomes)
        if not measured:
            raise CheckpointError(f"nothing in {root} could be measured. First reason: {skipped[0]['reason']}")
        for a, b in comparable_pairs(measured)[: plan.barriers]:
            skipped += _measure_barrier(store, a, b, plan, told)
        store.describe(_describe(plan, skipped, time.perf_counter() - started, command))
        results = store.consolidate(keep={job.run: _steps(job) for job in measured})
    told.at_the_end("drawing figures and report")
    write_report(load_results(results))
    return results


@dataclass
class _Told:
    """Passes progress on, and remembers where it stands for the small things after the measuring."""

    reporter: Reporter | None
    total: float = 1.0

    def update(self, *, done: float, total: float, doing: str) -> None:
        self.total = max(total, done)
        if self.reporter is not None:
            self.reporter.update(done=done, total=total, doing=doing)

    def at_the_end(self, doing: str) -> None:
        self.update(done=self.total, total=self.total, doing=doing)


def survey(root: Path, plan: Plan) -> tuple[list[Job], list[dict[str, str]]]:
    """The runs below a folder with the checkpoints to measure, and the files that cannot be read."""
    jobs, skipped = [], []
    for folder in find_runs(root):
        usable, unusable = CheckpointDir(folder).usable(last=plan.last)
        skipped += [{"file": os.path.relpath(bad.file, root), "reason": bad.reason} for bad in unusable]
        if usable:
            name = folder.resolve().name if folder.resolve() == root.resolve() else folder.relative_to(root).as_posix()
            jobs.append(Job(name, tuple(str(checkpoint.path) for checkpoint in usable)))
    if not jobs:
        raise CheckpointError(f"no checkpoint in {root} can be read. First reason: {skipped[0]['reason']}")
    return jobs, skipped


def comparable_pairs(jobs: list[Job]) -> list[tuple[Job, Job]]:
    """Pairs of runs of the same problem and seed, but of another label, or optimizer where there are none."""
    last = {job.run: load_checkpoint(job.files[-1]) for job in jobs}

    def label(c: Checkpoint) -> Any:
        return c.config.get("label", c.optimizer)

    def same_start(a: Checkpoint, b: Checkpoint) -> bool:
        question = [(c.problem, c.problem_config, c.num_parameters, c.seed) for c in (a, b)]
        return question[0] == question[1] and label(a) != label(b)

    return [(a, b) for i, a in enumerate(jobs) for b in jobs[i + 1 :] if same_start(last[a.run], last[b.run])]


def _measured(jobs: list[Job], outcomes: list[Outcome]) -> list[Job]:
    done = {outcome.run for outcome in outcomes if outcome.measured}
    return [job for job in jobs if job.run in done]


def _steps(job: Job) -> list[int]:
    return [load_checkpoint(file).step for file in job.files]


def _measure_barrier(store: ResultStore, a: Job, b: Job, plan: Plan, told: _Told) -> list[dict[str, str]]:
    """The line between the ends of two runs, each with its own buffers; where there can be none, why."""
    ends = [load_checkpoint(job.files[-1]) for job in (a, b)]
    at_a, at_b = (objective_of(end, plan, check=False) for end in ends)
    constants = [at.constants_digest() for at in (at_a, at_b)]
    key = {
        "fields": {"points": plan.points}, "objective": at_a.digest(),
        # One where they are equal, as in records from before buffers moved along the line, which are right there.
        "constants": constants[0] if constants[0] == constants[1] else constants,
        "params": [end.params_sha256 for end in ends], "version": RECORD_VERSION,
    }  # fmt: skip
    if at_a.digest() != at_b.digest() or store.find_pair(a.run, b.run, key) is not None:
        return []
    told.at_the_end(f"{a.run} to {b.run}  interpolation")
    started = time.perf_counter()
    try:
        line = geometry.interpolate(at_a, at_b, points=plan.points)
    except LandscapeError as error:
        return [{"file": f"{a.run} to {b.run}: interpolation", "reason": str(error)}]
    seconds = time.perf_counter() - started
    provenance = {"key": key, "seconds": seconds, "matvecs": 0, "converged": True, "created": now()}
    store.write_pair(a.run, b.run, line, provenance)
    return []


def _describe(plan: Plan, skipped: list[dict[str, str]], seconds: float, command: str) -> dict[str, Any]:
    return {
        "plan": plan.fields(), "plan_name": plan.plan, "skipped": skipped, "seconds": seconds, "command": command,
        "created": now(), "platform": platform.platform(), "threads": available_cores(),
        "versions": {
            "landscape": __version__, "torch": torch.__version__, "numpy": np.__version__,
            "python": sys.version.split()[0],
        },
    }  # fmt: skip
