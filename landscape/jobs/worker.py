"""The other end of a local executor's pipes: takes calls from stdin, makes them, answers on stdout. Not for people."""

from __future__ import annotations

import faulthandler
import os
import queue
import signal
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import BinaryIO

from landscape.jobs.job import Failure, function_at
from landscape.jobs.pipes import opened, receive, send
from landscape.jobs.progress import reporting_to


@dataclass
class PipeReporter:
    """Sends how far a job is."""

    pipe: BinaryIO

    def update(self, *, done: float, total: float, doing: str) -> None:
        """As of :class:`landscape.jobs.Reporter`."""
        answer(self.pipe, ("progress", done, total, doing))


def answer(pipe: BinaryIO, message: object) -> None:
    """Send a message; where nobody listens any more, there is nobody to work for."""
    try:
        send(pipe, message)
    except BrokenPipeError:
        os._exit(1)


def take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Stdin and stdout for the executor alone: what a job reads or prints must not come between."""
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), sys.stderr
    if hasattr(os, "register_at_fork"):
        # What a job forks must not keep the pipes open when this process has died: the executor would wait for ever.
        os.register_at_fork(after_in_child=lambda: [os.dup2(nothing, pipe.fileno()) for pipe in (calls, answers)])
    return calls, answers


def listen(pipe: BinaryIO, calls: queue.SimpleQueue[bytes]) -> None:
    """Pass calls on. Their end is the end of the executor, whatever runs here: another one may come any moment."""
    while (call := receive(pipe)) is not None:
        calls.put(call)
    os._exit(0)


def main() -> None:
    """Work until stdin ends."""
    faulthandler.enable(all_threads=False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes, and it is the parent that decides
    pipe, answers = take_pipes()
    try:
        work(pipe, answers)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # the usual way out would wait for the thread that listens


def work(pipe: BinaryIO, answers: BinaryIO) -> None:
    """Take the search path, then make one call after the other."""
    first = receive(pipe)
    if first is None:
        return
    sys.path[:] = opened(first)
    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(pipe, calls), daemon=True).start()
    while True:
        call = calls.get()
        try:
            place, args = opened(call)
            with reporting_to(PipeReporter(answers)):
                value = function_at(place)(*args)
            answer(answers, ("value", value))
        except BaseException as error:  # of the call, or a value that cannot be pickled
            answer(answers, ("raised", Failure.of(error)))


if __name__ == "__main__":
    main()
