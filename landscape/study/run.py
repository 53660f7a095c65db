"""A study from its design to its report: tune, train, analyze, compare; resumed wherever it stopped."""

from __future__ import annotations

import json
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from landscape.analysis.pipeline import analyze
from landscape.analysis.plan import Plan
from landscape.comparison.equal_loss import LEVELS
from landscape.errors import UsageError
from landscape.jobs import Executor, available_cores, opened_executor
from landscape.store.outputs import write_whole
from landscape.study.blocks import measure_blocks
from landscape.study.design import Study
from landscape.study.findings import Material
from landscape.study.forgetting import measure_forgetting
from landscape.study.paper import write_paper
from landscape.study.trainings import Trained, TrainingJob, train_all
from landscape.study.tuning import Choice, tune
from landscape.study.unanalysed import measure_alone, write_short_paper
from landscape.version import __version__

#: Another study has other runs: they must not be mixed.
WHAT_DETERMINES_RUNS = ("name", "problem", "problem_config", "arms", "seeds", "settings", "tuning")
#: ``say(line)``: what happens, for a person who waits.
Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """Where a study's results are.

    Attributes
    ----------
    folder : Path
    results : Path
        ``runs/results.h5``, beside the report: of the ends, and around equal training losses; of a study that is not
        analysed, the folder of what was measured.
    paper : Path
        ``paper/report.tex``.
    choices : list of Choice
    diverged : list of str
        Runs without a result, and why.
    """

    folder: Path
    results: Path
    paper: Path
    choices: list[Choice]
    diverged: list[str]


def run_study(
    study: Study,
    out: str | Path,
    *,
    workers: int | None = None,
    say: Say | None = None,
    executor: Executor | str | None = None,
) -> Outcome:
    """Do a study, or what is left of it.

    Writes ``out/tuning/…`` and ``out/runs/LABEL-sSEED/`` (checkpoints; those of runs that diverged go to
    ``out/diverged``), ``out/blocks`` and ``out/forgetting``, where the study asks for them, ``out/runs/results.h5``
    with figures, tables and ``report.html``, ``out/paper/report.tex``, and ``out/reproduce.json``, from which
    :meth:`Study.load` makes the study again.

    Parameters
    ----------
    workers : int, optional
        Trainings and analyses side by side; left out, one for each core.
    say : callable, optional
        Called with a line of text now and then.
    executor : str or Executor, optional
        Trains and measures elsewhere, as :func:`landscape.analyze` takes it, where the folder is there under the same
        path: each training of the tuning and of the study is a job, each run that is measured, and each line.

    Raises
    ------
    UsageError
        If the folder holds another study, or every run diverged.
    LandscapeError
        If a run could not be trained, or the process died that trained it. The other runs of that step are trained
        first; what was trained is kept, and the same call goes on there.
    """
    with opened_executor(executor) as elsewhere:
        return _done(study, Path(out), workers, say or (lambda line: None), elsewhere)


def _done(study: Study, out: Path, workers: int | None, say: Say, executor: Executor | None) -> Outcome:
    started = time.perf_counter()
    _claim(study, out)
    count = workers or available_cores()
    say(f"{study.name}: {len(study.arms)} arms × {len(study.seeds)} seeds on {study.problem}")
    choices = tune(study, out, workers=count, executor=executor, finished=_reporting(say))
    for choice in choices:
        say(f"  {choice.label:<20} {choice}")
    trainings = _evaluations(study, choices, out)
    done = train_all(trainings, workers=count, executor=executor, finished=_reporting(say))
    diverged = [f"{run.folder.name}: {run.reason}" for run in done if run.metrics is None]
    for run in done:
        if run.metrics is None:
            _set_aside(run.folder, out / "diverged")
    for line in diverged:
        say(f"  {line}")
    if len(diverged) == len(done):
        raise UsageError(f"every run of {study.name} diverged; lower the learning rates. First: {diverged[0]}")
    say(f"trained in {time.perf_counter() - started:.0f} s; measuring")
    if not study.analysed:
        measure_alone(study, out, workers=count, executor=executor, say=say)
        _write_reproduction(study, out, choices, diverged)
        paper = write_short_paper(study, choices, diverged, out)
        say(f"done in {time.perf_counter() - started:.0f} s: {paper}")
        return Outcome(out, out / "measured", paper, choices, diverged)
    own = study.problem if ":" in study.problem else None  # a checkpoint's own word for it is not trusted
    levels = LEVELS if study.is_matched() else 0
    plan = Plan(**{"workers": workers, "data": study.data, "problem": own, "levels": levels, **study.plan})
    results = analyze(out / "runs", plan, command=f"study {study.name}", executor=executor)
    measure_blocks(study, out, workers=count, executor=executor, say=say)
    measure_forgetting(study, out, workers=count, executor=executor, say=say)
    _write_reproduction(study, out, choices, diverged)
    paper = write_paper(Material(study, choices, diverged, results), out / "paper")
    say(f"done in {time.perf_counter() - started:.0f} s: {out / 'runs' / 'report.html'}, {paper}")
    return Outcome(out, results, paper, choices, diverged)


def _set_aside(folder: Path, home: Path) -> None:
    """Out of the runs that are compared: what it saved before it diverged is no minimum."""
    if folder.exists():
        home.mkdir(exist_ok=True)
        shutil.rmtree(home / folder.name, ignore_errors=True)
        shutil.move(folder, home / folder.name)


def _evaluations(study: Study, choices: list[Choice], out: Path) -> list[TrainingJob]:
    chosen = {choice.label: {**choice.settings, "lr": choice.lr} for choice in choices}
    return [
        TrainingJob(out / "runs" / arm.run(seed), study.settings_of(arm, **chosen[arm.label], seed=seed), study.data)
        for seed in study.seeds  # the seeds outside, so that a study cut short has whole replicates
        for arm in study.arms
    ]


def _reporting(say: Say) -> Callable[[Trained], None]:
    def finished(run: Trained) -> None:
        what = run.reason if run.failed else "diverged"
        loss = what if run.metrics is None else f"train loss {run.metrics['train_loss']:.3g}"
        say(f"  {run.folder.parent.name}/{run.folder.name}: {loss}")

    return finished


def _claim(study: Study, out: Path) -> None:
    """Refuse a folder of another study: its runs would be mixed with ours."""
    path = out / "study.json"
    if path.exists() and not _same(path.read_text(), study):
        raise UsageError(f"{out} holds another study, or this one with other settings; choose another folder")
    write_whole(path, study.to_json())


def _same(written: str, study: Study) -> bool:
    """Whether the runs of that study are those of this one; words, figures and measures may have changed since."""
    try:
        before = json.loads(Study.from_json(written).to_json())
    except (UsageError, KeyError, TypeError, ValueError):
        return False
    now = json.loads(study.to_json())
    return all(before[key] == now[key] for key in WHAT_DETERMINES_RUNS)


def _write_reproduction(study: Study, out: Path, choices: list[Choice], diverged: list[str]) -> None:
    facts: dict[str, Any] = {
        "study": json.loads(study.to_json()),
        "learning_rates": [
            asdict(choice) | {"scores": {f"{k:g}": v for k, v in choice.scores.items()}} for choice in choices
        ],
        "diverged": diverged,
        "versions": {"landscape": __version__, "torch": str(torch.__version__), "python": platform.python_version()},
        "again": "landscape.study.run_study(landscape.study.Study.load(FOLDER), NEW_FOLDER)",
    }
    write_whole(out / "reproduce.json", json.dumps(facts, indent=1))
