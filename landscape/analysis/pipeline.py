"""Checkpoints in, results and report out: resumable at every record, and nothing bad in a folder stops the rest."""

from __future__ import annotations

import os
import platform
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from landscape.analysis.barriers import comparable_pairs
from landscape.analysis.cache import forget, opened_by
from landscape.analysis.jobs import measurer
from landscape.analysis.measuring import Measured, now, question_of
from landscape.analysis.plan import Plan
from landscape.analysis.survey import RunFiles, survey
from landscape.checkpoints import Checkpoint, import_in_place
from landscape.errors import CheckpointError, foreign_errors
from landscape.jobs import Executor, Reporter, available_cores, check_executor
from landscape.jobs.job import Elsewhere
from landscape.report import write_report
from landscape.store import LEVELS, ResultStore, load_results
from landscape.store.selection import SET_ASIDE
from landscape.version import __version__


def analyze(
    path: str | Path,
    plan: Plan | None = None,
    *,
    reporter: Reporter | None = None,
    command: str = "",
    executor: Executor | None = None,
    shared: bool = True,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Measure every run below a folder and write results, tables, figures and a report into it.

    The last checkpoint of each run gets every quantity of the plan, ``plan.last − 1`` earlier ones λ_max, spectral gap
    and gradient norm; where there are several groups of runs, so do the two around a training loss that most runs
    reach, and trace and sharpness (``plan.levels``). The ends of equal seed and different optimizer are joined by
    lines. Each record is on disk when it exists; a second call reuses those whose plan fields, objective and parameters
    agree. Whatever the code of a model, loss or problem raises, and where a process dies, the run is listed as skipped
    and the others are measured.

    Parameters
    ----------
    path : str or Path
        One run (a folder with ``step_*.h5``) or a folder of runs. Where it has none but files of other libraries, they
        are converted once, into ``imported/`` in it, for the problem that the plan names.
    plan : Plan, optional
        Left out, ``Plan("standard")``.
    reporter : Reporter, optional
        Gets the progress, by ``update(done=, total=, doing=)``.
    command : str
        What the user typed, for the provenance.
    executor : Executor, optional
        Measures the runs and lines elsewhere: anything whose ``submit(function, *args)`` returns a future, such as a
        ``concurrent.futures.ProcessPoolExecutor`` or a Dask client. Left out: processes of this machine, as
        ``plan.workers`` has it. Where jobs run, the same ``landscape`` is installed, and the problem can be imported.
    shared : bool
        Whether the folder is there, under the same path, wherever the executor's jobs run. Then they read checkpoints
        and write records there, and a job that is lost has lost only what it was measuring. False: each job carries
        the bytes of its checkpoints and gives back those of its records, at most ``plan.workers`` (32, if left out) at
        once; a job that is lost is measured again from its beginning. ``plan.data`` is a folder there, not here.
    say : callable, optional
        Gets what is to be known of converted files, line by line.

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
    UsageError
        If the executor has no ``submit``.
    LandscapeError
        If the report cannot be drawn; the results are stored then.
    """
    plan, root, started = plan or Plan(), Path(path), time.perf_counter()
    if executor is not None:
        check_executor(executor)
        root = Path(os.path.abspath(root))  # where jobs run, the current folder is another one
        plan = replace(plan, data=os.path.abspath(plan.data)) if shared and plan.data is not None else plan
    progress, analysis = _Progress(reporter), uuid.uuid4().hex
    brought = import_in_place(root, plan.problem, problem_config=plan.problem_config, data_dir=plan.data, say=say)
    try:
        found = survey(root, plan, load=opened_by(analysis).checkpoint)
        chosen = found.runs
        left_out = [{"file": os.path.relpath(bad.file, root), "reason": bad.reason} for bad in brought]
        left_out += found.left_out
        with (
            ResultStore(root) as store,
            measurer(store, plan, len(chosen), analysis, executor=executor, shared=shared) as measure,
        ):
            outcomes = measure.runs(list(chosen), progress)
            shown = _shown(store, chosen, plan)
            left_out += [bad for outcome in outcomes for bad in _skipped_of(outcome, shown)]
            # What a process measured before it died counts; what an earlier analysis measured is no result of this one.
            if not any(outcome.measured or (outcome.died and shown[outcome.run]) for outcome in outcomes):
                _refuse(root, left_out)
            pairs = comparable_pairs(_measured(chosen, outcomes))[: plan.barriers]
            left_out += [bad for pair in measure.pairs(pairs, _AtTheEnd(progress)) for bad in pair.skipped]
            info = _describe(plan, left_out, time.perf_counter() - started, command)
            store.describe({**info, LEVELS: list(found.levels), SET_ASIDE: _set_aside(store, shown)})
            results = store.consolidate()
    finally:
        forget(analysis)
    progress.at_the_end("drawing figures and report")
    with foreign_errors(f"the results are stored in {results}, but not drawn; mend this and run landscape report"):
        write_report(load_results(results))
    return results


@dataclass
class _Progress:
    """Passes progress on, and keeps the last total for the short steps after the measuring."""

    reporter: Reporter | None
    total: float = 1.0

    def update(self, *, done: float, total: float, doing: str) -> None:
        self.total = max(total, done)
        if self.reporter is not None:
            self.reporter.update(done=done, total=total, doing=doing)

    def at_the_end(self, doing: str) -> None:
        self.update(done=self.total, total=self.total, doing=doing)


@dataclass(frozen=True)
class _AtTheEnd:
    """Progress of the short steps after the measuring of runs: what is being done, not how far it is."""

    progress: _Progress

    def update(self, *, done: float, total: float, doing: str) -> None:
        self.progress.at_the_end(doing)


def _measured(chosen: Mapping[RunFiles, list[Checkpoint]], outcomes: list[Measured]) -> dict[RunFiles, Checkpoint]:
    done = {outcome.run for outcome in outcomes if outcome.measured}
    return {files: checkpoints[-1] for files, checkpoints in chosen.items() if files.run in done}


def _shown(store: ResultStore, chosen: Mapping[RunFiles, list[Checkpoint]], plan: Plan) -> dict[str, list[int]]:
    """The steps of each run whose stored records answer what is asked now, whichever analysis measured them."""
    found: dict[str, list[int]] = {}
    for files, checkpoints in chosen.items():
        run = store.description(files.run)
        found[files.run] = []
        if run.get("asked", question_of(plan)) != question_of(plan):
            continue
        for checkpoint in checkpoints:
            key = (store.provenance(files.run, checkpoint.step, "point") or {}).get("key") or {}
            if (key.get("params"), key.get("objective")) == (checkpoint.params_sha256, run.get("fingerprint")):
                found[files.run].append(checkpoint.step)
    return found


def _set_aside(store: ResultStore, shown: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """Run → the steps that are stored and not shown."""
    aside = {run: sorted({*steps} - {*shown.get(run, ())}) for run, steps in store.steps().items()}
    return {run: steps for run, steps in aside.items() if steps or not shown.get(run)}


def _skipped_of(outcome: Measured, shown: Mapping[str, list[int]]) -> list[dict[str, str]]:
    """What could not be measured of a run; where older numbers stand in the tables all the same, that too."""
    if outcome.measured or not shown[outcome.run]:
        return outcome.skipped
    return [{**bad, "reason": f"{bad['reason']} (what was measured before is shown)"} for bad in outcome.skipped]


def _refuse(root: Path, left_out: list[dict[str, str]]) -> NoReturn:
    """Nothing could be measured: say why, with the traceback of what was raised, though it was in another process."""
    first = next((bad for bad in left_out if "traceback" in bad), left_out[0])
    error = CheckpointError(f"nothing in {root} could be measured. First reason: {first['reason']}")
    raise error from (Elsewhere(first["traceback"]) if "traceback" in first else None)


def _describe(plan: Plan, left_out: list[dict[str, str]], seconds: float, command: str) -> dict[str, Any]:
    return {
        "plan": plan.fields(), "plan_name": plan.plan, "skipped": left_out, "seconds": seconds, "command": command,
        "created": now(), "platform": platform.platform(), "threads": available_cores(),
        "versions": {
            "landscape": __version__, "torch": torch.__version__, "numpy": np.__version__,
            "python": sys.version.split()[0],
        },
    }  # fmt: skip
