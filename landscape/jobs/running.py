"""Jobs through an executor, whichever it is: all are done or have a reason, and nothing waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import queue
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

from landscape.errors import LandscapeError, in_one_line
from landscape.jobs.executor import Abandoned, Executor, Limited, ProcessDied, Stoppable, check_executor
from landscape.jobs.job import Failure, Job, Outcome, perform
from landscape.jobs.progress import Reporter, Total

#: Seconds between two polls of futures that cannot say by themselves that they are done, as those of submitit; and of
#: those that can, whose word may have gone with the connection on which it was to come.
POLL_EVERY, ASK_ALL_EVERY = 0.5, 5.0
#: What would go wrong in any process: what cannot be pickled, or imported where it is opened.
_ANYWHERE = (pickle.PickleError, TypeError, AttributeError, ImportError)


def run(
    jobs: Sequence[Job],
    executor: Executor,
    *,
    reporter: Reporter | None = None,
    finished: Callable[[Outcome], None] | None = None,
    prepare: Callable[[Job], Job] | None = None,
    at_once: int | None = None,
) -> list[Outcome]:
    """Do all jobs; their outcomes, in the order of the jobs.

    What a job raises, a process that dies, a future that is cancelled and an executor that takes no more are outcomes
    of the jobs that they concern; the others go on as far as the executor lets them. A job whose process died, or that
    the executor lost, is handed out once more; what it raised, it would raise again.

    Parameters
    ----------
    jobs : sequence of Job
    executor : Executor
        It is not closed: whoever made it does that.
    reporter : Reporter, optional
        Receives the progress of all: from the jobs themselves in executors of this room, else whenever one is done.
    finished : callable, optional
        Called with each outcome when it is there. What it raises ends the run.
    prepare : callable, optional
        Called with each job when it is handed out: the job with all that it carries, so that not all need be in memory.
    at_once : int, optional
        Jobs handed out and not yet done, at most; also ``executor.at_once``, where it has that.

    Raises
    ------
    UsageError
        If the executor has no ``submit``.
    BaseException
        An interrupt, or what ``finished`` or the reporter raise; what has not begun is then cancelled.
    """
    check_executor(executor)
    own = executor.at_once if isinstance(executor, Limited) else None
    most = min([len(jobs) + 1, *(limit for limit in (at_once, own) if limit is not None)])
    handed_out = _HandedOut(executor, Total(reporter, len(jobs)), finished or (lambda outcome: None), prepare)
    try:
        for index, job in enumerate(jobs):
            handed_out.add(index, job)
            handed_out.collect(wait=False)
            while len(handed_out.open) >= most:
                handed_out.collect(wait=True)
        while handed_out.open:
            handed_out.collect(wait=True)
    except BaseException:
        handed_out.stop()
        raise
    return [handed_out.outcomes[index] for index in range(len(jobs))]


@dataclass(frozen=True)
class _Open:
    """A job that an executor has, and why it was lost before, if it was."""

    job: Job
    future: Any
    lost: str = ""

    @property
    def is_silent(self) -> bool:
        return not hasattr(self.future, "add_done_callback")


@dataclass
class _HandedOut:
    """Jobs that an executor has, by their place in the list, and the outcomes that are there."""

    executor: Any
    total: Total
    finished: Callable[[Outcome], None]
    prepare: Callable[[Job], Job] | None
    open: dict[int, _Open] = field(default_factory=dict)
    arrived: queue.SimpleQueue[tuple[int, Any]] = field(default_factory=queue.SimpleQueue)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    all_asked: float = field(default_factory=time.monotonic)

    def add(self, index: int, job: Job, lost: str = "") -> None:
        """Give a job to the executor; where it cannot be given, that is its outcome."""
        try:
            whole = job if self.prepare is None else self.prepare(job)
        except Exception as error:
            self._settle(index, Outcome(job.name, failure=Failure.of(error)))
            return
        try:
            reporting = getattr(self.executor, "submit_reporting", None)
            if reporting is not None:
                future = reporting(self.total.part(index), perform, whole)
            else:
                future = self.executor.submit(perform, whole)
        except Exception as error:
            why = str(error) if isinstance(error, LandscapeError) else in_one_line(error)
            said = f"its executor did not take it: {why}"
            self._settle(index, Outcome(job.name, failure=Failure(f"{lost}; then {said}" if lost else said, "lost")))
            return
        self.open[index] = found = _Open(job, future, lost)
        if not found.is_silent:
            future.add_done_callback(lambda done: self.arrived.put((index, future)))

    def collect(self, *, wait: bool) -> None:
        """Take in the outcomes that are there; with ``wait`` wait for one, or for the next time to ask."""
        # Never without a limit, or a long one: an interrupt that comes just before a wait is seen when it is over.
        silent = [index for index, found in self.open.items() if found.is_silent]
        limit = (POLL_EVERY if silent else 1.0) if wait else 0.0
        with contextlib.suppress(queue.Empty):
            self._take_in(*(self.arrived.get(timeout=limit) if wait else self.arrived.get_nowait()))
            while True:
                self._take_in(*self.arrived.get_nowait())
        asked = silent
        if time.monotonic() - self.all_asked > ASK_ALL_EVERY:
            asked, self.all_asked = list(self.open), time.monotonic()
        for index in asked:
            if index in self.open and _is_done(self.open[index].future):
                self._take_in(index, self.open[index].future)
        if self.total.error is not None:
            raise self.total.error

    def stop(self) -> None:
        """Nothing that has not begun is to begin, and in executors of this room nothing is to go on."""
        if isinstance(self.executor, Stoppable):
            self.executor.kill()
            return
        for found in self.open.values():
            with contextlib.suppress(Exception):
                found.future.cancel()

    def _take_in(self, index: int, future: Any) -> None:
        found = self.open.get(index)
        if found is None or found.future is not future:
            return  # it was taken in before
        del self.open[index]
        outcome, is_worth_another = _outcome_of(found.job.name, future)
        if outcome.failure is None or not is_worth_another:
            self._settle(index, outcome)
        elif not found.lost:
            self.add(index, found.job, lost=outcome.failure.reason)
        else:
            reason = _twice(found.lost, outcome.failure.reason)
            self._settle(index, Outcome(outcome.name, failure=Failure(reason, outcome.failure.kind)))

    def _settle(self, index: int, outcome: Outcome) -> None:
        self.outcomes[index] = outcome
        self.finished(outcome)
        if not hasattr(self.executor, "submit_reporting"):
            self.total.finished(len(self.outcomes), outcome.name)


def _is_done(future: Any) -> bool:
    try:
        return bool(future.done())
    except Exception:  # what is wrong with it, its result will say
        return True


def _outcome_of(name: str, future: Any) -> tuple[Outcome, bool]:
    """What a future has come to that is done, and whether the job may fare better in another process."""
    try:
        outcome = future.result()
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except ProcessDied as error:
        return Outcome(name, failure=Failure(str(error), "died")), not isinstance(error, Abandoned)
    except LandscapeError as error:
        return Outcome(name, failure=Failure.of(error)), False
    except BaseException as error:  # whatever an executor raises for a job that it lost
        return Outcome(name, failure=Failure(_lost(error), "lost")), not isinstance(error, _ANYWHERE)
    if not isinstance(outcome, Outcome):
        said = f"its executor gave back a {type(outcome).__name__} where the outcome of a job belongs"
        return Outcome(name, failure=Failure(said, "lost")), True
    return outcome, False


def _lost(error: BaseException) -> str:
    if isinstance(error, futures.CancelledError | asyncio.CancelledError):
        return "it was cancelled"
    said = " ".join(str(error).split())[:300]
    return f"its executor lost it: {type(error).__name__}{f': {said}' if said else ''}"


def _twice(first: str, second: str) -> str:
    return f"{second} (so it was when it was tried again)" if first == second else f"{second} (before that: {first})"
