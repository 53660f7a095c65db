"""The training loss along a run: what training saved at each checkpoint, verified or replaced by measuring."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landscape.checkpoints.reader import Checkpoint
from landscape.errors import LandscapeError
from landscape.problems import Problem
from landscape.rounding import format_value, same_number

MEASURE = "train_loss"


class LossMeter:
    """Measures the training loss of checkpoints: one forward pass over the training data each.

    Parameters
    ----------
    problem : str, optional
        As :meth:`Checkpoint.find_problem` takes it.
    data_dir : path, optional
    problem_config : mapping, optional
    """

    def __init__(
        self,
        problem: Problem | str | None = None,
        *,
        data_dir: str | Path | None = None,
        problem_config: Mapping[str, Any] | None = None,
    ) -> None:
        self._named, self._data_dir, self._config = problem, data_dir, problem_config
        self._found: dict[str, Problem | LandscapeError] = {}

    def __call__(self, checkpoint: Checkpoint) -> float:
        """L(θ) over all training examples.

        Raises
        ------
        LandscapeError
            If the problem cannot be found, or the model and loss of this checkpoint cannot be evaluated.
        """
        problem = self._problem_of(checkpoint)
        try:
            return checkpoint.objective(problem, check=False, chunk=problem.at_once).loss()
        except LandscapeError:
            raise
        except Exception as error:  # whatever the user's model raises
            raise LandscapeError(f"its loss cannot be evaluated ({type(error).__name__}: {error})") from error

    def _problem_of(self, checkpoint: Checkpoint) -> Problem:
        """Built once for all checkpoints that name the same; so is the refusal."""
        if isinstance(self._named, Problem):
            return self._named
        name = checkpoint.problem_key(self._named, self._data_dir, self._config)
        if name not in self._found:
            try:
                self._found[name] = checkpoint.find_problem(
                    self._named, data_dir=self._data_dir, problem_config=self._config
                )
            except LandscapeError as error:
                self._found[name] = error
        found = self._found[name]
        if isinstance(found, LandscapeError):
            raise found
        return found


@dataclass
class LossPath:
    """The training losses of one run at its checkpoints, oldest first.

    The saved ones stand until a measured one proves them wrong; from then on all of the run's are measured. NaN where
    there is none.

    Attributes
    ----------
    checkpoints : list of Checkpoint
    losses : list of float
    meter : LossMeter or None
        None leaves the saved ones as they are.
    unmeasured : str
        Why nothing could be measured; empty where it could, or was not asked for.
    wrong : str
        The first saved loss that was proved wrong, and the measured one.
    """

    checkpoints: list[Checkpoint]
    meter: LossMeter | None = None
    losses: list[float] = field(default_factory=list)
    unmeasured: str = ""
    wrong: str = ""
    _measured: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.losses = [_number(c.metrics.get(MEASURE)) for c in self.checkpoints]
        if any(c.metrics.get(MEASURE) is None for c in self.checkpoints):
            self.measure_all()  # a checkpoint without a loss could be the one that is looked for

    @property
    def lowest(self) -> int | None:
        """Index of the lowest loss; None where there is none."""
        there = [i for i, loss in enumerate(self.losses) if not math.isnan(loss)]
        return min(there, key=self.losses.__getitem__) if there else None

    @property
    def first(self) -> int:
        """Index of the first loss there is."""
        return next(i for i, loss in enumerate(self.losses) if not math.isnan(loss))

    @property
    def reach(self) -> tuple[float, float] | None:
        """The losses between which the run can be read: its lowest, and its first; None where it has none."""
        lowest = self.lowest
        return None if lowest is None else (self.losses[lowest], self.losses[self.first])

    @property
    def group(self) -> str:
        """Which replicates the run belongs to: by the label of its training, or else its optimizer."""
        last = self.checkpoints[-1]
        return str(last.config.get("label", last.optimizer))

    def is_measured(self, index: int) -> bool:
        """Whether that loss was measured, not saved."""
        return index in self._measured

    def verify(self, index: int) -> bool:
        """Measure one loss; all of them where its saved one was wrong. True if any number is new."""
        if index in self._measured or self.meter is None or self.unmeasured:
            return False
        if not self._measure(index):
            return False
        if self.wrong:
            self.measure_all()
        return True

    def measure_all(self) -> None:
        """Measure every loss that was not; where one was wrong, those that cannot be measured are not believed."""
        for index in range(len(self.checkpoints)):
            if index not in self._measured and not self._measure(index) and self.wrong:
                self.losses[index] = math.nan

    def _measure(self, index: int) -> bool:
        if self.meter is None or self.unmeasured:
            return False
        checkpoint, saved = self.checkpoints[index], self.losses[index]
        try:
            measured = self.meter(checkpoint)
        except LandscapeError as error:
            self.unmeasured = str(error)
            return False
        self._measured.add(index)
        self.losses[index] = measured
        if not math.isnan(saved) and not same_number(saved, measured):
            said = f"at step {checkpoint.step} {format_value(saved)} was saved and {format_value(measured)} measured"
            self.wrong = self.wrong or said
        return True


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
