"""A model on test data: loss and accuracy, as measured."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from landscape.results.base import Array, Record
from landscape.rounding import format_value


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Record):
    """Loss and accuracy over all test examples, in eval mode; exact up to rounding.

    Attributes
    ----------
    loss : float
        As the training loss is defined, regularizer included.
    num_examples : int
    accuracy : float or None
        Share of predictions that are right, 0 … 1; None where the problem has no classes.
    accuracy_per_class : (C,) array
        NaN for a class without an example; empty where the problem has no classes.
    """

    loss: float
    num_examples: int
    accuracy: float | None = None
    accuracy_per_class: Array = field(default_factory=lambda: np.empty(0))

    def _lines(self) -> list[tuple[str, str]]:
        accuracy = [] if self.accuracy is None else [("accuracy", f"{100 * self.accuracy:.4g} %")]
        return [("loss", format_value(self.loss)), *accuracy, ("examples", f"{self.num_examples:,}")]
