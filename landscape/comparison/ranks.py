"""Does a flatness measure rank the runs of a study as their generalisation gap does?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from landscape.comparison.terminal import new_table
from landscape.escaping.terminal import cell
from landscape.statistics import kendall
from landscape.store import Results, load_results
from landscape.store.catalogue import IN_RANKS
from landscape.store.rows import final_rows

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("measure", "tau", "low", "high", "p", "n")


def ranks_with_gap(results: Results | str | Path, *, level: float = 0.95) -> pd.DataFrame:
    """Kendall's τ of each flatness measure with the generalisation gap, test less training loss, over all runs.

    Positive: sharper minima have larger gaps. Over the runs of this folder, which share a problem, and mostly their
    optimizer or learning rate too: it describes them, and is **not a generalization claim**. The interval assumes
    independent runs (:func:`landscape.statistics.kendall`).

    Returns
    -------
    DataFrame
        ``measure, tau, low, high, p, n``; NaN for fewer than six runs that have the measure and both losses.

    References
    ----------
    Jiang, Neyshabur, Mobahi, Krishnan & Bengio (2020), Fantastic generalization measures and where to find them, ICLR.
    """
    if not isinstance(results, Results):
        results = load_results(results, vectors=False)
    rows = [row for row in final_rows(results) if row["test_loss"] is not None and row["train_loss"] is not None]
    gaps = [row["test_loss"] - row["train_loss"] for row in rows]
    records = []
    for measure in IN_RANKS:
        values = [float("nan") if row[measure] is None else row[measure] for row in rows]
        found = kendall(values, gaps, level=level)
        records.append((measure, found.value, found.low, found.high, found.p, found.n))
    return pd.DataFrame.from_records(records, columns=list(COLUMNS))


def rank_table(frame: pd.DataFrame) -> Table:
    """For a terminal of 80 columns."""
    table = new_table()
    for i, title in enumerate(("flatness against gap", "τ", "interval", "n")):
        table.add_column(title, justify="right" if i else "left")
    row: Any
    for row in frame.dropna(subset=["tau"]).itertuples():
        table.add_row(*map(cell, (row.measure, f"{row.tau:.2f}", f"{row.low:.2f} … {row.high:.2f}", str(row.n))))
    table.caption = cell(
        "Kendall's τ with test loss − training loss over all runs; intervals as if runs were independent. "
        "Not a generalization claim."
    )
    return table
