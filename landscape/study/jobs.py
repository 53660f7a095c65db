"""Many trainings side by side, each in a process of its own, none done twice."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape.errors import LandscapeError, foreign_errors


@dataclass(frozen=True)
class Job:
    """A training into a folder.

    Attributes
    ----------
    settings : dict
        As a training stores them: ``problem`` and ``problem_config`` among them.
    """

    folder: Path
    settings: dict[str, Any]
    data: str | None = None


@dataclass(frozen=True)
class Done:
    """What became of a job: the metrics of its last checkpoint, or why there are none."""

    folder: Path
    metrics: dict[str, Any] | None
    reason: str = ""


def run_jobs(jobs: Sequence[Job], *, workers: int, watch: Callable[[Done], None] | None = None) -> list[Done]:
    """Do all jobs, or the rest of them: a run that stopped goes on, one that is complete is left alone.

    A run that diverges is an outcome, not an error. Processes begin afresh, with one thread each, so that a run does
    not depend on which others there are.

    Raises
    ------
    LandscapeError
        If a model, loss or problem raises, or a process dies; the other runs are trained first, and all that was
        trained is kept.
    """
    found: dict[Path, Done] = {}
    if workers == 1:
        for job in jobs:
            found[job.folder] = _tell(_train(job), watch)
    else:
        with told_of_deaths(), processes(min(workers, len(jobs)) or 1) as pool:
            for future in as_completed([pool.submit(_train, job) for job in jobs]):
                done = _tell(future.result(), watch)
                found[done.folder] = done
    return [found[job.folder] for job in jobs]


@contextmanager
def told_of_deaths() -> Iterator[None]:
    """A process that dies is one line, with what can be done."""
    try:
        yield
    except BrokenProcessPool as error:
        raise LandscapeError(
            "a process of the study died before its run was done. Either memory ran out, and fewer workers need less; "
            "or a library crashed in it, and workers=1 shows where. What was done is kept, and the study goes on there"
        ) from error


def processes(count: int) -> ProcessPoolExecutor:
    """So many processes that begin afresh, and end with this one."""
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """End this process when the one that began it is gone, however that was ended.

    Without it a study that was killed trains on unseen, into folders that the next start of it writes too.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch, so that a run does not depend on how many run beside it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _tell(done: Done, watch: Callable[[Done], None] | None) -> Done:
    if watch is not None:
        watch(done)
    return done


def _train(job: Job) -> Done:
    from landscape.checkpoints import checkpoint_files
    from landscape.problems import load_problem
    from landscape.training import Diverged, train

    asked = {key: value for key, value in job.settings.items() if key not in ("problem", "problem_config")}
    try:
        with one_thread(), foreign_errors(f"training {job.folder.name}"):
            problem = load_problem(job.settings["problem"], job.settings["problem_config"], data_dir=job.data)
            last = train(problem, job.folder, resume=bool(checkpoint_files(job.folder)), **asked)
    except Diverged as error:
        return Done(job.folder, None, str(error))
    return Done(job.folder, last.metrics)
