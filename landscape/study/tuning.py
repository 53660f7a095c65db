"""Learning rates, and what else a study likes, by declared grids: one design of trials for every arm."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from landscape.errors import UsageError
from landscape.jobs import Executor
from landscape.study.arms import Arm
from landscape.study.design import Study
from landscape.study.grids import RATE, is_end, name_of_grid, words_of
from landscape.study.trainings import Trained, TrainingJob, train_all

#: A trial: its learning rate, and what it asks beyond the arm's own settings.
Asked = tuple[float, dict[str, Any]]


@dataclass(frozen=True)
class Trial:
    """One combination that was tried.

    Attributes
    ----------
    lr : float
    settings : dict
        What it asked beyond the arm's own settings.
    score : float
        Mean criterion over the tuning seeds, less is better; infinite where a run diverged.
    """

    lr: float
    settings: Mapping[str, Any]
    score: float


@dataclass(frozen=True)
class Choice:
    """The learning rate of an arm, and whatever else was tuned, and what they were chosen from.

    Attributes
    ----------
    label : str
    lr : float
    scores : dict
        Learning rate → mean criterion over the tuning seeds, the best of the trials at that rate; infinite where all
        diverged. Empty without tuning.
    at_edge : bool
        Whether the best is the first or last of the rates that were tried: then a wider grid might have found a better.
    settings : dict
        What else was chosen, beyond the arm's own settings.
    edges : tuple of str
        Other settings, in words, that lie at the first or last of the numbers that were tried.
    trials : tuple of Trial
    """

    label: str
    lr: float
    scores: dict[float, float]
    at_edge: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    edges: tuple[str, ...] = ()
    trials: tuple[Trial, ...] = ()

    def __str__(self) -> str:
        more = "".join(f", {words_of(name, value)}" for name, value in self.settings.items())
        ends = ", ".join(["learning rate", *self.edges] if self.at_edge else self.edges)
        return f"lr {self.lr:g}{more}" + (f" (at the edge of its grid: {ends})" if ends else "")


def tune(
    study: Study,
    out: Path,
    *,
    workers: int,
    executor: Executor | None = None,
    finished: Callable[[Trained], None] | None = None,
) -> list[Choice]:
    """Train every arm at what the tuning declares, on the tuning seeds, into ``out/tuning``; the best of each arm."""
    tuning = study.tuning
    if tuning is None:
        return [Choice(arm.label, float(study.settings_of(arm)["lr"]), {}) for arm in study.arms]
    tried: dict[str, dict[str, Trial]] = {arm.label: {} for arm in study.arms}
    for stage in range(1 + max(len(arm.over) for arm in study.arms)):
        new = {}
        for arm in study.arms:
            for asked in _candidates(study, arm, stage, _best(tried[arm.label])):
                if (key := _key(study, arm, asked)) not in tried[arm.label]:
                    new[arm.label, key] = (arm, asked)
        jobs = {
            (place, seed): _job(study, arm, asked, seed, out)
            for place, (arm, asked) in new.items()
            for seed in tuning.seeds
        }
        outcomes = train_all(list(jobs.values()), workers=workers, executor=executor, finished=finished)
        done = dict(zip(jobs, outcomes, strict=True))
        for place, (arm, (rate, settings)) in new.items():
            scores = [_score(done[place, seed].metrics, tuning.by) for seed in tuning.seeds]
            tried[arm.label][place[1]] = Trial(rate, settings, sum(scores) / len(scores))
    return [_choice(study, arm, list(tried[arm.label].values())) for arm in study.arms]


def rates(study: Study, arm: Arm) -> list[float]:
    """The learning rates tried for an arm, rounded to three digits so that they name folders."""
    usual = float(study.settings_of(arm)["lr"])
    grid = (1.0,) if study.tuning is None else study.tuning.grid
    return [_rounded(usual * factor) for factor in sorted(grid)]


def _rounded(rate: float) -> float:
    return float(f"{rate:.3g}")


def _candidates(study: Study, arm: Arm, stage: int, best: Trial | None) -> list[Asked]:
    """First all combinations of what every arm tries; then, at the best so far, one grid of its own after another."""
    assert study.tuning is not None
    if best is None:
        shared = study.tuning.over
        found: list[Asked] = []
        for rate, *values in product(rates(study, arm), *shared.values()):
            settings: dict[str, Any] = {}
            for name, value in zip(shared, values, strict=True):
                settings = study.tried(arm, settings, name, value)
            found.append((rate, settings))
        return found
    if stage > len(arm.over):
        return []
    name = list(arm.over)[stage - 1]
    if name == RATE:
        return [(_rounded(best.lr * factor), dict(best.settings)) for factor in arm.over[name]]
    return [(best.lr, study.tried(arm, best.settings, name, value)) for value in arm.over[name]]


def _best(trials: Mapping[str, Trial]) -> Trial | None:
    """The first of the lowest score."""
    return min(trials.values(), key=lambda trial: trial.score, default=None)


def _key(study: Study, arm: Arm, asked: Asked) -> str:
    """What the trial is trained with: a value that the arm has anyway is no other trial."""
    rate, settings = asked
    text = json.dumps(study.settings_of(arm, **settings, lr=rate), sort_keys=True)
    return json.dumps(json.loads(text, parse_int=float))  # 0 and 0.0 are one value


def _choice(study: Study, arm: Arm, trials: list[Trial]) -> Choice:
    tuning = study.tuning
    assert tuning is not None
    best = min(trials, key=lambda trial: trial.score)
    scores: dict[float, float] = {}
    for trial in sorted(trials, key=lambda trial: trial.lr):
        scores[trial.lr] = min(trial.score, scores.get(trial.lr, math.inf))
    full = study.settings_of(arm, **best.settings)
    grids = [(name, values) for name, values in (*tuning.over.items(), *arm.over.items()) if name != RATE]
    words = tuple(name_of_grid(name, values) for name, values in grids if is_end(values, full[name]))
    at_edge = len(scores) > 1 and best.lr in (min(scores), max(scores))
    return Choice(arm.label, best.lr, scores, at_edge, best.settings, words, tuple(trials))


def _job(study: Study, arm: Arm, asked: Asked, seed: int, out: Path) -> TrainingJob:
    rate, asked_settings = asked
    fixed = {"lr": rate, "seed": seed, "save_every": 10**9, "save_last": 0, "save_losses": 0}
    own = {} if study.tuning is None else study.tuning.settings
    settings = study.settings_of(arm, **{**own, **asked_settings, **fixed})
    parts = [f"lr-{rate:g}", *(_named(name, value) for name, value in asked_settings.items()), f"s{seed}"]
    return TrainingJob(out / "tuning" / arm.label / "-".join(parts), settings, study.data)


def _named(name: str, value: Any) -> str:
    """As part of a folder's name: ``batch_size-32``, ``betas-0.9-0.95``."""
    if isinstance(value, Mapping):
        return "-".join(_named(key, value[key]) for key in sorted(value))
    parts = value if isinstance(value, (list, tuple)) else [value]
    return "-".join(re.sub(r"[^\w.+=-]+", "-", str(part)) for part in (name, *parts))


def _score(metrics: dict[str, Any] | None, by: str) -> float:
    """Less is better."""
    if metrics is None:
        return math.inf
    if by not in metrics:
        raise UsageError(f"tuning by {by!r}: the runs have no such metric; a problem without test data has train_loss")
    value: float = metrics[by]
    return -value if by.endswith("accuracy") else value
