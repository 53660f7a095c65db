"""All that a study has found, compared once and read by the sentences, the tables and the limits of its paper."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from landscape.comparison import LOG, EqualLoss, at_equal_loss, compare, contrasts, spreads
from landscape.escaping.frames import frame_of
from landscape.store import Results, load_results
from landscape.study.basins import Wells, wells
from landscape.study.blocks import read_blocks
from landscape.study.costs import Course, courses, spent
from landscape.study.design import Study
from landscape.study.forgetting import forgetting_quantities, read_forgetting
from landscape.study.quantities import Quantity, measured
from landscape.study.tuning import Choice
from landscape.study.writing import read_samples

#: More arms than these do not stand side by side: tables are cut, panels are too small to read, a list of them is no
#: sentence.
MANY = 7


@dataclass(frozen=True)
class Material:
    """All that a study has found.

    Attributes
    ----------
    results : Path
        Of the runs at their end, and around equal training losses.
    """

    study: Study
    choices: list[Choice]
    diverged: list[str]
    results: Path

    @cached_property
    def found(self) -> Results:
        """The results, without eigenvectors."""
        return load_results(self.results, vectors=False)

    @cached_property
    def means(self) -> pd.DataFrame:
        """Means over seeds at the end, arms in the order of the study."""
        return self._ordered(compare(self.found, by="label"))

    def _ordered(self, means: pd.DataFrame) -> pd.DataFrame:
        rank = {arm.label: i for i, arm in enumerate(self.study.arms)}
        ordered = means.sort_values("group", key=lambda labels: labels.map(rank), kind="stable", ignore_index=True)
        ordered.attrs = means.attrs
        return ordered

    @cached_property
    def pairs(self) -> pd.DataFrame | None:
        """Differences between arms at the end; None where no two are compared."""
        there = set(self.means["group"])
        sets = self.study.strata().values() if self.study.within else [self.study.arms]
        if not any(sum(arm.label in there for arm in arms) > 1 for arms in sets):
            return None
        return contrasts(self.found, by="label", within=self.study.within or None)

    @cached_property
    def spreads(self) -> pd.DataFrame | None:
        """Standard deviations over seeds at the end; None where they are not the question."""
        return spreads(self.found, by="label") if self.study.spread else None

    @cached_property
    def _read_at_equal_loss(self) -> EqualLoss | None:
        if not self.study.is_matched():
            return None
        return at_equal_loss(self.found, within=self.study.within or None)

    @property
    def at_equal_loss(self) -> EqualLoss | None:
        """The arms where all have one training loss; None where that is no question, or they cannot be read there."""
        found = self._read_at_equal_loss
        return found if found is not None and found.levels else None

    @property
    def unmatched(self) -> str:
        """Why the arms cannot be read at one loss, where they were to be."""
        found = self._read_at_equal_loss
        return found.reason if found is not None else ""

    @cached_property
    def matched_means(self) -> pd.DataFrame | None:
        """Means over seeds at equal training loss, as :func:`landscape.comparison.compare` has them at the end."""
        return None if self.at_equal_loss is None else self._ordered(as_means(self.at_equal_loss))

    @cached_property
    def measured(self) -> list[Quantity]:
        """What the problem measures by itself, what it knows in closed form, and what was forgotten."""
        return [*measured(self.study, self.found), *forgetting_quantities(self.forgetting)]

    @cached_property
    def forgetting(self) -> dict[tuple[str, int], dict[str, float]]:
        """(arm, seed) → what was forgotten, and what that may go with; empty where it is not asked for."""
        return read_forgetting(self.study, self.results.parents[1])

    @cached_property
    def courses(self) -> dict[str, dict[int, Course]]:
        """Of each arm and seed the loss against what was evaluated; empty where costs are not the question."""
        return courses(self.study, self.results.parent)

    @cached_property
    def costs(self) -> list[Quantity]:
        """What was evaluated until each of the study's training losses."""
        return spent(self.study, self.courses)

    @cached_property
    def wells(self) -> Wells | None:
        """The minima that runs begin and end near; None where that is not the question or cannot be known."""
        return wells(self.study, self.results.parent)

    @cached_property
    def blocks(self) -> pd.DataFrame | None:
        """Curvature by blocks along every run; None where that is not asked for."""
        return read_blocks(self.study, self.results.parents[1])

    @cached_property
    def samples(self) -> pd.DataFrame | None:
        """What every model writes at the end; None where that is not asked for."""
        return read_samples(self.study, self.results.parent)


def as_means(found: EqualLoss) -> pd.DataFrame:
    """The headline's level in the columns of a comparison of ends; each group's training loss is the level."""
    rows = found.table[found.table["level"] == found.level]
    counts = rows.groupby("group", sort=False)["n"].max()
    nan = float("nan")
    records = [(group, "train_loss", n, found.level, nan, nan, "linear", nan, nan, nan) for group, n in counts.items()]
    row: Any
    for row in rows.itertuples():
        factors = (row.value, row.low, row.high) if row.scale == LOG else (nan, nan, nan)
        records.append((row.group, row.measure, row.n, row.value, row.low, row.high, row.scale, *factors))
    columns = ["group", "measure", "n", "mean", "low", "high", "scale", "gmean", "gmean_low", "gmean_high"]
    frame = frame_of(records, columns)
    frame.attrs = {"by": "label", "level": found.table.attrs.get("level", 0.95), "notes": found.notes}
    return frame
