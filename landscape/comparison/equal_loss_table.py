"""Groups at equal training loss as a table, and in which words it is said where they were read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from landscape.comparison.averages import LOG, Centre
from landscape.comparison.equal_loss import EqualLoss
from landscape.comparison.loss_paths import tuples_of
from landscape.comparison.other_levels import other_levels
from landscape.comparison.terminal import new_table, on_two_lines
from landscape.escaping.terminal import cell
from landscape.rounding import format_value
from landscape.store.catalogue import IN_MEANS, MEASURES, label_of

if TYPE_CHECKING:
    from rich.table import Table


def where_read(found: EqualLoss) -> str:
    """``0.31, each run read between checkpoints at 0.38 to 0.33 and 0.29 to 0.25``: and where."""
    here = found.runs[found.runs["level"] == found.level]
    here = here[~here["run"].isin(found.left_out)].drop_duplicates("run")
    above, below = (_range(here[name]) for name in ("loss_above", "loss_below"))
    return f"{format_value(found.level, digits=3)}, each run read between checkpoints at {above} and {below}"


def equal_loss_cells(found: EqualLoss) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Headings of the groups with their n; the losses between which they were read, and per measure their centres.

    At the headline's level, ``—`` where missing.
    """
    rows = found.table[found.table["level"] == found.level]
    groups = list(dict.fromkeys(rows["group"]))
    counts = rows.groupby("group", sort=False)["n"].max()
    texts = {(r.group, r.measure): str(Centre(r.value, r.low, r.high, r.scale)) for r in tuples_of(rows)}
    body = [("read between losses", [_between(rows[rows["group"] == group]) for group in groups])]
    body += [(m, [texts.get((g, m), "—") for g in groups]) for m in MEASURES if any((g, m) in texts for g in groups)]
    return [f"{group} (n={counts[group]})" for group in groups], body


def equal_loss_table(found: EqualLoss) -> Table:
    """For a terminal of 80 columns: the groups below each other, the flattest first, with their matched losses."""
    table = new_table()
    table.title = cell(f"At a training loss of {where_read(found)}")
    table.title_justify = "left"
    table.title_style = "bold"
    rows = found.table[found.table["level"] == found.level]
    order = [*found.centres("lambda_max"), *dict.fromkeys(rows["group"])]
    shown = [m for m in IN_MEANS if m in set(rows["measure"])][:4]
    names = [label_of(m).replace(" ", "\n", 1) for m in shown]
    titles = [str(found.table.attrs.get("by", "group")), "n", "losses", *names]
    for i, title in enumerate(titles):
        table.add_column(cell(title), justify="right" if i else "left", overflow="fold")
    for group in dict.fromkeys(order):
        mine = rows[rows["group"] == group]
        texts = {r.measure: str(Centre(r.value, r.low, r.high, r.scale)) for r in tuples_of(mine)}
        cells = [str(group), str(mine["n"].max()), _between(mine).replace(" and ", "\nand ")]
        table.add_row(*map(cell, [*cells, *(on_two_lines(texts.get(m, "—")) for m in shown)]))
    scales = "; ×/÷: geometric mean, and the factor to either end" if (rows["scale"] == LOG).any() else ""
    legend = f"read on a straight line in logarithms; intervals of 95 % over runs (Student's t){scales}"
    elsewhere = [text] if (text := other_levels(found)) else []
    table.caption = cell("\n".join([legend, *elsewhere, *found.notes]))
    return table


def _between(rows: pd.DataFrame) -> str:
    above, below = rows["loss_above"].max(), rows["loss_below"].min()
    return " and ".join(format_value(float(x), digits=2) for x in dict.fromkeys((above, below)))


def _range(losses: pd.Series) -> str:
    low, high = (format_value(float(x), digits=2) for x in (losses.min(), losses.max()))
    return low if low == high else f"{high} to {low}"
