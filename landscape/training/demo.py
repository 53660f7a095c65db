"""The demo: LeNet-5 on digits by three optimizers, from the same initial weights for each seed. ``landscape demo``."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from landscape.checks import check_count
from landscape.jobs import Executor, Job, LocalExecutor, Outcome, Reporter, available_cores, current_reporter, run
from landscape.problems import get_problem
from landscape.training.run import train

PROBLEM = "lenet-digits"
OPTIMIZERS = ("sgd", "momentum", "adam")
SEEDS = 2
#: Small networks gain nothing from more threads, and with one the digits are the same on any number of cores.
#: Checkpoints lie close enough for the last iterations, and for comparisons at one training loss.
_HOW = {"threads": 1, "save_every": 200, "save_last": 5, "save_losses": 1.5}


def demo_runs(seeds: int = SEEDS) -> dict[str, dict[str, Any]]:
    """Name of each run, which is its folder, with the settings in which it differs from the others.

    >>> list(demo_runs(1)), demo_runs(2)["adam-s1"]
    (['sgd-s0', 'momentum-s0', 'adam-s0'], {'optimizer': 'adam', 'seed': 1})
    """
    check_count("seeds", seeds)
    return {
        f"{optimizer}-s{seed}": {"optimizer": optimizer, "seed": seed}
        for optimizer in OPTIMIZERS
        for seed in range(seeds)
    }


def train_demo(
    out: str | Path,
    *,
    seeds: int = SEEDS,
    epochs: int | None = None,
    executor: Executor | None = None,
    reporter: Reporter | None = None,
    finished: Callable[[str, float], None] | None = None,
) -> list[Path]:
    """Train what is missing of the demo, several runs side by side; one that was stopped goes on where it was.

    Parameters
    ----------
    out : path
        Receives a folder for each run.
    seeds : int
        Runs of each optimizer.
    epochs : int, optional
        Of each; left out, as the problem's recipe says.
    executor : Executor, optional
        Who trains; left out, a process on each core.
    reporter : Reporter, optional
        Receives the progress, in steps.
    finished : callable, optional
        Called with the name of each run that is done, and the seconds it took.

    Returns
    -------
    list of Path
        The folders of the runs.

    Raises
    ------
    UsageError
        If a folder holds another training.
    LandscapeError
        If a training diverged, or its process died; the others are done.
    """
    runs = demo_runs(seeds)
    out = Path(out).resolve()  # processes may have another current folder
    place = f"{train_run.__module__}:{train_run.__qualname__}"
    jobs = [Job(name, place, (str(out / name), how, epochs), threads=1) for name, how in runs.items()]

    def tell(outcome: Outcome) -> None:
        if finished is not None and outcome.failure is None:
            finished(outcome.name, outcome.value)

    own = LocalExecutor(min(available_cores(), len(jobs)), threads=1) if executor is None else nullcontext(executor)
    with own as workers:
        outcomes = run(jobs, workers, reporter=reporter, finished=tell)
    for outcome in outcomes:
        if outcome.failure is not None:
            raise outcome.failure.as_error()
    return [out / name for name in runs]


def train_run(out: str, settings: dict[str, Any], epochs: int | None) -> float:
    """Train one of them, or the rest of it; returns the seconds it took."""
    started, folder, reporter = time.perf_counter(), Path(out), current_reporter()

    def report(step: int, total: int) -> None:
        if reporter is not None:
            reporter.update(done=step, total=total, doing=f"training {folder.name}")

    begun = any(folder.glob("step_*.h5"))
    train(get_problem(PROBLEM), folder, resume=begun, progress=report, epochs=epochs, **settings, **_HOW)
    return time.perf_counter() - started
