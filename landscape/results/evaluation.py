"""A model on a split of its data: loss, accuracy, confusion of classes and the problem's own measures, as measured."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from landscape.results.base import Array, Record
from landscape.rounding import format_value


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Record):
    """Loss and accuracy over all examples of a split, in eval mode; exact up to rounding.

    Attributes
    ----------
    loss : float
        As the training loss is defined, regularizer included.
    num_examples : int
    accuracy : float or None
        Share of predictions that are right, 0 … 1; None where the problem has no classes.
    accuracy_per_class : (C,) array
        NaN for a class without an example; empty where the problem has no classes, or too many to tell apart.
    confusion : (C, C) array of counts
        True classes in rows, predicted ones in columns; (0, 0) where ``accuracy_per_class`` is empty.
    measure_names, measure_values : tuple of str, (M,) array
        What the problem measures by itself; :attr:`measures` has both.
    """

    loss: float
    num_examples: int
    accuracy: float | None = None
    accuracy_per_class: Array = field(default_factory=lambda: np.empty(0))
    confusion: Array = field(default_factory=lambda: np.empty((0, 0), np.int64))
    measure_names: tuple[str, ...] = ()
    measure_values: Array = field(default_factory=lambda: np.empty(0))

    @property
    def measures(self) -> dict[str, float]:
        """What the problem measures by itself, by name."""
        return dict(zip(self.measure_names, map(float, self.measure_values), strict=True))

    def _lines(self) -> list[tuple[str, str]]:
        accuracy = [] if self.accuracy is None else [("accuracy", f"{100 * self.accuracy:.4g} %")]
        own = [(name, format_value(value)) for name, value in self.measures.items()]
        return [("loss", format_value(self.loss)), *accuracy, *own, ("examples", f"{self.num_examples:,}")]
