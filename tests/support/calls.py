"""Functions for jobs, and executors that go wrong. Imported as ``tests.support.calls``, by other processes too."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path

from landscape.jobs import current_reporter


def twice(number):
    return 2 * number


def divide(number):
    return number / 0


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def process():
    return os.getpid()


def sleep(seconds, mark=None):
    if mark is not None:
        Path(mark).touch()
    time.sleep(seconds)


def threads():
    import torch

    return torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")


def disturb(number):
    """Prints, by Python and below it, reads, and forks a process that lives on."""
    print("\0\0\0\0\0\0\0\1x", flush=True)
    os.write(1, b"\0" * 64)
    os.write(2, bytes(range(128, 256)))
    assert sys.stdin.read() == ""
    if not os.fork():
        time.sleep(20)
        os._exit(0)
    return 2 * number


def a_lock():
    return threading.Lock()


def leave():
    raise SystemExit("no more")


def report(parts):
    for part in range(1, parts + 1):
        reporter = current_reporter()
        if reporter is not None:
            reporter.update(done=part, total=parts, doing=f"part {part}")
    return parts


_inside = []


def alone():
    """How many of these run in this process at the same time."""
    _inside.append(None)
    time.sleep(0.05)
    count = len(_inside)
    _inside.pop()
    return count


def refuse_folder(folder):
    """From now on this process can open nothing below a folder, and stands elsewhere."""

    def hook(event, args):
        is_a_path = event == "open" and isinstance(args[0], str | bytes | os.PathLike)
        if is_a_path and os.fsdecode(args[0]).startswith(folder):
            raise PermissionError(f"{args[0]} is out of reach here")

    sys.addaudithook(hook)
    os.chdir("/")


class Refusing:
    """Takes no job, as a pool that was shut down."""

    def submit(self, function, *args):
        raise RuntimeError("cannot schedule new futures after shutdown")


class Odd:
    """The futures of three jobs go wrong, each in its own way, whenever they are tried."""

    def __init__(self):
        self.tried = []

    def submit(self, function, job):
        self.tried.append(job.name)
        future, which = Future(), job.args[0]
        if which == 0:
            future.set_exception(ConnectionError("the worker\nis gone"))
        elif which == 1:
            future.cancel()
            future.set_running_or_notify_cancel()
        elif which == 2:
            future.set_result("no outcome")
        else:
            future.set_result(function(job))
        return future


class Losing:
    """Makes calls at once; the futures that are chosen by their number, from 0, are lost."""

    def __init__(self, is_lost, error=None, *, silent=False):
        error = error or ConnectionError("the worker is gone")
        self.is_lost, self.error, self.silent, self.given = is_lost, error, silent, []

    def submit(self, function, job):
        number = len(self.given)
        self.given.append(job.name)
        if self.is_lost(number):
            return SilentFuture(_raising, (self.error,)) if self.silent else _failed(self.error)
        return SilentFuture(function, (job,)) if self.silent else _done(function(job))


def _raising(error):
    raise error


def _failed(error):
    future = Future()
    future.set_exception(error)
    return future


def _done(value):
    future = Future()
    future.set_result(value)
    return future


class Silent:
    """Futures as submitit's: they must be asked, and the job is done when they are."""

    def submit(self, function, *args):
        return SilentFuture(function, args)


class SilentFuture:
    def __init__(self, function, args):
        self.call, self.asked = (function, args), 0

    def done(self):
        self.asked += 1
        return self.asked > 1

    def result(self):
        function, args = self.call
        return function(*args)


def die_once(mark):
    """Ends its process, unless one was ended so before."""
    if not os.path.exists(mark):
        Path(mark).touch()
        kill()
    return "alive"


def parent_after(seconds):
    time.sleep(seconds)
    return os.getppid()


def end_worker_once(mark):
    """Ends the worker in whose process below this runs, unless one was ended so before."""
    if not os.path.exists(mark):
        Path(mark).touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(30)
    return "alive"


def greeting():
    return os.environ.get("GREETING")


def after(*marks):
    """Done when files are there."""
    while not all(map(os.path.exists, marks)):
        time.sleep(0.05)
