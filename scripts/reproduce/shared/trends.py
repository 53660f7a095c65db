"""Whether something rises or falls over an ordered grid, judged as one trend and not pair by pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.01  # of Page's test
FEWEST = (2, 3)  # seeds and places of which it is made


@dataclass(frozen=True)
class Trend:
    """An ordered alternative over seeds.

    Attributes
    ----------
    tau : float
        Kendall's τ with the grid, the mean over seeds: 1 where every seed rises at each step, −1 where it falls.
    p : float
        Of Page's test for the direction asked: each seed's values in random order, independently of the others. NaN
        for fewer than two seeds or three places, of which no trend is claimed.
    seeds, places : int
        Rows and columns of the table.
    """

    tau: float
    p: float
    seeds: int
    places: int

    @property
    def holds(self) -> bool:
        """Whether chance would make such a trend in fewer than ``LEVEL`` of cases."""
        return self.p < LEVEL

    def __str__(self) -> str:
        return f"Kendall's τ {self.tau:.2f} over {self.places} places, mean of {self.seeds} seeds; " + (
            "too few for a test" if np.isnan(self.p) else f"Page's p = {self.p:.1g}"
        )


def trend(table: np.ndarray, *, rising: bool) -> Trend:
    """Of values (seeds, places), the places in the order of the grid.

    References
    ----------
    Page (1963), J. Amer. Statist. Assoc. 58(301). Its null distribution is exact.
    """
    table = np.asarray(table, dtype=float)
    directed = table if rising else -table
    taus = [float(stats.kendalltau(range(row.size), row).statistic) for row in table]
    enough = table.shape[0] >= FEWEST[0] and table.shape[1] >= FEWEST[1]
    p = float(stats.page_trend_test(directed, method="exact").pvalue) if enough else float("nan")
    return Trend(float(np.mean(taus)), p, *table.shape)


def table_of(groups: Mapping[object, Mapping[int, float]]) -> np.ndarray:
    """``{place: {seed: value}}`` as (seeds, places)."""
    rows = [list(group.values()) for group in groups.values()]
    return np.array(rows).T
