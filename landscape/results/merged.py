"""Networks averaged in parameter space. ``k`` minima, ``S`` averages of them, ``R = k + S`` networks in all."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from landscape.errors import UsageError
from landscape.results.base import Array, Record
from landscape.results.batch_statistics import WORDS
from landscape.results.metrics import WithMetrics, extent, no_metrics
from landscape.rounding import format_value


@dataclass(frozen=True, eq=False, repr=False)
class Merged(WithMetrics, Record):
    """The loss of averages of k minima beside that of each.

    Attributes
    ----------
    names : tuple of str
        Of the R networks: the minima in the order given, then the averages, such as ``"average"``, ``"greedy soup"``.
    loss : (R,) array
        That of a minimum is of the model as it is, where its running statistics are known.
    weights : (R, k) array
        What each minimum counts in each network; of a minimum itself 1 for itself.
    theta : (S, P) array
        The averages.
    batch_statistics : str
        What running statistics of normalisation layers the averages have, as of a :class:`LineSlice`.
    metrics : dict of name to (R,) array
        What else was evaluated, of the same networks.
    metric_names, metric_values, metric_losses
        The same as stored, as of a :class:`LineSlice`.
    """

    names: tuple[str, ...]
    loss: Array
    weights: Array
    theta: Array
    batch_statistics: str = ""
    metric_names: tuple[str, ...] = ()
    metric_values: Array = field(default_factory=no_metrics)
    metric_losses: tuple[str, ...] = ()

    @property
    def num_minima(self) -> int:
        """k."""
        return int(self.weights.shape[1])

    def at(self, name: str) -> Array:
        """θ of one of the averages, (P,).

        Raises
        ------
        UsageError
            If there is none of that name.
        """
        averages = self.names[self.num_minima :]
        if name not in averages:
            raise UsageError(f"no average {name!r}; there are {', '.join(averages)}")
        theta: Array = self.theta[averages.index(name)]
        return theta

    def excess(self, name: str, metric: str = "loss") -> float:
        """Value of an average minus the mean, by its weights, of its minima: the barrier among k of them.

        Of a loss above 0 where the minima lie in no common convex valley; below 0, the average is better than they.

        Raises
        ------
        UsageError
            If there is no such network or metric.
        """
        if name not in self.names:
            raise UsageError(f"no network {name!r}; there are {', '.join(self.names)}")
        values = self.loss if metric == "loss" else self.metric(metric)
        row = self.names.index(name)
        return float(values[row] - self.weights[row] @ values[: self.num_minima])

    def _lines(self) -> list[tuple[str, str]]:
        count = self.num_minima
        lines = [(f"{count} minima", f"loss {extent(self.loss[:count])}")]
        for row, name in enumerate(self.names[count:], start=count):
            parts = [f"loss {format_value(float(self.loss[row]))}"]
            parts += [f"{metric} {format_value(float(values[row]))}" for metric, values in self.metrics.items()]
            parts += [f"of {int(np.count_nonzero(self.weights[row]))}"]
            lines.append((name, ", ".join(parts)))
        lines += [(f"{name} of each", extent(values[:count])) for name, values in self.metrics.items()]
        return [*lines, *([("running statistics", WORDS[self.batch_statistics])] if self.batch_statistics else [])]
