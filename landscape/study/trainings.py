"""Many trainings side by side, none done twice; what one of them dies of stops no other."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape.errors import LandscapeError
from landscape.jobs import Advice, Executor, Job, LocalExecutor, Outcome, ThisProcess, run

ADVICE = Advice(
    memory="fewer workers, or a smaller batch_size, need less of it",
    crash="Another version of that library may go round it, and workers=1 shows where",
    again="the same call trains what is missing",
)


@dataclass(frozen=True)
class TrainingJob:
    """A training into a folder.

    Attributes
    ----------
    settings : dict
        As a training stores them: ``problem`` and ``problem_config`` among them.
    """

    folder: Path
    settings: dict[str, Any]
    data: str | None = None

    @property
    def name(self) -> str:
        """Its folder and that in which it lies: a learning rate is tried by many arms."""
        return f"{self.folder.parent.name}/{self.folder.name}"


@dataclass(frozen=True)
class Trained:
    """What became of a training: the metrics of its last checkpoint, or why there are none.

    Attributes
    ----------
    folder : Path
    metrics : dict or None
    reason : str
    failed : bool
        Whether it could not be trained to its end; one that diverged was.
    """

    folder: Path
    metrics: dict[str, Any] | None
    reason: str = ""
    failed: bool = False


def train_all(
    trainings: Sequence[TrainingJob],
    *,
    workers: int,
    executor: Executor | None = None,
    finished: Callable[[Trained], None] | None = None,
) -> list[Trained]:
    """Do all trainings, or the rest of them: a run that stopped goes on, one that is complete is left alone.

    A run that diverges is an outcome, not an error. Each has one thread, so that a run does not depend on which others
    there are, nor on how many processes.

    Parameters
    ----------
    workers : int
        Processes of this machine; one is this process.
    executor : Executor, optional
        Trains elsewhere, where the folders are there under the same path.
    finished : callable, optional
        Called with each that is over.

    Raises
    ------
    LandscapeError
        If a model, loss or problem raises, or a process dies; the other runs are trained first, and all that was
        trained is kept.
    """

    def place(path: Path | str) -> str:
        return str(path) if executor is None else os.path.abspath(path)

    def trained(outcome: Outcome, folder: Path) -> Trained:
        if outcome.failure is not None:
            return Trained(folder, None, outcome.failure.reason, failed=True)
        return Trained(folder, **outcome.value)

    jobs = [
        Job(t.name, f"{__name__}:train_job", (place(t.folder), t.settings, t.data and place(t.data)), threads=1)
        for t in trainings
    ]
    folders = {t.name: t.folder for t in trainings}
    report = finished or (lambda trained: None)
    outcomes = do_all(
        jobs, doing="training", workers=workers, executor=executor,
        finished=lambda outcome: report(trained(outcome, folders[outcome.name])),
    )  # fmt: skip
    return [trained(outcome, t.folder) for outcome, t in zip(outcomes, trainings, strict=True)]


def do_all(
    jobs: Sequence[Job],
    *,
    doing: str,
    workers: int,
    executor: Executor | None = None,
    finished: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Do all jobs, here, in processes or through an executor; then raise where one failed, saying which and why."""
    count = min(workers, len(jobs))
    if executor is not None:
        where: Any = nullcontext(executor)
    else:
        where = LocalExecutor(count, threads=1, advice=ADVICE) if count > 1 else nullcontext(ThisProcess())
    with where as chosen:
        outcomes = run(jobs, chosen, finished=finished)
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    if failed:
        raise _error_of(failed, doing)
    return outcomes


def _error_of(failed: list[Outcome], doing: str) -> LandscapeError:
    """What to raise for jobs without a value: the first of them, and which others there are."""
    first = failed[0].failure
    assert first is not None
    more = f"; so it was with {', '.join(outcome.name for outcome in failed[1:])}" if len(failed) > 1 else ""
    more = more if len(more) <= 300 else f"; {len(failed) - 1} others failed too"
    error = type(first.as_error())(
        f"{doing} {failed[0].name}: {first.reason}{more}. The others were done, what was done is kept, and the same "
        "call goes on there"
    )
    error.__cause__ = first.as_error().__cause__
    return error


def train_job(folder: str, settings: dict[str, Any], data: str | None) -> dict[str, Any]:
    """A job: train into a folder, or go on there."""
    from landscape.checkpoints import checkpoint_files
    from landscape.problems import load_problem
    from landscape.training import Diverged, train

    asked = {key: value for key, value in settings.items() if key not in ("problem", "problem_config")}
    problem = load_problem(settings["problem"], settings["problem_config"], data_dir=data)
    try:
        last = train(problem, folder, resume=bool(checkpoint_files(folder)), **asked)
    except Diverged as error:
        return {"metrics": None, "reason": str(error)}
    return {"metrics": last.metrics}
