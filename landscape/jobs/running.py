"""Jobs through an executor, whichever it is: all are done or have a reason, and nothing waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import Callable, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any, Protocol

from landscape.errors import LandscapeError, UsageError, in_one_line
from landscape.jobs.job import Failure, Job, Outcome, perform
from landscape.jobs.process import ProcessDied
from landscape.jobs.progress import Reporter, Total

#: Seconds between two polls of futures that cannot say by themselves that they are done, as those of submitit.
POLL_EVERY = 0.5


class Executor(Protocol):
    """Whatever makes calls somewhere: of this room, of ``concurrent.futures``, a Dask client, submitit.

    A future has ``result()`` and ``done()``; where it has ``add_done_callback`` too, nobody needs to ask it.
    """

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Have a function called; its future."""


def check_executor(executor: object) -> None:
    """Refuse what is no executor.

    Raises
    ------
    UsageError
    """
    if not callable(getattr(executor, "submit", None)):
        raise UsageError(
            f"executor={executor!r} has no submit(function, *args) that returns a future; pass such as "
            "concurrent.futures.ProcessPoolExecutor() or a dask.distributed.Client"
        )


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
    of the jobs that they concern; the others go on as far as the executor lets them.

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
        Jobs handed out and not yet done, at most.

    Raises
    ------
    UsageError
        If the executor has no ``submit``.
    BaseException
        An interrupt, or what ``finished`` or the reporter raise; what has not begun is then cancelled.
    """
    check_executor(executor)
    handed_out = _HandedOut(executor, Total(reporter, len(jobs)), finished or (lambda outcome: None))
    try:
        for index, job in enumerate(jobs):
            handed_out.add(index, job, prepare)
            handed_out.collect(wait=False)
            while at_once is not None and len(handed_out.futures) >= at_once:
                handed_out.collect(wait=True)
        while handed_out.futures:
            handed_out.collect(wait=True)
    except BaseException:
        handed_out.stop()
        raise
    return [handed_out.outcomes[index] for index in range(len(jobs))]


@dataclass
class _HandedOut:
    """Jobs that an executor has, by their place in the list, and the outcomes that are there."""

    executor: Any
    total: Total
    finished: Callable[[Outcome], None]
    futures: dict[int, tuple[str, Any]] = field(default_factory=dict)
    polled: set[int] = field(default_factory=set)  # those whose futures do not say by themselves that they are done
    arrived: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def add(self, index: int, job: Job, prepare: Callable[[Job], Job] | None) -> None:
        """Give a job to the executor; where it cannot be given, that is its outcome."""
        try:
            whole = job if prepare is None else prepare(job)
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
            said = f"its executor did not take it: {in_one_line(error)}"
            self._settle(index, Outcome(job.name, failure=Failure(said, "lost")))
            return
        self.futures[index] = job.name, future
        if hasattr(future, "add_done_callback"):
            future.add_done_callback(lambda _: self.arrived.put(index))
        else:
            self.polled.add(index)

    def collect(self, *, wait: bool) -> None:
        """Take in the outcomes that are there; with ``wait`` wait for one, or for the next time to ask."""
        # Never without a limit, or a long one: an interrupt that comes just before a wait is seen when it is over.
        limit = (POLL_EVERY if self.polled else 1.0) if wait else 0.0
        with contextlib.suppress(queue.Empty):
            self._settle_future(self.arrived.get(timeout=limit) if wait else self.arrived.get_nowait())
            while True:
                self._settle_future(self.arrived.get_nowait())
        for index in sorted(self.polled):
            if _is_done(self.futures[index][1]):
                self.polled.discard(index)
                self._settle_future(index)
        if self.total.error is not None:
            raise self.total.error

    def stop(self) -> None:
        """Nothing that has not begun is to begin, and in executors of this room nothing is to go on."""
        if hasattr(self.executor, "submit_reporting"):
            self.executor.kill()
            return
        for _, future in self.futures.values():
            with contextlib.suppress(Exception):
                future.cancel()

    def _settle_future(self, index: int) -> None:
        name, future = self.futures.pop(index)
        self._settle(index, _outcome_of(name, future))

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


def _outcome_of(name: str, future: Any) -> Outcome:
    """What a future has come to that is done."""
    try:
        outcome = future.result()
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except ProcessDied as error:
        return Outcome(name, failure=Failure(str(error), "died"))
    except BaseException as error:  # whatever an executor raises for a job that it lost
        return Outcome(name, failure=Failure(_lost(error), "lost"))
    if not isinstance(outcome, Outcome):
        said = f"its executor gave back a {type(outcome).__name__} where the outcome of a job belongs"
        return Outcome(name, failure=Failure(said, "lost"))
    return outcome


def _lost(error: BaseException) -> str:
    if isinstance(error, LandscapeError):
        return str(error)
    if isinstance(error, futures.CancelledError | asyncio.CancelledError):
        return "it was cancelled"
    said = " ".join(str(error).split())[:300]
    return f"its executor lost it: {type(error).__name__}{f': {said}' if said else ''}"
