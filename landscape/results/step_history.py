"""What training wrote down at every step. ``S`` steps, ``K`` numbers of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.results.base import Array, Record
from landscape.rounding import format_value


@dataclass(frozen=True, eq=False, repr=False)
class StepHistory(Record):
    """Numbers of every step of a training, as its script saved them: nothing of it was measured again.

    Attributes
    ----------
    names : (K,) tuple of str
        Such as ``loss`` and ``gradient_norm``, of the batch of each step where the step begins, and ``step_size``.
    steps : (S,) array of int
        Counted from 1; with gaps where a checkpoint is missing.
    values : (K, S) array
        NaN where a number was not saved.
    """

    names: tuple[str, ...]
    steps: Array
    values: Array

    def __getitem__(self, name: str) -> Array:
        """(S,): one of the numbers."""
        return np.asarray(self.values[self.names.index(name)])

    def __len__(self) -> int:
        return int(self.steps.size)

    def _lines(self) -> list[tuple[str, str]]:
        lines = [("steps", f"{len(self):,}")]
        for name in self.names:
            found = self[name][np.isfinite(self[name])]
            if found.size:
                first, last = (format_value(float(np.median(part))) for part in (found[:20], found[-20:]))
                lines.append((name.replace("_", " "), f"{first} at first, {last} at the end (medians of 20 steps)"))
        return lines
