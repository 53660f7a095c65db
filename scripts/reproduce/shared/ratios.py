"""How many times as large, over seeds: where a comparison of two ways to train ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from landscape.statistics import contrast


@dataclass(frozen=True)
class Ratio:
    """Geometric mean of a/b over seeds.

    Attributes
    ----------
    value, low, high : float
        With its 95 % interval, by Student's t of the logarithms.
    pairs : int
    p, smallest_p : float
        Of a permutation test of the logarithms, and the smallest that so many pairs can reach.
    """

    value: float
    low: float
    high: float
    pairs: int
    p: float
    smallest_p: float

    def __str__(self) -> str:
        test = f"p = {self.p:.2g}" + (", the smallest possible" if self.p <= 1.001 * self.smallest_p else "")
        return f"{self.value:.2f} × ({self.low:.2f} … {self.high:.2f}; {self.pairs} seeds, {test})"


def ratio(a: Mapping[int, float], b: Mapping[int, float]) -> Ratio:
    """Compare ``{seed: value}`` of two groups with the same seeds, all values positive."""
    logs = ({seed: math.log(value) for seed, value in group.items()} for group in (a, b))
    found = contrast(*logs)
    value, low, high = (math.exp(log) for log in (found.difference, found.low, found.high))
    return Ratio(value, low, high, found.n, found.p, found.smallest_p)
