"""A process of the crew: reads orders and jobs from stdin, measures, answers on stdout. Not for people."""

from __future__ import annotations

import faulthandler
import json
import os
import queue
import signal
import sys
import threading
import traceback
from dataclasses import asdict, dataclass
from typing import IO


@dataclass
class PipeReporter:
    """Tells the crew how far the work has come."""

    pipe: IO[str]

    def update(self, *, done: float, total: float, doing: str) -> None:
        """Send one line."""
        answer(self.pipe, {"done": done, "total": total, "doing": doing})


def answer(pipe: IO[str], message: object) -> None:
    """Send one line; where nobody listens any more, there is nobody to work for."""
    try:
        pipe.write(json.dumps(message) + "\n")
        pipe.flush()
    except BrokenPipeError:
        os._exit(1)


def take_pipes() -> tuple[IO[str], IO[str]]:
    """Stdin and stdout for the crew alone: what a model or problem reads or prints must not come between."""
    orders, answers = os.fdopen(os.dup(0), encoding="ascii"), os.fdopen(os.dup(1), "w", encoding="ascii")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), sys.stderr
    if hasattr(os, "register_at_fork"):
        # What a model forks must not keep the pipes open when this process has died: the crew would wait for ever.
        os.register_at_fork(after_in_child=lambda: [os.dup2(nothing, pipe.fileno()) for pipe in (orders, answers)])
    return orders, answers


def listen(orders: IO[str], jobs: queue.SimpleQueue[str]) -> None:
    """Pass lines on. Their end is the end of the crew, whatever is being measured: another one may come any moment."""
    for line in orders:
        jobs.put(line)
    os._exit(0)


def main() -> None:
    """Work until stdin ends."""
    faulthandler.enable(all_threads=False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes, and it is the crew that decides
    pipe, answers = take_pipes()
    try:
        work(pipe, answers)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # the usual way out would wait for the thread that listens


def work(pipe: IO[str], answers: IO[str]) -> None:
    """Take orders, then measure one job after the other."""
    orders = json.loads(pipe.readline())
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(pipe, jobs), daemon=True).start()
    sys.path[:] = orders["path"]

    import torch

    from landscape.analysis.measuring import Job, measure_run
    from landscape.analysis.plan import Plan
    from landscape.errors import ResultsError
    from landscape.store import ResultStore

    torch.set_num_threads(orders["threads"])
    plan = Plan(**orders["plan"])
    with ResultStore(orders["store"], lock=False) as store:
        while True:
            said = json.loads(jobs.get())
            job = Job(said["run"], tuple(said["files"]))
            try:
                answer(answers, {"outcome": asdict(measure_run(store, job, plan, PipeReporter(answers)))})
            except ResultsError as error:
                answer(answers, {"unstored": str(error)})


if __name__ == "__main__":
    main()
