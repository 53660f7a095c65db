"""What a slice holds beside the loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from landscape.errors import UsageError
from landscape.results.base import Array
from landscape.rounding import format_value


class WithMetrics:
    """A slice with metrics, whose values are (K, …), each of the shape of the loss."""

    metric_names: tuple[str, ...]
    metric_values: Array
    metric_losses: tuple[str, ...]
    metric_error_values: Array = np.empty(0)  # where nothing between is evaluated there are none

    @property
    def metric_errors(self) -> dict[str, float]:
        """The largest error of each metric on the grid, as stated; none in older records."""
        return dict(zip(self.metric_names, self.metric_error_values.tolist(), strict=False))

    @property
    def metrics(self) -> dict[str, Array]:
        """Values by name, each of the shape of the loss."""
        return dict(zip(self.metric_names, self.metric_values, strict=True))

    def metric(self, name: str) -> Array:
        """One of them.

        Raises
        ------
        UsageError
            If there is none of that name.
        """
        if name not in self.metric_names:
            there = f"there are {', '.join(self.metric_names)}" if self.metric_names else "none was asked for"
            raise UsageError(f"no metric {name!r}: {there}. Evaluate it with metrics={{{name!r}: ...}}")
        return self.metrics[name]

    def metric_lines(self) -> list[tuple[str, str]]:
        """(name, extent) pairs, for a record's text, each with its error where it has one."""
        errors = self.metric_errors
        return [(name, extent(values) + error_words(errors.get(name, 0.0))) for name, values in self.metrics.items()]


def no_metrics() -> Array:
    """(0, 0): of a slice that has the loss alone."""
    return np.empty((0, 0))


def no_errors() -> Array:
    """(0,): of a slice without metrics."""
    return np.empty(0)


def error_words(error: float) -> str:
    """``, error ≤ 0.012``, rounded up, since it is a bound; empty where there is none."""
    return "" if error == 0 else f", error ≤ {format_value(error * (1 + 5e-3), digits=2)}"


def extent(values: Array) -> str:
    """Lowest and highest, of those that are numbers."""
    known = values[~np.isnan(values)]
    return f"{format_value(float(known.min()))} … {format_value(float(known.max()))}" if known.size else "not a number"


def names_of(slices: Sequence[WithMetrics]) -> list[str]:
    """Names of the metrics of several slices, in order, each once."""
    return list(dict.fromkeys(name for one in slices for name in one.metric_names))
