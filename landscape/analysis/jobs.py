"""The measuring of runs and pairs as jobs: in this process, in several, or through any executor."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from landscape import distributed
from landscape.analysis.barriers import Pair, measure_pair, name_of
from landscape.analysis.cache import forget, opened_by
from landscape.analysis.measuring import Measured, measure_run
from landscape.analysis.plan import Plan
from landscape.analysis.rounds import Round
from landscape.analysis.survey import RunFiles
from landscape.errors import LandscapeError, ResultsError
from landscape.jobs import (
    Advice,
    Executor,
    Job,
    LocalExecutor,
    Outcome,
    Reporter,
    ThisProcess,
    Wide,
    available_cores,
    current_reporter,
    run,
)  # fmt: skip
from landscape.store import ResultStore
from landscape.store.files import DamagedResults
from landscape.version import __version__

#: Jobs that carry their checkpoints are in memory: at most this many at once, unless the plan has ``workers``.
AT_ONCE = 32
#: Earlier checkpoints of a run in one job, where an executor was given; a run with no more of them is one job.
EARLIER = 8
_HERE = "landscape.analysis.jobs"


def process_count(plan: Plan, runs: int) -> int:
    """Processes to use: as asked, else one per run and core on a CPU, and one in all on any other device.

    Counted over all runs of the folder, done or not: threads per process, and with them the last digits, must not
    depend on where an earlier analysis was stopped.
    """
    if plan.workers is not None:
        return min(plan.workers, runs)
    on_cpu = plan.device is None or plan.device.startswith("cpu")
    return min(runs, available_cores()) if on_cpu else 1


def threads_per_process(plan: Plan, runs: int) -> int:
    """As asked, else the cores shared out as if each run had a process: the same for any number of workers. Ranks that
    measure each run together share the cores of their machine.

    Never more than torch has here, which a person may have limited.
    """
    if plan.threads is not None:
        return plan.threads
    if (group := distributed.current()) is not None:
        most = min(torch.get_num_threads(), max(1, available_cores() // group.local_world))
        return distributed.agreed(most, "the number of threads")
    share = available_cores() // process_count(replace(plan, workers=None), runs)
    return min(torch.get_num_threads(), max(1, share))


def needs_processes(plan: Plan, count: int, *, after_a_crash: bool) -> bool:
    """Whether to measure in processes of their own rather than in this one.

    One more process costs seconds, on a GPU also memory, and a debugger does not reach into it. So one alone is this
    process, unless the analysis before died here: what killed it once would do so again, before any result is shown.
    """
    if count > 1:
        return True
    return after_a_crash if plan.workers is None else plan.workers > 1


def advice(*, alone: bool) -> Advice:
    """What helps where a process that measures dies; fewer of them only where there are others."""
    fewer = "" if alone else "fewer processes (--workers 1), "
    return Advice(
        memory=f"{fewer}a smaller --chunk or fewer --examples need less of it",
        crash="Another --dtype, --device or version of that library may go round it",
        again="the same command measures what is missing",
    )


@dataclass
class Measurer:
    """Has runs and pairs of one analysis measured.

    Attributes
    ----------
    store : ResultStore
    plan : Plan
    analysis : str
        A unique name of this analysis, under which each process keeps what it has open for it.
    executor : Executor
    threads : int
        Of torch in each job.
    shared : bool
        Whether the folder is there under its path wherever jobs run; else they carry its files.
    """

    store: ResultStore
    plan: Plan
    analysis: str
    executor: Executor
    threads: int
    shared: bool

    def runs(
        self, runs: Sequence[RunFiles], reporter: Reporter | None, *, of_round: dict[str, Any] | None = None
    ) -> list[Measured]:
        """Measure runs; whatever becomes of one, the others are measured.

        Parameters
        ----------
        of_round : dict, optional
            What a :class:`~landscape.analysis.rounds.Round` has beside a run's place; left out, there is no hurry.
        """
        if of_round is None and not isinstance(self.executor, ThisProcess | LocalExecutor):
            return self._in_parts(runs, reporter)
        jobs = [self._job(files.run, "run", [files]) for files in runs]
        if of_round is not None:
            place = {"jobs": len(jobs), "at_once": self.at_once(len(jobs))}
            jobs = [
                replace(job, args=({**job.args[0], "round": {**of_round, **place, "index": index}},))
                for index, job in enumerate(jobs)
            ]
        return self._measured(jobs, reporter)

    def _in_parts(self, runs: Sequence[RunFiles], reporter: Reporter | None) -> list[Measured]:
        """Runs with many checkpoints as several jobs: the last one, where the others begin, and then these."""
        long = {files.run for files in runs if len(files.files) - 1 > EARLIER}
        first = [replace(files, only=(len(files.files) - 1,)) if files.run in long else files for files in runs]
        outcomes = self._measured([self._job(files.run, "run", [files]) for files in first], reporter)
        measured = {outcome.run: outcome for outcome in outcomes}
        parts = [
            replace(files, only=tuple(range(max(0, end - EARLIER), end)))
            for files in runs
            if files.run in long and measured[files.run].measured
            for end in range(len(files.files) - 1, 0, -EARLIER)
        ]
        for part in self._measured([self._job(files.run, "run", [files]) for files in parts], reporter):
            whole = measured[part.run]
            whole.skipped += part.skipped
            whole.written += part.written
        return outcomes

    def at_once(self, count: int) -> int:
        """How many of so many jobs are done side by side, as far as this side knows."""
        if isinstance(self.executor, ThisProcess):
            return 1
        side_by_side = self.executor.width() if isinstance(self.executor, Wide) else process_count(self.plan, count)
        return max(min(side_by_side, count), 1)

    def pairs(self, pairs: Sequence[Pair], reporter: Reporter | None) -> list[Measured]:
        """Measure the lines between the ends of runs."""
        return self._measured([self._job(name_of(pair), "pair", pair) for pair in pairs], reporter)

    def _job(self, name: str, kind: str, runs: Sequence[RunFiles]) -> Job:
        question: dict[str, Any] = {
            "kind": kind,
            "plan": self.plan.fields(),
            "analysis": self.analysis,
            "version": __version__,
        }
        question |= {"folder": str(self.store.path.parent), "runs": [asdict(files) for files in runs]}
        return Job(name, f"{_HERE}:measure_in_folder", (question,), self.threads)

    def _measured(self, jobs: list[Job], reporter: Reporter | None) -> list[Measured]:
        how: dict[str, Any] = {"reporter": reporter, "finished": self._take}
        if not self.shared:
            how |= {"prepare": self._with_bytes, "at_once": self.plan.workers or AT_ONCE}
        return [_as_measured(outcome) for outcome in run(jobs, self.executor, **how)]

    def _with_bytes(self, job: Job) -> Job:
        """The job with its checkpoints and what is stored of its runs, to be done where the folder is not."""
        (question,) = job.args
        runs = [{**run, "files": _carried(RunFiles(**run))} for run in question["runs"]]
        stored = self.store.export([run["run"] for run in question["runs"]])
        return replace(job, function=f"{_HERE}:measure_from_bytes", args=({**question, "runs": runs}, stored))

    def _take(self, outcome: Outcome) -> None:
        """Store what came back, and stop where records cannot be stored: to go on would be to measure for nothing."""
        if outcome.failure is not None:
            return
        if "unstored" in outcome.value:
            raise ResultsError(outcome.value["unstored"])
        for part in outcome.value.pop("parts", []):
            try:
                self.store.adopt(part, runs=outcome.value["runs"])
            except DamagedResults as error:
                outcome.value["measured"]["skipped"].append({"file": outcome.name, "reason": str(error)})


def _carried(files: RunFiles) -> list[tuple[str, bytes]]:
    """Names and bytes of a run's files; of those that are not looked at, no bytes.

    Where the last one is measured, all are looked at, for the path of the run; along it, the first one always.
    """
    last = len(files.files) - 1
    needed = {*range(last + 1)} if files.is_wanted(last) else {last, *(files.only or ())}
    needed |= {0} if files.along else set()
    return [(Path(file).name, Path(file).read_bytes() if i in needed else b"") for i, file in enumerate(files.files)]


def _as_measured(outcome: Outcome) -> Measured:
    if outcome.failure is None:
        return Measured(**outcome.value["measured"])
    entry = {"file": outcome.name, "reason": outcome.failure.reason}
    trace = {"traceback": outcome.failure.traceback} if outcome.failure.traceback else {}
    return Measured(outcome.name, died=True, skipped=[entry | trace])


@contextmanager
def measurer(
    store: ResultStore, plan: Plan, runs: int, analysis: str, *, executor: Executor | None, shared: bool
) -> Iterator[Measurer]:
    """Where the runs of an analysis are measured: by the executor given, else in this process or in several."""
    count, threads = process_count(plan, runs), threads_per_process(plan, runs)
    is_here = distributed.current() is not None  # all ranks measure each run, one run after another
    if is_here or (executor is None and not needs_processes(plan, count, after_a_crash=store.after_a_crash)):
        yield Measurer(store, plan, analysis, ThisProcess(), threads, True)
        return
    forget(analysis)  # others open the files, and this process does not again
    if executor is not None:
        yield Measurer(store, plan, analysis, executor, threads, shared)
    else:
        with LocalExecutor(count, threads=threads, advice=advice(alone=count == 1)) as local:
            yield Measurer(store, plan, analysis, local, threads, True)


def measure_in_folder(question: dict[str, Any]) -> dict[str, Any]:
    """A job: measure a run or a pair of a folder that is here, and write the records there."""
    if question["version"] != __version__:
        raise LandscapeError(
            f"landscape {__version__} is installed where this was to be measured, and {question['version']} where it "
            "was asked for; install the same"
        )
    plan, opened, reporter = Plan(**question["plan"]), opened_by(question["analysis"]), current_reporter()
    runs = [RunFiles(**run) for run in question["runs"]]

    def report(doing: str) -> None:
        if reporter is not None:
            reporter.update(done=1.0, total=1.0, doing=doing)

    with distributed.of_first(lambda: ResultStore(question["folder"], lock=False)) as store:
        try:
            if question["kind"] == "pair":
                measured = measure_pair(store, (runs[0], runs[1]), plan, opened, report)
            else:
                budget = Round(**question["round"]).begin() if "round" in question else None
                measured = measure_run(store, runs[0], plan, opened, reporter, budget)
        except ResultsError as error:
            return {"unstored": str(error)}
    return {"measured": asdict(measured)}


def measure_from_bytes(question: dict[str, Any], stored: bytes) -> dict[str, Any]:
    """A job: the same where the folder is not, with the bytes of its files; the records come back as bytes."""
    with tempfile.TemporaryDirectory(prefix="landscape-") as folder:
        runs: list[dict[str, Any]] = []
        for index, run in enumerate(question["runs"]):
            home = Path(folder) / str(index)  # the name of a run may lead anywhere
            home.mkdir()
            for file, content in run["files"]:
                (home / Path(file).name).write_bytes(content)
            runs.append({**run, "files": tuple(str(home / Path(file).name) for file, _ in run["files"])})
        store = ResultStore(folder, lock=False)
        store.path.write_bytes(stored)
        outcome = measure_in_folder({**question, "folder": folder, "runs": runs})
        if "unstored" in outcome:
            raise LandscapeError(outcome["unstored"])
        for bad in outcome["measured"]["skipped"]:
            for index, run in enumerate(runs):
                bad["reason"] = bad["reason"].replace(str(Path(folder) / str(index)), run["run"])
        return {**outcome, "parts": store.written(), "runs": [run["run"] for run in runs]}
