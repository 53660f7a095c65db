"""All that a study has found, compared once and read by the sentences, the tables and the limits of its paper."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from landscape.comparison import compare, contrasts, spreads
from landscape.store import Results, load_results
from landscape.study.design import Study
from landscape.study.tuning import Choice


@dataclass(frozen=True)
class Material:
    """All that a study has found.

    Attributes
    ----------
    results, matched : Path
        Of the runs at their end, and at equal training loss where they could be matched.
    """

    study: Study
    choices: list[Choice]
    diverged: list[str]
    results: Path
    matched: Path | None = None

    @cached_property
    def found(self) -> Results:
        """The results at the end, without eigenvectors."""
        return load_results(self.results, vectors=False)

    @cached_property
    def means(self) -> pd.DataFrame:
        """Means over seeds at the end."""
        return compare(self.found, by="label")

    @cached_property
    def pairs(self) -> pd.DataFrame | None:
        """Differences between arms at the end; None with one arm."""
        return contrasts(self.found, by="label") if self.means["group"].nunique() > 1 else None

    @cached_property
    def spreads(self) -> pd.DataFrame | None:
        """Standard deviations over seeds at the end; None where they are not the question."""
        return spreads(self.found, by="label") if self.study.spread else None

    @cached_property
    def at_equal_loss(self) -> pd.DataFrame | None:
        """Means over seeds at equal training loss."""
        return None if self.matched is None else compare(load_results(self.matched, vectors=False), by="label")
