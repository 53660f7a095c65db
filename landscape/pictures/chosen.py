"""Which checkpoints a picture is of, and the question that is asked of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from landscape.checkpoints import Checkpoint, CheckpointDir, find_runs
from landscape.errors import CheckpointError, UsageError
from landscape.objective import Objective
from landscape.problems import Problem

#: Of each run, where neither ``last`` nor ``steps`` says it: None for all.
_LAST: dict[str, int | None] = {"random": 1, "eigen": 1, "pca": None, "models": 1}


@dataclass(frozen=True)
class Run:
    """A run and those of its checkpoints that a picture is of, oldest first."""

    name: str
    folder: Path
    checkpoints: tuple[Checkpoint, ...]


class Asked:
    """The question of a checkpoint: its problem is built once, its training and test loss when they are asked for.

    Parameters
    ----------
    checkpoint : Checkpoint
    problem : Problem
    """

    def __init__(self, checkpoint: Checkpoint, problem: Problem) -> None:
        self.checkpoint, self.problem = checkpoint, problem
        self._model = checkpoint.model(problem)

    @cached_property
    def train(self) -> Objective:
        """The training loss at the checkpoint."""
        return self.problem.objective(self._model)

    @cached_property
    def unchecked(self) -> Objective:
        """The same of a model whose question was examined at another checkpoint."""
        return self.problem.objective(self._model, check=False)

    @cached_property
    def test(self) -> Objective:
        """The test loss there."""
        return self.problem.objective(self._model, split="test", check=False)


class Problems:
    """The problems of checkpoints, each built once."""

    def __init__(self, problem: str | None, problem_config: dict[str, Any] | None, data: str | Path | None) -> None:
        self._problem, self._config, self._data = problem, problem_config, data
        self._known: dict[str, Problem] = {}

    def of(self, checkpoint: Checkpoint) -> Asked:
        """What is asked of a checkpoint."""
        key = checkpoint.problem_key(self._problem, self._data, self._config)
        if key not in self._known:
            self._known[key] = checkpoint.find_problem(self._problem, data_dir=self._data, problem_config=self._config)
        return Asked(checkpoint, self._known[key])

    def of_all(self, runs: Sequence[Run]) -> Asked:
        """What is asked of all of them together, at the last checkpoint of the first.

        Raises
        ------
        UsageError
            If they were not trained on one problem, or are of other architectures.
        """
        every = [checkpoint for run in runs for checkpoint in run.checkpoints]
        keys = {c.problem_key(self._problem, self._data, self._config) for c in every}
        if len(keys) > 1:
            raise UsageError(
                f"the runs {', '.join(run.name for run in runs)} were trained on {len(keys)} different problems or "
                "settings of one, so no loss is that of all of them; draw them one by one, or name one with --problem"
            )
        if len({c.num_parameters for c in every}) > 1:
            sizes = {run.name: run.checkpoints[-1].num_parameters for run in runs}
            listed = ", ".join(f"{name} has {size:,}" for name, size in sizes.items())
            raise UsageError(f"the runs have models of different sizes: {listed} parameters; a plane needs equal ones")
        return self.of(runs[0].checkpoints[-1])


def chosen_runs(
    paths: Sequence[str | Path], plane: str, *, last: int | None = None, steps: Sequence[int] = ()
) -> list[Run]:
    """The runs in these folders, each with the checkpoints that are asked for.

    Raises
    ------
    CheckpointError
        If there is none, or one cannot be read.
    UsageError
        If a step is not there, or ``last`` and ``steps`` are both given.
    """
    if last is not None and steps:
        raise UsageError("last= and steps= both say which checkpoints; give one of the two")
    folders = list(dict.fromkeys(folder for path in paths for folder in find_runs(path)))
    names = _names(folders)
    found = []
    for folder in folders:
        run = CheckpointDir(folder)
        if steps:
            if missing := [step for step in steps if step not in run.steps]:
                raise UsageError(f"{names[folder]} has no checkpoint of step {missing[0]}; it has {_listed(run.steps)}")
            checkpoints = tuple(run[run.steps.index(step)] for step in sorted(set(steps)))
        else:
            wanted = _LAST[plane] if last is None else last
            good, bad = run.usable(wanted)
            if not good:
                raise CheckpointError(bad[0].reason)
            checkpoints = tuple(good)
        found.append(Run(names[folder], folder, checkpoints))
    return found


def common_folder(runs: Sequence[Run]) -> Path:
    """The innermost folder that all runs are in; of one run the run itself."""
    return Path(os.path.commonpath([run.folder.resolve() for run in runs]))


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    """The last part of each path, or where two are alike what tells them apart."""
    short = [folder.resolve().name for folder in folders]
    if len(set(short)) == len(short):
        return dict(zip(folders, short, strict=True))
    above = os.path.commonpath([folder.resolve() for folder in folders])
    return {folder: folder.resolve().relative_to(above).as_posix() for folder in folders}


def _listed(steps: Sequence[int]) -> str:
    if len(steps) <= 8:
        return ", ".join(map(str, steps))
    return f"{', '.join(map(str, steps[:4]))} … {steps[-1]} ({len(steps)} in all)"
