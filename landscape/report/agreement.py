"""Do the measures of flatness name one group, how often would chance, and what if the scale of the logits is out?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from landscape.comparison import LOG, Centre, EqualLoss, scale_of
from landscape.comparison.agreement import chance_of_agreement
from landscape.escaping.frames import frame_of
from landscape.plots.drawing import join_words
from landscape.store import Results, final_rows
from landscape.store.catalogue import IN_HEADLINE, MEASURES

COLUMNS = ("measure", "group", "run", "seed", "value")


def runs_at(matched: EqualLoss) -> pd.DataFrame:
    """Every run at one training loss: ``measure, group, run, seed, value``."""
    return matched.runs[matched.runs["level"] == matched.level][list(COLUMNS)]


def runs_at_ends(results: Results) -> pd.DataFrame:
    """The same where training stopped."""
    label = {run.name: run.label for run in results.runs}
    rows = [
        (measure, label[row["run"]], row["run"], row["seed"], row[measure])
        for row in final_rows(results)
        for measure in IN_HEADLINE
        if row[measure] is not None
    ]
    return frame_of(rows, COLUMNS)


def agreement(orders: dict[str, dict[Any, Centre]], runs: pd.DataFrame) -> list[str]:
    """Which group is flattest by which measure.

    Parameters
    ----------
    orders : dict
        Measure → group → its centre, lowest first.
    runs : DataFrame
        What :func:`runs_at` or :func:`runs_at_ends` give: the runs behind them.
    """
    if len(orders) < 2:
        return []
    flattest: dict[Any, list[str]] = {}
    for measure, order in orders.items():
        flattest.setdefault(next(iter(order)), []).append(MEASURES[measure].words)
    if len(flattest) == 1:
        chance = _chance(orders, runs)
        often = "" if np.isnan(chance) else (
            f"; with the runs given to the groups at random, all would name one group in {100 * chance:.0f} % of cases"
        )  # fmt: skip
        return [f"All {len(orders)} flatness measures agree on {next(iter(flattest))} as the flattest{often}."]
    parts = [f"{group} by {join_words(names)}" for group, names in flattest.items()]
    said = [f"The flatness measures disagree on which is flattest: {'; '.join(parts)}."]
    free = {measure: next(iter(order)) for measure, order in orders.items() if MEASURES[measure].is_invariant_to_logits}
    if free:
        names = join_words([f"{group} by {MEASURES[measure].words}" for measure, group in free.items()])
        said.append(f"The others follow the scale of the logits, which no prediction needs; with it out, {names}.")
    return said


def _chance(orders: dict[str, dict[Any, Centre]], runs: pd.DataFrame) -> float:
    """NaN where not every run has every measure, or there is no way to give the runs to other groups."""
    groups = set.intersection(*(set(order) for order in orders.values()))
    kept = runs[runs["measure"].isin(orders) & runs["group"].isin(groups)]
    if kept.empty or kept["seed"].isna().any() or kept.duplicated(["measure", "run"]).any():
        return float("nan")
    wide = kept.pivot(index="run", columns="measure", values="value")
    who = kept.drop_duplicates("run").set_index("run").loc[wide.index]
    if not np.isfinite(wide.to_numpy(float)).all() or len(wide) < 3:
        return float("nan")
    values: dict[str, list[float]] = {}
    for measure in wide.columns:
        column = wide[measure].to_numpy(float)
        is_log = scale_of(str(measure), column.tolist()) == LOG
        values[str(measure)] = (np.log(column) if is_log else column).tolist()
    seeds = who["seed"].tolist()
    paired = who.groupby("group")["seed"].apply(lambda found: tuple(sorted(found))).nunique() == 1
    return chance_of_agreement(values, who["group"].tolist(), blocks=seeds if paired else None)
