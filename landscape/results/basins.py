"""Which minimum each of several points belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.results.base import Array, Record
from landscape.rounding import format_value


@dataclass(frozen=True, eq=False, repr=False)
class Basins(Record):
    """The minima that gradient flow leads to from S points of parameter space.

    Attributes
    ----------
    minima : (M, P) array
        Isolated minima, by their loss, the lowest first.
    losses : (M,) array
    lambda_max, lambda_min : (M,) arrays
        Ends of the Hessian's spectrum at each minimum; all positive.
    index : (S,) array of int
        The minimum of each point, as a row of ``minima``; -1 where the flow reached none.
    radius : float
        Ends of flows closer than this are one minimum.
    num_gradients, num_matvecs : int
        Cost.
    """

    minima: Array
    losses: Array
    lambda_max: Array
    lambda_min: Array
    index: Array
    radius: float
    num_gradients: int = 0
    num_matvecs: int = 0

    def __len__(self) -> int:
        return len(self.minima)

    @property
    def counts(self) -> Array:
        """(M,): how many of the points belong to each minimum."""
        return np.bincount(self.index[self.index >= 0], minlength=len(self))

    def _lines(self) -> list[tuple[str, str]]:
        lost = int((self.index < 0).sum())
        lines = [("minima", f"{len(self)} from {len(self.index)} points" + (f", {lost} reached none" if lost else ""))]
        for k, count in enumerate(self.counts.tolist()):
            facts = (self.losses[k], self.lambda_max[k], self.lambda_min[k])
            loss, top, low = (format_value(float(x)) for x in facts)
            lines.append((f"minimum {k}", f"{count} points; loss {loss}, λ_max {top}, λ_min {low}"))
        return lines
