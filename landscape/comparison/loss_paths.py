"""The measured checkpoints of a run as a path: the training loss, and each measure along it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from landscape.crossing import bracket
from landscape.rounding import format_value
from landscape.store import RunResults
from landscape.store.catalogue import read


@dataclass(frozen=True, eq=False)
class LossPath:
    """One run at its measured checkpoints, oldest first.

    Attributes
    ----------
    steps, losses : list, (M,)
        Of those that have a training loss.
    readings : dict
        Measure → index of a checkpoint → value and error, NaN where it has none.
    """

    run: RunResults
    steps: list[int]
    losses: list[float]
    readings: dict[str, dict[int, tuple[float, float]]]

    @property
    def reach(self) -> tuple[float, float]:
        """The losses between which the run can be read: its lowest, and that of its first checkpoint."""
        return (min(self.losses), self.losses[0]) if self.losses else (float("nan"), float("nan"))

    def values_of(self, measure: str) -> list[float]:
        """The measure wherever the run has it."""
        return [value for value, _ in self.readings[measure].values()]

    def where(self, measure: str) -> tuple[list[int], list[float], list[float], list[float]]:
        """Steps, losses, values and errors of the checkpoints that have the measure."""
        found = self.readings[measure]
        return (
            [self.steps[i] for i in found],
            [self.losses[i] for i in found],
            [value for value, _ in found.values()],
            [error for _, error in found.values()],
        )


def loss_path(run: RunResults, measures: Sequence[str]) -> LossPath:
    """The path of a run, with the measures given."""
    found = [(c, loss.value) for c in run.checkpoints if c.records and (loss := read(c, "train_loss")) is not None]
    readings: dict[str, dict[int, tuple[float, float]]] = {}
    for measure in measures:
        along = ((i, read(checkpoint, measure)) for i, (checkpoint, _) in enumerate(found))
        readings[measure] = {
            i: (r.value, float("nan") if r.error is None else r.error) for i, r in along if r is not None
        }
    return LossPath(run, [c.step for c, _ in found], [loss for _, loss in found], readings)


def why_left_out(path: LossPath, level: float) -> str:
    """Why a run cannot be read at a level; empty where it can."""
    if not path.losses:
        return "it has no training loss"
    if bracket(path.losses, level) is not None:
        return ""
    if min(path.losses) > level:
        return f"its lowest measured loss is {format_value(min(path.losses), digits=3)}"
    first = format_value(path.losses[0], digits=3)
    return f"it was lower already at its first measured checkpoint (step {path.steps[0]}, loss {first})"


def tuples_of(frame: pd.DataFrame) -> Iterator[Any]:
    """Its rows, whose cells are of any type."""
    return frame.itertuples()
