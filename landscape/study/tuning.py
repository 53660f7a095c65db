"""Learning rates by a declared grid, the same for every arm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape.errors import UsageError
from landscape.jobs import Executor
from landscape.study.design import Arm, Study
from landscape.study.trainings import Trained, TrainingJob, train_all


@dataclass(frozen=True)
class Choice:
    """The learning rate of an arm, and what it was chosen from.

    Attributes
    ----------
    label : str
    lr : float
    scores : dict
        Learning rate → mean criterion over the tuning seeds; infinite where a run diverged. Empty without tuning.
    at_edge : bool
        Whether the best is the first or last of the grid: then a wider one might have found a better.
    """

    label: str
    lr: float
    scores: dict[float, float]
    at_edge: bool = False


def tune(
    study: Study,
    out: Path,
    *,
    workers: int,
    executor: Executor | None = None,
    finished: Callable[[Trained], None] | None = None,
) -> list[Choice]:
    """Train every arm at every rate of the grid on the tuning seeds, into ``out/tuning``; the best of each arm."""
    tuning = study.tuning
    if tuning is None:
        return [Choice(arm.label, float(study.settings_of(arm)["lr"]), {}) for arm in study.arms]
    trials = {
        (arm.label, rate, seed): _trial(study, arm, rate, seed, out)
        for arm in study.arms
        for rate in rates(study, arm)
        for seed in tuning.seeds
    }
    outcomes = train_all(list(trials.values()), workers=workers, executor=executor, finished=finished)
    done = dict(zip(trials, outcomes, strict=True))
    choices = []
    for arm in study.arms:
        scores = {}
        for rate in rates(study, arm):
            trials_of = [done[arm.label, rate, seed].metrics for seed in tuning.seeds]
            scores[rate] = sum(_score(metrics, tuning.by) for metrics in trials_of) / len(trials_of)
        best = min(scores, key=scores.__getitem__)
        choices.append(Choice(arm.label, best, scores, at_edge=len(scores) > 1 and best in (min(scores), max(scores))))
    return choices


def rates(study: Study, arm: Arm) -> list[float]:
    """The learning rates tried for an arm, rounded to three digits so that they name folders."""
    usual = float(study.settings_of(arm)["lr"])
    grid = (1.0,) if study.tuning is None else study.tuning.grid
    return [float(f"{usual * factor:.3g}") for factor in sorted(grid)]


def _trial(study: Study, arm: Arm, rate: float, seed: int, out: Path) -> TrainingJob:
    fixed = {"lr": rate, "seed": seed, "save_every": 10**9, "save_last": 0, "save_losses": 0}
    own = {} if study.tuning is None else study.tuning.settings
    settings = study.settings_of(arm, **{**own, **fixed})
    return TrainingJob(out / "tuning" / arm.label / f"lr-{rate:g}-s{seed}", settings, study.data)


def _score(metrics: dict[str, Any] | None, by: str) -> float:
    """Less is better."""
    if metrics is None:
        return math.inf
    if by not in metrics:
        raise UsageError(f"tuning by {by!r}: the runs have no such metric; a problem without test data has train_loss")
    value: float = metrics[by]
    return -value if by.endswith("accuracy") else value
