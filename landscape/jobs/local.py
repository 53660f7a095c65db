"""The executor for one machine: processes of their own, of which each may die without the others."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from landscape.checks import check_count
from landscape.errors import LandscapeError
from landscape.jobs.executor import ProcessDied, Stoppable
from landscape.jobs.exit_reasons import Advice
from landscape.jobs.job import place_of
from landscape.jobs.process import WorkerProcess
from landscape.jobs.progress import Reporter, reporting_to

__all__ = ["LocalExecutor", "ThisProcess", "available_cores"]


def available_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ThisProcess(Stoppable):
    """An executor that makes each call at once, where a debugger reaches it; a crash ends this process."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Make the call; the future is done when this returns."""
        return self.submit_reporting(None, function, *args)

    def submit_reporting(self, reporter: Reporter | None, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """As :meth:`submit`; the reporter receives its progress."""
        future: Future[Any] = Future()
        try:
            with reporting_to(reporter):
                future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def kill(self) -> None:
        """Nothing is left running."""


@dataclass
class _Call:
    place: str
    args: tuple[Any, ...]
    reporter: Reporter | None
    future: Future[Any] = field(default_factory=Future)


class LocalExecutor(Stoppable):
    """Processes on this machine, each a fresh interpreter with as many threads as asked for; a context manager.

    A process that dies is the error :class:`ProcessDied` of the one call that it was making, and another process takes
    its place. All end with this one, however that ends, and at Ctrl-C when the executor is closed. What calls read
    from stdin is empty, and what they print goes nowhere; the end of stderr is read where a process died.

    Parameters
    ----------
    workers : int
        Processes at most; each is started when there is something to do for it.
    threads : int, optional
        OpenMP threads of each; left out, as the environment says.
    advice : Advice
        What helps where a process dies.

    Examples
    --------
    >>> import operator
    >>> with LocalExecutor(2, threads=1) as executor:
    ...     futures = [executor.submit(operator.add, n, 1) for n in range(3)]
    ...     print([future.result() for future in futures])
    [1, 2, 3]
    """

    def __init__(self, workers: int, *, threads: int | None = None, advice: Advice | None = None) -> None:
        check_count("workers", workers)
        self._workers, self._threads, self._advice = workers, threads, advice or Advice()
        self._waiting: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._processes: set[WorkerProcess] = set()
        self._feeders: list[threading.Thread] = []
        self._open = 0  # calls that wait or are being made
        self._closed = self._stopped = False

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.kill()
        self.shutdown()

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Have a function called in one of the processes.

        Parameters
        ----------
        function : callable
            At the top of a module that the processes can import.
        args
            What can be pickled.

        Raises
        ------
        LandscapeError
            If the executor is closed, or the function cannot be imported.
        """
        return self.submit_reporting(None, function, *args)

    def submit_reporting(self, reporter: Reporter | None, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """As :meth:`submit`; the reporter receives what the function reports to :func:`current_reporter`."""
        call = _Call(place_of(function), args, reporter)
        with self._lock:
            if self._closed:
                raise LandscapeError("this executor is closed; make another LocalExecutor")
            self._waiting.put(call)
            self._open += 1
            if len(self._feeders) < min(self._workers, self._open):
                feeder = threading.Thread(target=self._feed, daemon=True)
                self._feeders.append(feeder)
                feeder.start()
        return call.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """No more calls are taken; the processes end when theirs are made.

        Parameters
        ----------
        wait : bool
            Until then.
        cancel_futures : bool
            Calls that were not begun are not made.
        """
        with self._lock:
            self._closed, feeders = True, list(self._feeders)
        if cancel_futures:
            self._cancel_waiting()
        for _ in feeders:
            self._waiting.put(None)
        if wait:
            for feeder in feeders:
                feeder.join()

    def kill(self) -> None:
        """End all processes now; what they have written stays."""
        with self._lock:
            self._closed = self._stopped = True
            for process in self._processes:
                process.kill()
        self._cancel_waiting()
        self.shutdown(wait=False)

    def _cancel_waiting(self) -> None:
        while True:
            try:
                call = self._waiting.get_nowait()
            except queue.Empty:
                return
            if call is not None:
                call.future.cancel()
                call.future.set_running_or_notify_cancel()

    def _feed(self) -> None:
        """Feed one process with calls; where it dies, another goes on with the rest."""
        process: WorkerProcess | None = None
        while (call := self._waiting.get()) is not None:
            if not self._stopped and call.future.set_running_or_notify_cancel():
                try:
                    if process is not None and process.has_ended():  # while it had nothing to do, which costs no call
                        self._forget(process)
                        process = None
                    process = process or self._started()
                    kind, said = process.call(call.place, call.args, call.reporter)
                    if kind == "raised":
                        call.future.set_exception(said.as_error())
                    else:
                        call.future.set_result(said)
                except BaseException as error:
                    could_start = process is not None
                    self._forget(process)
                    process = None
                    call.future.set_exception(error)
                    if not could_start and self._processes:
                        break  # the others do the rest, rather than that this one refuses it
            with self._lock:
                self._open -= 1
        if process is not None:
            process.close()
            self._forget(process)

    def _started(self) -> WorkerProcess:
        with self._lock:
            if self._stopped:
                raise LandscapeError("this executor was stopped")
            try:
                process = WorkerProcess(self._threads, self._advice)
            except OSError as error:
                raise ProcessDied(
                    f"no process could be started to work in ({error}); ask for fewer workers, or for one"
                ) from error
            self._processes.add(process)
            return process

    def _forget(self, process: WorkerProcess | None) -> None:
        """It is of no more use: what it would answer belongs to a call that is over."""
        if process is not None:
            process.kill()
            with self._lock:
                self._processes.discard(process)
