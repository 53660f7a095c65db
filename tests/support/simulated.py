"""Studies made up from known distributions, judged by the rule that judges real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy import stats

from landscape.statistics import Decision, decide


def arms_of(
    rng: np.random.Generator, n: int, count: int, *, paired: bool, shift: float = 0.0, shared: float = 1.0
) -> list[dict[int, float]]:
    """Normal arms, the first shifted. Pairs share a part by seed, and their differences have standard deviation 1.

    Without pairs each arm has seeds of its own, and standard deviation 1.
    """
    common = shared * rng.standard_normal(n) if paired else 0.0
    own = rng.standard_normal((count, n)) * (0.5**0.5 if paired else 1.0) + common
    own[0] += shift
    return [dict(enumerate(values.tolist(), 0 if paired else 1000 * i)) for i, values in enumerate(own)]


def decided(arms: Sequence[Mapping[int, float]], level: float = 0.95) -> list[Decision]:
    """All pairs of the arms, in the order of ``itertools.combinations``."""
    return decide(list(combinations(arms, 2)), groups=len(arms), level=level)


def most_false(count: int, level: float, *, confidence: float = 0.999) -> float:
    """How many of ``count`` studies may go wrong where one in 1/level does."""
    return float(stats.binom.ppf(confidence, count, level))
