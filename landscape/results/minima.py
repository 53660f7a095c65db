"""Minima compared in pairs: matrices with a row and a column for each of k of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.errors import UsageError
from landscape.results.base import Array, Record
from landscape.results.batch_statistics import WORDS
from landscape.rounding import format_value

#: Matrices of a :class:`MinimaMatrix`, in the order in which they are shown, each in words.
QUANTITIES = {
    "barrier": "barrier of the loss",
    "test_barrier": "barrier of the test loss",
    "distance": "distance in θ",
    "cosine": "cosine",
    "disagreement": "disagreement",
    "test_disagreement": "disagreement, test data",
    "overlap": "overlap of eigenspaces",
}


@dataclass(frozen=True, eq=False, repr=False)
class MinimaMatrix(Record):
    """Every pair of k minima: one symmetric (k, k) array for each quantity, NaN where it was not measured.

    Attributes
    ----------
    names : tuple of str
        Of the minima, in the order of rows and columns.
    losses, test_losses : (k,) arrays
        Of the models as they are; test losses NaN where there are no test data.
    barrier, test_barrier : (k, k) arrays
        On the straight line, over ``points`` points: lower bounds.
    barrier_error : (k, k) array
        How much larger the barrier may be between the points, estimated from the line's own second differences.
    distance : (k, k) array
        ``‖θ_a − θ_b‖``.
    cosine : (k, k) array
        Of what ``cosine_of`` says: ``"θ − θ₀"`` where the start of each is known, else ``"θ"``.
    disagreement, test_disagreement : (k, k) arrays
        Share of the targets for which the two predict different classes; of outputs that are no scores of classes, the
        root mean square of their difference. ``disagreement_of`` says which.
    overlap : (k, k) array
        Mean squared cosine of the principal angles between top eigenspaces of the Hessian: 1 for the same space.
    overlap_dim : int
        Of these eigenspaces, the smallest; 0 where there are none.
    aligned : bool
        Whether the second of each pair was first brought to the neurons of the first.
    batch_statistics : str
        What running statistics of normalisation layers are on the lines, as of a :class:`LineSlice`.
    """

    names: tuple[str, ...]
    losses: Array
    test_losses: Array
    barrier: Array
    barrier_error: Array
    test_barrier: Array
    distance: Array
    cosine: Array
    disagreement: Array
    test_disagreement: Array
    overlap: Array
    cosine_of: str = "θ"
    disagreement_of: str = ""
    overlap_dim: int = 0
    points: int = 0
    aligned: bool = False
    batch_statistics: str = ""

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of the matrices that hold something beside their diagonal."""
        return tuple(name for name in QUANTITIES if np.isfinite(self._pairs(getattr(self, name))).any())

    def matrix(self, name: str) -> Array:
        """One of them, (k, k).

        Raises
        ------
        UsageError
            If there is none of that name.
        """
        if name not in QUANTITIES:
            raise UsageError(f"no quantity {name!r}; there are {', '.join(QUANTITIES)}")
        found: Array = getattr(self, name)
        return found

    def describe(self, name: str) -> str:
        """What a matrix is, in words, with what it is of.

        Raises
        ------
        UsageError
            If there is none of that name.
        """
        self.matrix(name)
        if name == "cosine":
            return f"cosine of {self.cosine_of}"
        if name.endswith("disagreement") and self.disagreement_of:
            return f"{QUANTITIES[name]} ({self.disagreement_of})"
        return QUANTITIES[name] + (" (≥)" if name.endswith("barrier") else "")

    def pairs(self) -> list[tuple[str, str]]:
        """Names of the pairs, each once, in the order of :meth:`to_dataframe`."""
        rows, columns = np.triu_indices(len(self.names), 1)
        return [(self.names[i], self.names[j]) for i, j in zip(rows.tolist(), columns.tolist(), strict=True)]

    def _pairs(self, values: Array) -> Array:
        """Above the diagonal, row by row."""
        upper: Array = values[np.triu_indices(len(self.names), 1)]
        return upper

    def _lines(self) -> list[tuple[str, str]]:
        lines = [("minima", f"{len(self.names)}: {', '.join(self.names)}")]
        for name in self.measured:
            values, pairs = self._pairs(self.matrix(name)), self.pairs()
            text = _range(values)
            if len(pairs) > 1 and np.isfinite(values).any():
                lowest, highest = pairs[int(np.nanargmin(values))], pairs[int(np.nanargmax(values))]
                text += f"; least {' – '.join(lowest)}, most {' – '.join(highest)}"
            lines.append((self.describe(name), text))
        if "barrier" in self.measured:
            worst = np.nanmax(self._pairs(self.barrier_error), initial=0.0)
            said = f"{self.points} points a line; between them at most {format_value(float(worst))} more (estimated)"
            lines.append(("", said))
        if self.aligned:
            lines.append(("", "after alignment of the neurons"))
        return [*lines, *([("running statistics", WORDS[self.batch_statistics])] if self.batch_statistics else [])]


def _range(values: Array) -> str:
    known = values[np.isfinite(values)]
    if not known.size:
        return "not finite"
    low, high = (format_value(float(pick(known))) for pick in (np.min, np.max))
    return low if low == high else f"{low} … {high}"
