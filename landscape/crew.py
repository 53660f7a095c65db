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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from landscape.measuring import Job, Outcome, Reporter, measure_run
from landscape.plan import Plan
from landscape.store import ResultStore


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


def measure_runs(store: ResultStore, jobs: Sequence[Job], plan: Plan, reporter: Reporter | None) -> list[Outcome]:
    """Measure all jobs; in this process where the crew is one."""
    board = _Board(reporter, [job.run for job in jobs])
    size = crew_size(plan, len(jobs))
    if size == 1:
        return [measure_run(store, job, plan, board.of(job.run)) for job in jobs]
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    threads = max(1, available_cores() // size)
    with ThreadPoolExecutor(size) as pool:
        crews = [pool.submit(_oversee, waiting, store.path, plan, threads, board) for _ in range(size)]
        try:
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
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
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

    def stop(self) -> None:
        """End all processes; what they have written stays."""
        self.stopped = True
        for process in self.processes:
            process.kill()


@dataclass
class _Line:
    board: _Board
    run: str

    def update(self, *, done: float, total: float, doing: str) -> None:
        self.board.update(self.run, done, total, doing)


def _oversee(waiting: queue.SimpleQueue[Job], path: Path, plan: Plan, threads: int, board: _Board) -> list[Outcome]:
    """Feed one process with jobs; where it dies, its run is listed as skipped and another process goes on."""
    outcomes: list[Outcome] = []
    process: subprocess.Popen[str] | None = None
    with tempfile.TemporaryFile("w+") as complaints:
        while not board.stopped:
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                break
            if process is None:
                process = _start(path, plan, threads, complaints)
                board.processes.append(process)
            outcome = _converse(process, job, board)
            if outcome is None:
                outcome = Outcome(job.run, skipped=[{"file": job.run, "reason": _epitaph(process, complaints)}])
                process = None
            outcomes.append(outcome)
        if process is not None and process.stdin is not None:
            process.stdin.close()
            process.wait()
    return outcomes


def _start(path: Path, plan: Plan, threads: int, complaints: IO[str]) -> subprocess.Popen[str]:
    orders = {"store": str(path), "plan": plan.fields(), "threads": threads, "path": sys.path}
    # The number of OpenMP threads is read when torch is loaded.
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    process = subprocess.Popen(
        [sys.executable, "-m", "landscape.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints,
        text=True, env=environment, bufsize=1,
    )  # fmt: skip
    _say(process, orders)
    return process


def _converse(process: subprocess.Popen[str], job: Job, board: _Board) -> Outcome | None:
    """Hand over a job and listen until it is done; None where the process died."""
    assert process.stdout is not None
    _say(process, asdict(job))
    for line in process.stdout:
        said = json.loads(line)
        if "outcome" in said:
            return Outcome(**said["outcome"])
        board.update(job.run, said["done"], said["total"], said["doing"])
    process.wait()
    return None


def _say(process: subprocess.Popen[str], message: dict[str, Any]) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        return  # the process is dead; whoever listens next notices


def _epitaph(process: subprocess.Popen[str], complaints: IO[str]) -> str:
    complaints.seek(0)
    last = complaints.read().strip().splitlines()[-1:] or ["it said nothing; likely out of memory"]
    return f"its process ended with status {process.returncode}: {last[0]}. Try --workers 1"
