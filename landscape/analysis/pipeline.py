"""Checkpoints in, results and report out: resumable at every record, and nothing bad in a folder stops the rest."""

from __future__ import annotations

import os
import platform
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from landscape import distributed
from landscape.analysis.barriers import Pair, check_pairs, comparable_pairs
from landscape.analysis.cache import forget, opened_by
from landscape.analysis.histories import bring_histories
from landscape.analysis.jobs import Measurer, measurer
from landscape.analysis.measuring import Measured
from landscape.analysis.passing_on import AtTheEnd, PassedOn
from landscape.analysis.plan import Plan
from landscape.analysis.recording import now as date_now
from landscape.analysis.recording import question_of
from landscape.analysis.rounds import now, rounds
from landscape.analysis.survey import RunFiles, survey
from landscape.checkpoints import Checkpoint, import_in_place
from landscape.errors import CheckpointError, UsageError, foreign_errors
from landscape.jobs import Executor, Reporter, available_cores, opened_executor
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
    executor: Executor | str | None = None,
    shared: bool = True,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Measure every run below a folder and write results, tables, figures and a report into it.

    The last checkpoint of each run gets every quantity of the plan, ``plan.last − 1`` earlier ones λ_max, spectral gap
    and gradient norm; where there are several groups of runs, so do the two around a training loss that most runs
    reach, and trace and sharpness (``plan.levels``); with ``plan.along`` checkpoints of the whole training get what is
    cheap, trace and distances among it. The ends of equal seed and different optimizer are joined by
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
    executor : str or Executor, optional
        Measures the runs and lines elsewhere: ``"dask:ADDRESS"``, ``"slurm:partition=NAME,time=2h"``, or anything whose
        ``submit(function, *args)`` returns a future, such as a ``concurrent.futures.ProcessPoolExecutor`` or a Dask
        client. Left out, or ``"local"``: processes of this machine, as ``plan.workers`` has it. Where jobs run, the
        same ``landscape`` is installed, and the problem can be imported. A job whose process dies is tried once more.
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

    Under ``torchrun`` all ranks call this, and measure each run together, from one folder; rank 0 writes and draws.

    Raises
    ------
    CheckpointError
        If no checkpoint can be used.
    ResultsError
        If the folder cannot be written to, or another process analyses it.
    UsageError
        If the executor is none, or there are ranks besides.
    LandscapeError
        If what the executor names is not there, after seconds; or the report cannot be drawn: the results are stored.
    """
    plan = plan or Plan()
    _check_ranks(plan, executor)
    with opened_executor(executor) as elsewhere:
        return _analyzed(Path(path), plan, PassedOn(reporter, say), command, elsewhere, shared)


def _analyzed(
    root: Path, plan: Plan, progress: PassedOn, command: str, executor: Executor | None, shared: bool
) -> Path:
    started, say = time.perf_counter(), progress.say
    if executor is not None:
        root = Path(os.path.abspath(root))  # where jobs run, the current folder is another one
        plan = replace(plan, data=os.path.abspath(plan.data)) if shared and plan.data is not None else plan
    analysis, interrupted = uuid.uuid4().hex, False
    progress.update(done=0.0, total=1.0, doing="reading checkpoints")
    brought = distributed.by_first(
        lambda: import_in_place(root, plan.problem, problem_config=plan.problem_config, data_dir=plan.data, say=say),
        "converting files",
    )
    try:
        opened = opened_by(analysis)
        found = survey(root, plan, load=opened.checkpoint)
        chosen = found.runs
        distributed.check_same(
            str(list(chosen)), "checkpoints", "All ranks read one folder, which nothing may write to meanwhile"
        )
        check_pairs([run.run for run in chosen], plan.pairs)
        left_out = [{"file": os.path.relpath(bad.file, root), "reason": bad.reason} for bad in brought]
        left_out += found.left_out
        with (
            distributed.of_first(lambda: ResultStore(root)) as store,
            measurer(store, plan, len(chosen), analysis, executor=executor, shared=shared) as measure,
        ):
            progress.jobs, progress.at_once = len(chosen), measure.at_once(len(chosen))
            work = _Analysis(
                root,
                plan,
                store,
                measure,
                chosen,
                progress,
                left_out,
                found.levels,
                started,
                command,
                opened.checkpoint,
            )
            try:
                results = work.in_rounds() if plan.time is not None else work.at_once()
            except KeyboardInterrupt:
                # Other ranks are interrupted elsewhere, and nobody waits for them.
                if plan.time is None or not distributed.is_first():
                    raise
                with distributed.alone():
                    if not work.anything_is_there():
                        raise
                    results, interrupted = work.written(), True
    finally:
        forget(analysis)
    progress.at_the_end("drawing figures and report")
    if interrupted:
        with distributed.alone():
            _draw(results)
        raise KeyboardInterrupt
    distributed.by_first(lambda: _draw(results), "drawing the report")
    return results


def _draw(results: Path) -> None:
    with foreign_errors(f"the results are stored in {results}, but not drawn; mend this and run landscape report"):
        write_report(load_results(results))


def _check_ranks(plan: Plan, executor: Executor | str | None) -> None:
    """Refuse two ways at once to measure on several processes."""
    if distributed.current() is None:
        return
    elsewhere = executor not in (None, "local")
    if elsewhere or (plan.workers or 1) > 1:
        given = "an executor" if elsewhere else f"workers={plan.workers}"
        raise UsageError(
            f"{given} and ranks do not go together: under torchrun or srun all ranks measure each run together. Leave "
            "out one of them"
        )


@dataclass
class _Analysis:
    """What is measured of a folder: all at once, or in rounds while there is time; and what is written of it."""

    root: Path
    plan: Plan
    store: ResultStore
    measure: Measurer
    chosen: dict[RunFiles, list[Checkpoint]]
    progress: PassedOn
    left_out: list[dict[str, str]]
    levels: tuple[float, ...]
    started: float
    command: str
    load: Callable[[Path], Checkpoint]
    of_runs: list[dict[str, str]] = field(default_factory=list)
    of_lines: list[dict[str, str]] = field(default_factory=list)

    def at_once(self) -> Path:
        """Measure everything to what the plan asks."""
        outcomes = self._runs(self.measure, None)
        pairs = self._pairs(outcomes)[: self.plan.barriers]
        self.of_lines += [bad for pair in self.measure.pairs(pairs, AtTheEnd(self.progress)) for bad in pair.skipped]
        return self.written()

    def in_rounds(self) -> Path:
        """Measure coarsely, then more accurately, until the time is used up; what there is is written after each."""
        assert self.plan.time is not None
        end, results = now() + self.plan.time, self.root
        for plan, of_round in rounds(self.plan, end):
            if not of_round["is_first"] and now() >= end:
                break
            outcomes = self._runs(replace(self.measure, plan=plan), of_round)
            if of_round["is_first"]:
                self.of_lines = self._lines(outcomes, end)
            results = self.written()
            if not any(outcome.written for outcome in outcomes) and any(outcome.put_off for outcome in outcomes):
                break  # what does not fit now will not fit later
        return results

    def written(self) -> Path:
        """Write what there is into the results."""
        shown = _shown(self.store, self.chosen, self.plan)
        bring_histories(self.store, self.chosen, shown, self.load)
        left_out = [*self.left_out, *self.of_runs, *self.of_lines]
        info = _describe(self.plan, left_out, time.perf_counter() - self.started, self.command)
        if (group := distributed.current()) is not None:
            info["ranks"] = group.world
        self.store.describe({**info, LEVELS: list(self.levels), SET_ASIDE: _set_aside(self.store, shown)})
        return self.store.consolidate()

    def anything_is_there(self) -> bool:
        """Whether anything is stored that answers what is asked."""
        return any(_shown(self.store, self.chosen, self.plan).values())

    def _runs(self, measure: Measurer, of_round: dict[str, Any] | None) -> list[Measured]:
        outcomes = measure.runs(list(self.chosen), self.progress, of_round=of_round)
        shown = _shown(self.store, self.chosen, self.plan)
        self.of_runs = [bad for outcome in outcomes for bad in _skipped_of(outcome, shown) + outcome.put_off]
        # What a process measured before it died counts; what an earlier analysis measured is no result of this one.
        if not any(outcome.measured or (outcome.died and shown[outcome.run]) for outcome in outcomes):
            _refuse(self.root, self.left_out + self.of_runs)
        return outcomes

    def _pairs(self, outcomes: list[Measured]) -> list[Pair]:
        return comparable_pairs(_measured(self.chosen, outcomes), self.plan.pairs)

    def _lines(self, outcomes: list[Measured], end: float) -> list[dict[str, str]]:
        """Measure lines between minima one after another, as long as there is time for another one."""
        said, taken = list[dict[str, str]](), 0.0
        for pair in self._pairs(outcomes)[: self.plan.barriers]:
            if now() + taken >= end:
                break
            began = now()
            said += [bad for one in self.measure.pairs([pair], AtTheEnd(self.progress)) for bad in one.skipped]
            taken = now() - began
        return said


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
        "created": date_now(), "platform": platform.platform(), "threads": available_cores(),
        "versions": {
            "landscape": __version__, "torch": torch.__version__, "numpy": np.__version__,
            "python": sys.version.split()[0],
        },
    }  # fmt: skip
