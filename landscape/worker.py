"""A process of the crew: reads orders and jobs from stdin, measures, answers on stdout. Not for people."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import IO


@dataclass
class PipeReporter:
    """Tells the overseer how far the work has come; where nobody listens any more, there is nobody to work for."""

    pipe: IO[str]

    def update(self, *, done: float, total: float, doing: str) -> None:
        """Send one line."""
        answer(self.pipe, {"done": done, "total": total, "doing": doing})


def answer(pipe: IO[str], message: object) -> None:
    """Send one line; a broken pipe ends this process."""
    try:
        pipe.write(json.dumps(message) + "\n")
        pipe.flush()
    except BrokenPipeError:
        os._exit(1)


def main() -> None:
    """Work until stdin ends."""
    # What a model or problem prints must not come between the answers.
    pipe, sys.stdout = os.fdopen(os.dup(1), "w"), sys.stderr
    orders = json.loads(sys.stdin.readline())
    sys.path[:] = orders["path"]

    import torch

    from landscape.measuring import Job, measure_run
    from landscape.plan import Plan
    from landscape.store import ResultStore

    torch.set_num_threads(orders["threads"])
    plan = Plan(**orders["plan"])
    with ResultStore(orders["store"], lock=False) as store:
        for line in sys.stdin:
            said = json.loads(line)
            job = Job(said["run"], tuple(said["files"]))
            answer(pipe, {"outcome": asdict(measure_run(store, job, plan, PipeReporter(pipe)))})


if __name__ == "__main__":
    main()
