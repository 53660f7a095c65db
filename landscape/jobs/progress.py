"""The progress of jobs: each reports its own where it runs, and that of several jobs is added up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol


class Reporter(Protocol):
    """Receives the progress of some work. The unit is the caller's, such as expected seconds."""

    def update(self, *, done: float, total: float, doing: str) -> None:
        """``done`` of ``total`` are done; ``doing`` says what is being done."""


_current: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


def current_reporter() -> Reporter | None:
    """To which the job that runs here reports; None where nobody listens, as in executors of others."""
    return _current.get()


@contextmanager
def reporting_to(reporter: Reporter | None) -> Iterator[None]:
    """A job that runs in this block reports to it."""
    before = _current.set(reporter)
    try:
        yield
    finally:
        _current.reset(before)


@dataclass
class Total:
    """Adds up the progress of jobs that run side by side; those not begun should take as long as the others.

    Parameters
    ----------
    reporter : Reporter or None
    jobs : int
        How many there are.

    Attributes
    ----------
    error : Exception or None
        What the reporter raised. A job does not hear of it: it is none of what the job does.
    """

    reporter: Reporter | None
    jobs: int
    seen: dict[int, tuple[float, float]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    error: Exception | None = None

    def part(self, index: int) -> Part:
        """The reporter of one of the jobs."""
        return Part(self, index)

    def update(self, index: int, done: float, total: float, doing: str) -> None:
        """Take in how far one of the jobs is."""
        with self.lock:
            self.seen[index] = (done, total)
            sums = [sum(column) for column in zip(*self.seen.values(), strict=True)]
            self._report(sums[0], sums[1] * self.jobs / len(self.seen), doing)

    def finished(self, count: int, doing: str) -> None:
        """So many jobs are done, where they do not report their own progress."""
        self._report(float(count), float(self.jobs), doing)

    def _report(self, done: float, total: float, doing: str) -> None:
        if self.reporter is None or self.error is not None:
            return
        try:
            self.reporter.update(done=done, total=total, doing=doing)
        except Exception as error:
            self.error = error


@dataclass(frozen=True)
class Part:
    """The share of one job in the progress of all."""

    whole: Total
    index: int

    def update(self, *, done: float, total: float, doing: str) -> None:
        """As of :class:`Reporter`."""
        self.whole.update(self.index, done, total, doing)
