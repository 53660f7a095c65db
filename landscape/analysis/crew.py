"""Runs measured side by side, each in a process of its own: small models gain more from that than from threads."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from typing import IO, Any

import torch

from landscape.analysis.measuring import Job, Outcome, Reporter, measure_run
from landscape.analysis.plan import Plan
from landscape.errors import LandscapeError, ResultsError
from landscape.jobs.endings import why_it_ended
from landscape.store import ResultStore

STDERR_TAIL = 64 * 1024  # bytes at the end of what a process wrote on stderr, in which the reason stands


def available_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def crew_size(plan: Plan, runs: int) -> int:
    """Processes to use: as asked, else one per run and core on a CPU, and one in all on any other device.

    Counted over all runs of the folder, done or not: threads per process, and with them the last digits, must not
    depend on where an earlier analysis was stopped.
    """
    if plan.workers is not None:
        return min(plan.workers, runs)
    on_cpu = plan.device is None or plan.device.startswith("cpu")
    return min(runs, available_cores()) if on_cpu else 1


def needs_processes(plan: Plan, size: int, *, after_a_crash: bool) -> bool:
    """Whether to measure in processes of their own rather than in this one.

    One more process costs seconds, on a GPU also memory, and a debugger does not reach into it. So one alone is this
    process, unless the analysis before died here: what killed it once would do so again, before any result is shown.
    """
    if size > 1:
        return True
    return after_a_crash if plan.workers is None else plan.workers > 1


def measure_runs(store: ResultStore, jobs: Sequence[Job], plan: Plan, reporter: Reporter | None) -> list[Outcome]:
    """Measure all jobs, in this process or in several.

    Raises
    ------
    ResultsError
        If records cannot be stored.
    LandscapeError
        If no process can be started.
    """
    board = _Board(reporter, [job.run for job in jobs])
    size = crew_size(plan, len(jobs))
    if not needs_processes(plan, size, after_a_crash=store.after_a_crash):
        return [measure_run(store, job, plan, board.of(job.run)) for job in jobs]
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    # As many as this process would use, where one measures in its place: so the last digits are the same.
    threads = torch.get_num_threads() if size == 1 else max(1, available_cores() // size)
    orders = {"store": str(store.path), "plan": plan.fields(), "threads": threads, "path": [*map(str, sys.path)]}
    with ThreadPoolExecutor(size) as pool:
        try:
            crews = [pool.submit(_measure_with_one, waiting, orders, board, alone=size == 1) for _ in range(size)]
            wait(crews, return_when=FIRST_EXCEPTION)
            failed = [error for crew in crews if crew.done() and (error := crew.exception()) is not None]
            if failed:
                raise failed[0]
            found = {outcome.run: outcome for crew in crews for outcome in crew.result()}
        except BaseException:
            board.stop()
            raise
    return [found[job.run] for job in jobs]


@dataclass
class _Board:
    """Adds up the progress of jobs that run side by side; those not begun should take as long as the others."""

    reporter: Reporter | None
    runs: list[str]
    seen: dict[str, tuple[float, float]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    workers: list[_Worker] = field(default_factory=list)
    stopped: bool = False

    def of(self, run: str) -> _Line:
        return _Line(self, run)

    def update(self, run: str, done: float, total: float, doing: str) -> None:
        with self.lock:
            self.seen[run] = (done, total)
            if self.reporter is not None:
                sums = [sum(column) for column in zip(*self.seen.values(), strict=True)]
                whole = sums[1] * len(self.runs) / len(self.seen)
                self.reporter.update(done=sums[0], total=whole, doing=doing)

    def hire(self, orders: dict[str, Any]) -> _Worker | None:
        """A new process; none where all is to stop."""
        with self.lock:
            if self.stopped:
                return None
            worker = _Worker(orders)
            self.workers.append(worker)
            return worker

    def stop(self) -> None:
        """End all processes; what they have written stays."""
        with self.lock:
            self.stopped = True
            for worker in self.workers:
                worker.process.kill()


@dataclass
class _Line:
    board: _Board
    run: str

    def update(self, *, done: float, total: float, doing: str) -> None:
        self.board.update(self.run, done, total, doing)


def _measure_with_one(
    waiting: queue.SimpleQueue[Job], orders: dict[str, Any], board: _Board, *, alone: bool
) -> list[Outcome]:
    """Feed one process with jobs; where it dies, its run is listed as skipped and another process goes on."""
    outcomes: list[Outcome] = []
    worker: _Worker | None = None
    while not board.stopped:
        try:
            job = waiting.get_nowait()
        except queue.Empty:
            break
        worker = worker or board.hire(orders)
        if worker is None:
            break
        outcome = worker.measure(job, board)
        if outcome is None:
            reason = worker.ending(alone=alone)
            outcome = Outcome(job.run, died=True, skipped=[{"file": job.run, "reason": reason}])
            worker = None
        outcomes.append(outcome)
    if worker is not None:
        worker.dismiss()
    return outcomes


class _Worker:
    """One process of ``landscape.analysis.worker``, and the pipes to it."""

    def __init__(self, orders: dict[str, Any]) -> None:
        # The number of OpenMP threads is read when torch is loaded.
        environment = {**os.environ, "OMP_NUM_THREADS": str(orders["threads"])}
        try:
            self.stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
            self.process = subprocess.Popen(
                [sys.executable, "-m", "landscape.analysis.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self.stderr, encoding="ascii", env=environment, bufsize=1,
            )  # fmt: skip
        except OSError as error:
            raise LandscapeError(f"no process could be started to measure in ({error}); try --workers 1") from error
        self.say(orders)

    def say(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            # Paths among the settings go as text. ASCII, so that names of any bytes pass.
            self.process.stdin.write(json.dumps(message, default=str) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return  # the process is dead; whoever listens next notices

    def measure(self, job: Job, board: _Board) -> Outcome | None:
        """Hand over a job and listen until it is done; None where the process died."""
        assert self.process.stdout is not None
        self.say(asdict(job))
        for line in self.process.stdout:
            if not line.endswith("\n"):
                break  # cut off by its death
            said = json.loads(line)
            if "outcome" in said:
                return Outcome(**said["outcome"])
            if "unstored" in said:
                raise ResultsError(said["unstored"])
            board.update(job.run, said["done"], said["total"], said["doing"])
        return None

    def ending(self, *, alone: bool) -> str:
        """Why it died."""
        status = self.process.wait()
        self.stderr.seek(max(0, self.stderr.seek(0, os.SEEK_END) - STDERR_TAIL))
        said = self.stderr.read().decode(errors="replace")
        self.close()
        return why_it_ended(status, said, alone=alone)

    def dismiss(self) -> None:
        """There is no more to do."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()
        self.close()

    def close(self) -> None:
        for pipe in (self.process.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
