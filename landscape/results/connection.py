"""A curve between two minima. ``M`` points, ``K`` bends, ``P`` parameters, ``S`` steps of its training."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import special

from landscape.errors import UsageError
from landscape.results.barriers import WithBarriers, highest_between
from landscape.results.base import Array, Record
from landscape.results.batch_statistics import WORDS
from landscape.results.metrics import extent, no_metrics
from landscape.rounding import format_value

#: Kinds of curves, each in words.
CURVES = {"bezier": "Bézier curve", "polygon": "polygonal chain"}
_PIECES = 256  # of a Bézier curve, for its length


def shares(curve: str, t: Array | float, count: int) -> Array:
    """What each of the points that make a curve counts at t: (count,), or (M, count) for M values of t.

    Of a Bézier curve the Bernstein polynomials, of a polygonal chain the two corners next to t. They sum to one; at the
    ends the first or the last is exactly one.

    >>> shares("bezier", 0.5, 3).tolist(), shares("polygon", 0.25, 3).tolist()
    ([0.25, 0.5, 0.25], [0.5, 0.5, 0.0])
    """
    at, index = np.asarray(t, dtype=float)[..., None], np.arange(count)
    if curve == "polygon":
        near: Array = np.clip(1 - np.abs((count - 1) * at - index), 0, None)
        return near
    bernstein: Array = special.binom(count - 1, index) * at**index * (1 - at) ** (count - 1 - index)
    return bernstein


@dataclass(frozen=True, eq=False, repr=False)
class Connection(WithBarriers, Record):
    """A curve φ(t) from one minimum to another, trained so that the loss along it is low.

    Attributes
    ----------
    t, loss : (M,) arrays
        ``loss[i] = L(φ(t[i]))``, t equally spaced from 0 to 1. NaN stays NaN.
    line : (M,) array
        The loss on the straight line between the same ends, at the same t.
    control : (K + 2, P) array
        The points that make the curve: both ends as given, the bends between them.
    curve : str
        ``"bezier"`` or ``"polygon"``.
    ends : (2,) array
        The losses of both models as they are, with running statistics of their own; NaN where these are not known.
        They are ``loss[0]`` and ``loss[-1]`` unless statistics were recomputed.
    history : (S,) array
        The loss at each step of the training of the bends: of one batch, at one t.
    num_gradients, num_losses : float, int
        Cost: gradients over the whole data, a batch counted by its share; losses over the whole data.
    method : str
        How the bends were trained.
    reason : str
        Why the training ended before its last step; empty where it did not.
    seed : int
        Of the batches and of t.
    batch_statistics : str
        What running statistics of normalisation layers are along the curve, as of a :class:`LineSlice`.
    metrics : dict of name to (M,) array
        What else was evaluated along the curve; stored as of a :class:`LineSlice`.
    """

    t: Array
    loss: Array
    line: Array
    control: Array
    curve: str
    ends: Array
    history: Array
    num_gradients: float
    num_losses: int
    method: str
    reason: str = ""
    seed: int = 0
    batch_statistics: str = ""
    metric_names: tuple[str, ...] = ()
    metric_values: Array = field(default_factory=no_metrics)
    metric_losses: tuple[str, ...] = ()

    @property
    def bends(self) -> Array:
        """(K, P): the points that were trained; a Bézier curve is drawn towards them, a polygon passes them."""
        return self.control[1:-1]

    def at(self, t: float) -> Array:
        """φ(t), (P,), in the dtype of the bends; at 0 and 1 the ends to the last bit.

        Raises
        ------
        UsageError
            If t is not between 0 and 1.
        """
        if not 0 <= t <= 1:
            raise UsageError(f"t={t!r} must lie between 0, where the curve begins, and 1, where it ends")
        point: Array = shares(self.curve, t, len(self.control)) @ self.control
        if t in (0, 1):  # without the others, whose zeros times infinity would be no number
            point = self.control[-int(t)]
        return point.astype(self.control.dtype)

    @property
    def highest(self) -> float:
        """The largest loss at the points evaluated."""
        return float(np.max(self.loss))

    @property
    def bound(self) -> float:
        """How large the loss is at most, between the points, too: an estimate from its own second differences.

        By :func:`~landscape.results.barriers.highest_between`, which says what it assumes.
        """
        return float(np.max(highest_between(self.t, self.loss, kinks=self._kinks())))

    @property
    def line_barrier(self) -> float:
        """The barrier of the straight line, over the same points."""
        return float(np.max(self._above_chord(self.line)))

    @property
    def distance(self) -> float:
        """Between the ends, in parameter space."""
        return float(np.linalg.norm((self.control[-1] - self.control[0]).astype(float)))

    @property
    def length(self) -> float:
        """Of the curve, in parameter space; of a Bézier curve by 256 chords."""
        pieces = len(self.control) - 1 if self.curve == "polygon" else _PIECES
        steps = np.diff(shares(self.curve, np.linspace(0, 1, pieces + 1), len(self.control)), axis=0)
        # From the first end, so that what all points share cancels before it is squared.
        offsets = (self.control - self.control[0]).astype(float)
        squares = np.einsum("ij,jk,ik->i", steps, offsets @ offsets.T, steps)
        return float(np.sqrt(np.maximum(squares, 0)).sum())

    def _kinks(self) -> Array:
        """The corners of a polygon, which stand on the grid."""
        corners = (len(self.control) - 1) * self.t
        inner = (self.t > 0) & (self.t < 1)
        kinks: Array = inner & (np.abs(corners - np.round(corners)) < 1e-9) & (self.curve == "polygon")
        return kinks

    def _lines(self) -> list[tuple[str, str]]:
        bends = f"{len(self.bends)} bend{'s' if len(self.bends) != 1 else ''}"
        lines = [
            ("curve", f"{CURVES[self.curve]} with {bends}, {format_value(self.length / self._unit())} × the distance"),
            ("loss", f"{extent(self.loss)}, at most {format_value(self.bound)} between the points (estimated)"),
            *self.metric_lines(),
            ("barrier ≥", f"{format_value(self.barrier)}; of the straight line {format_value(self.line_barrier)}"),
            *([("running statistics", WORDS[self.batch_statistics])] if self.batch_statistics else []),
            ("training", f"{len(self.history)} steps, {self.method}"),
        ]
        return [*lines, ("", self.reason)] if self.reason else lines

    def _unit(self) -> float:
        return self.distance or 1.0
