"""The loss around the paths that training took, on a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from landscape.results.base import Array, Record
from landscape.results.batch_statistics import WORDS
from landscape.results.interpolated import evaluation_lines
from landscape.results.metrics import WithMetrics, no_errors, no_metrics
from landscape.results.planes import rows_of, walk_words
from landscape.rounding import format_value


@dataclass(frozen=True, eq=False, repr=False)
class PathSlice(WithMetrics, Record):
    """The loss on a plane through parameter space, and where paths run on it or above it.

    Attributes
    ----------
    x : (X,) array
    y : (Y,) array
    loss : (Y, X) array
        ``loss[j, i]`` at ``origin + x[i]·d₁ + y[j]·d₂``, with d₁ and d₂ orthonormal.
    directions : tuple of str
        What they are: two parameters by name, or principal components.
    names : tuple of str
        One for each path.
    lengths : (L,) array of int
        Points of each path.
    points : (S, 2) array
        All paths one after the other, as (x, y); of points off the plane, their orthogonal projections.
    outside : (S,) array
        Distance of each point from the plane; 0 where the plane is the whole space.
    explained : float
        Share of the paths' variance about their mean that lies in the plane, 0 … 1.
    walks : (W, 2) array
        The same of simulated random walks with the steps of these paths, along each axis; empty where the plane is the
        whole space, and in older records.
    losses, plane_losses : (S,) arrays
        The loss at each point of the paths, and at its projection onto the plane; empty where they were not asked for.
    batch_statistics : str
        What running statistics of normalisation layers are on the plane, as of a
        :class:`~landscape.results.LineSlice`.
    metrics : dict of name to (Y, X) array
        What else was evaluated on the plane; stored as of a :class:`~landscape.results.PlaneSlice`.
    error, error_log10, metric_errors, num_evaluations, reason, num_drawn, num_examples
        Of the surface, as of a :class:`~landscape.results.LineSlice`.
    """

    x: Array
    y: Array
    loss: Array
    directions: tuple[str, ...]
    names: tuple[str, ...]
    lengths: Array
    points: Array
    outside: Array
    explained: float
    batch_statistics: str = ""
    metric_names: tuple[str, ...] = ()
    metric_values: Array = field(default_factory=no_metrics)
    metric_losses: tuple[str, ...] = ()
    walks: Array = field(default_factory=lambda: np.empty((0, 2)))
    losses: Array = field(default_factory=lambda: np.empty(0))
    plane_losses: Array = field(default_factory=lambda: np.empty(0))
    error: float = 0.0
    error_log10: float = 0.0
    num_evaluations: int = 0
    reason: str = ""
    num_drawn: int = 0
    num_examples: int = 0
    metric_error_values: Array = field(default_factory=no_errors)

    def path(self, name: str) -> Array:
        """One path, (T, 2).

        Raises
        ------
        UsageError
            If there is none of that name.
        """
        return self.points[self._rows(name)]

    def only(self, names: Sequence[str]) -> PathSlice:
        """The same plane with some of the paths.

        Raises
        ------
        UsageError
            If there is none of a name.
        """
        chosen = [self.path(name) for name in names]
        rows = [np.arange(len(self.points))[self._rows(name)] for name in names]
        return replace(
            self,
            names=tuple(names),
            lengths=np.array([len(path) for path in chosen]),
            points=np.concatenate(chosen),
            outside=self.outside[np.concatenate(rows)],
            losses=self.losses[np.concatenate(rows)] if len(self.losses) else self.losses,
            plane_losses=self.plane_losses[np.concatenate(rows)] if len(self.plane_losses) else self.plane_losses,
        )

    def _rows(self, name: str) -> slice:
        return rows_of(name, self.names, self.lengths, kind="path")

    def _lines(self) -> list[tuple[str, str]]:
        known = self.loss[np.isfinite(self.loss)]
        extent = (
            f"{format_value(float(known.min()))} … {format_value(float(known.max()))}" if known.size else "not finite"
        )
        return [
            ("paths", ", ".join(f"{n} ({c})" for n, c in zip(self.names, self.lengths.tolist(), strict=True))),
            ("directions", ", ".join(self.directions)),
            ("in the plane", f"{100 * self.explained:.1f} % of the variance of the positions"),
            *([("a random walk", walk_words(self.walks))] if len(self.walks) else []),
            ("loss", extent),
            *self.metric_lines(),
            *self._path_lines(),
            *evaluation_lines(self),
            *([("running statistics", WORDS[self.batch_statistics])] if self.batch_statistics else []),
        ]

    def _path_lines(self) -> list[tuple[str, str]]:
        """How far the loss of the plane is from that of the paths, where they were evaluated."""
        if not len(self.losses) or not self.outside.any():
            return []
        apart = np.abs(self.plane_losses - self.losses)
        worst = int(np.nan_to_num(apart, nan=np.inf).argmax())
        here, drawn = (format_value(float(values[worst])) for values in (self.losses, self.plane_losses))
        return [("off the plane", f"loss {here} where the plane has {drawn}, at most so far apart")]
