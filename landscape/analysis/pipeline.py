"""Checkpoints in, results and report out: resumable at every record, and nothing bad in a folder stops the rest."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from landscape import geometry
from landscape.analysis.crew import available_cores, measure_runs
from landscape.analysis.measuring import RECORD_VERSION, Job, Outcome, Reporter, asked, now, objective_of, skipped
from landscape.analysis.plan import Plan
from landscape.checkpoints import Checkpoint, CheckpointDir, Skipped, find_runs, load_checkpoint
from landscape.errors import CheckpointError, LandscapeError, ResultsError, as_ours, foreign_errors
from landscape.report import write_report
from landscape.store import ResultStore, load_results
from landscape.store.shown import SET_ASIDE
from landscape.version import __version__


def analyze(path: str | Path, plan: Plan | None = None, *, reporter: Reporter | None = None, command: str = "") -> Path:
    """Measure every run below a folder and write results, tables, figures and a report into it.

    The last checkpoint of each run gets every quantity of the plan, ``plan.last − 1`` earlier ones λ_max, spectral gap
    and gradient norm; minima of equal seed and different optimizer are joined by lines. Each record is on disk when it
    exists; a second call reuses those whose plan fields, objective and parameters agree. Whatever the code of a model,
    loss or problem raises, and where a process dies, the run is listed as skipped and the others are measured.

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
    LandscapeError
        If the report cannot be drawn; the results are stored then.
    """
    plan, root, started = plan or Plan(), Path(path), time.perf_counter()
    chosen, left_out = survey(root, plan)
    progress = _Progress(reporter)
    with ResultStore(root) as store:
        outcomes = measure_runs(store, list(chosen), plan, progress)
        shown = _shown(store, chosen, plan)
        left_out += [bad for outcome in outcomes for bad in _told(outcome, shown)]
        # What a process measured before it died counts; what an earlier analysis measured is no result of this one.
        if not any(outcome.measured or (outcome.died and shown[outcome.run]) for outcome in outcomes):
            _refuse(root, left_out)
        left_out += _measure_barriers(store, _measured(chosen, outcomes), plan, progress)
        aside = {run: sorted({*steps} - {*shown.get(run, ())}) for run, steps in store.steps().items()}
        info = _describe(plan, left_out, time.perf_counter() - started, command)
        store.describe({**info, SET_ASIDE: {run: steps for run, steps in aside.items() if steps or not shown.get(run)}})
        results = store.consolidate()
    progress.at_the_end("drawing figures and report")
    with foreign_errors(f"the results are stored in {results}, but not drawn; mend this and run landscape report"):
        write_report(load_results(results))
    return results


@dataclass
class _Progress:
    """Passes progress on, and remembers where it stands for the small things after the measuring."""

    reporter: Reporter | None
    total: float = 1.0

    def update(self, *, done: float, total: float, doing: str) -> None:
        self.total = max(total, done)
        if self.reporter is not None:
            self.reporter.update(done=done, total=total, doing=doing)

    def at_the_end(self, doing: str) -> None:
        self.update(done=self.total, total=self.total, doing=doing)


def survey(root: Path, plan: Plan) -> tuple[dict[Job, list[Checkpoint]], list[dict[str, str]]]:
    """The runs below a folder with the checkpoints to measure, and the files and folders that cannot be read."""
    chosen: dict[Job, list[Checkpoint]] = {}
    unread: list[Skipped] = []
    for folder in find_runs(root, unreadable=unread):
        try:
            usable, unusable = CheckpointDir(folder).usable(last=plan.last)
        except LandscapeError as error:  # it was there a moment ago
            unread.append(Skipped(folder, str(error)))
            continue
        unread += unusable
        if usable:
            name = folder.resolve().name if folder.resolve() == root.resolve() else folder.relative_to(root).as_posix()
            chosen[Job(name, tuple(str(checkpoint.path) for checkpoint in usable))] = usable
    left_out = [{"file": os.path.relpath(bad.file, root), "reason": bad.reason} for bad in unread]
    if not chosen:
        raise CheckpointError(f"no checkpoint in {root} can be read. First reason: {left_out[0]['reason']}")
    return chosen, left_out


def comparable_pairs(last: Mapping[Job, Checkpoint]) -> list[tuple[Job, Job]]:
    """Pairs of runs of the same problem and seed, but of another label, or optimizer where there are none.

    Parameters
    ----------
    last : dict of Job to Checkpoint
        The last checkpoint of each run.
    """

    def label(c: Checkpoint) -> Any:
        return c.config.get("label", c.optimizer)

    def same_start(a: Checkpoint, b: Checkpoint) -> bool:
        question = [(c.problem, c.problem_config, c.num_parameters, c.seed) for c in (a, b)]
        return question[0] == question[1] and label(a) != label(b)

    jobs = list(last)
    return [(a, b) for i, a in enumerate(jobs) for b in jobs[i + 1 :] if same_start(last[a], last[b])]


def _measured(chosen: Mapping[Job, list[Checkpoint]], outcomes: list[Outcome]) -> dict[Job, Checkpoint]:
    done = {outcome.run for outcome in outcomes if outcome.measured}
    return {job: checkpoints[-1] for job, checkpoints in chosen.items() if job.run in done}


def _shown(store: ResultStore, chosen: Mapping[Job, list[Checkpoint]], plan: Plan) -> dict[str, list[int]]:
    """The steps of each run whose stored records answer what is asked now, whichever analysis measured them."""
    found: dict[str, list[int]] = {}
    for job, checkpoints in chosen.items():
        run = store.description(job.run)
        found[job.run] = []
        if run.get("asked", asked(plan)) != asked(plan):
            continue
        for checkpoint in checkpoints:
            key = (store.provenance(job.run, checkpoint.step, "point") or {}).get("key") or {}
            if (key.get("params"), key.get("objective")) == (checkpoint.params_sha256, run.get("fingerprint")):
                found[job.run].append(checkpoint.step)
    return found


def _told(outcome: Outcome, shown: Mapping[str, list[int]]) -> list[dict[str, str]]:
    """What could not be measured of a run; where older numbers stand in the tables all the same, that too."""
    if outcome.measured or not shown[outcome.run]:
        return outcome.skipped
    return [{**bad, "reason": f"{bad['reason']} (what was measured before is shown)"} for bad in outcome.skipped]


def _refuse(root: Path, left_out: list[dict[str, str]]) -> NoReturn:
    """Nothing could be measured: say why, with the traceback of what was raised, though it was in another process."""
    first = next((bad for bad in left_out if "traceback" in bad), left_out[0])
    error = CheckpointError(f"nothing in {root} could be measured. First reason: {first['reason']}")
    raise error from (_Elsewhere(first["traceback"]) if "traceback" in first else None)


class _Elsewhere(Exception):
    """An exception of another process, as its traceback."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _measure_barriers(
    store: ResultStore, last: Mapping[Job, Checkpoint], plan: Plan, progress: _Progress
) -> list[dict[str, str]]:
    """The lines between minima; those that could not be measured, and why."""
    left_out = []
    for a, b in comparable_pairs(last)[: plan.barriers]:
        try:
            _measure_barrier(store, a, b, plan, progress)
        except ResultsError:
            raise
        except BaseException as error:
            left_out.append(skipped(f"{a.run} to {b.run}: interpolation", as_ours(error)))
    return left_out


def _measure_barrier(store: ResultStore, a: Job, b: Job, plan: Plan, progress: _Progress) -> None:
    """The line between the ends of two runs, each with its own buffers."""
    ends = [load_checkpoint(job.files[-1]) for job in (a, b)]
    at_a, at_b = (objective_of(end, plan, check=False) for end in ends)
    constants = [at.constants_digest() for at in (at_a, at_b)]
    moved = {} if plan.batch_statistics is None else {"batch_statistics": plan.batch_statistics}
    key = {
        "fields": {"points": plan.points} | moved, "objective": at_a.digest(),
        # One where they are equal, as in records from before buffers moved along the line, which are right there.
        "constants": constants[0] if constants[0] == constants[1] else constants,
        "params": [end.params_sha256 for end in ends], "version": RECORD_VERSION,
    }  # fmt: skip
    if at_a.digest() != at_b.digest() or store.find_pair(a.run, b.run, key) is not None:
        return
    progress.at_the_end(f"{a.run} to {b.run}  interpolation")
    started = time.perf_counter()
    line = geometry.interpolate(at_a, at_b, points=plan.points, batch_statistics=plan.batch_statistics)
    seconds = time.perf_counter() - started
    provenance = {"key": key, "seconds": seconds, "matvecs": 0, "converged": True, "created": now()}
    store.write_pair(a.run, b.run, line, provenance)


def _describe(plan: Plan, left_out: list[dict[str, str]], seconds: float, command: str) -> dict[str, Any]:
    return {
        "plan": plan.fields(), "plan_name": plan.plan, "skipped": left_out, "seconds": seconds, "command": command,
        "created": now(), "platform": platform.platform(), "threads": available_cores(),
        "versions": {
            "landscape": __version__, "torch": torch.__version__, "numpy": np.__version__,
            "python": sys.version.split()[0],
        },
    }  # fmt: skip
