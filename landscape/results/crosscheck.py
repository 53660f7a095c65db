"""Our numbers beside those of others: one row for each quantity and witness. ``W`` rows."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from landscape.results.base import Array, Record
from landscape.rounding import format_measured, format_short, format_value

#: What can be said of a row.
AGREES, EXPLAINED, DISAGREES, NOT_RUN = "agrees", "explained", "DISAGREES", "not run"
VERDICTS = (AGREES, EXPLAINED, DISAGREES, NOT_RUN)
HEADINGS = ("witness", "quantity", "ours", "theirs", "÷ allowed", "verdict")


class WitnessRow(NamedTuple):
    """One quantity by us and by a witness; NaN where there is no number or no error is stated."""

    quantity: str
    ours: float
    ours_error: float
    witness: str
    theirs: float
    theirs_error: float
    difference: float
    allowed: float
    verdict: str
    cause: str

    @property
    def ratio(self) -> float:
        """The difference in units of what the stated errors allow; NaN where nothing was compared."""
        if np.isnan(self.difference) or np.isnan(self.allowed):
            return float("nan")
        if self.difference == 0:
            return 0.0
        return self.difference / self.allowed if self.allowed > 0 else float("inf")

    def cells(self) -> tuple[str, ...]:
        """As a table shows it: witness, quantity, ours, theirs, difference ÷ allowed, verdict."""
        numbers = (_number(self.ours, self.ours_error), _number(self.theirs, self.theirs_error))
        close = 0.9 < self.ratio < 1.1  # on which side of 1 must be seen
        ratio = "—" if np.isnan(self.ratio) else (format_value(self.ratio) if close else format_short(self.ratio))
        return (self.witness, self.quantity, *numbers, ratio, self.verdict)


@dataclass(frozen=True, eq=False, repr=False)
class Crosscheck(Record):
    """A table of witnesses: what others measure of the same objective, and whether ours stands.

    Attributes
    ----------
    quantities, witnesses : tuple of str
        What was compared, and with whom.
    ours, theirs : (W,) arrays
        Of vectors and slices: their norm, or their value where both are furthest apart.
    ours_error, theirs_error : (W,) arrays
        As each side states it; NaN where it states none.
    difference, allowed : (W,) arrays
        How far both are apart (of vectors, the norm of the difference), and how far their errors let them be.
    verdicts : tuple of str
        ``"agrees"``; ``"explained"``: apart for a cause that was recomputed and gives their number; ``"DISAGREES"``:
        apart without one; ``"not run"``.
    causes : tuple of str
        The cause, the reason why it did not run, or what had to be lent to a tool.
    versions : tuple of str
        Of the libraries asked.
    num_matvecs, route
        Of our own products: how many, and by which way.
    """

    quantities: tuple[str, ...]
    witnesses: tuple[str, ...]
    ours: Array
    ours_error: Array
    theirs: Array
    theirs_error: Array
    difference: Array
    allowed: Array
    verdicts: tuple[str, ...]
    causes: tuple[str, ...]
    versions: tuple[str, ...]
    num_parameters: int
    num_examples: int
    num_matvecs: int
    seed: int
    route: str = ""

    def __post_init__(self) -> None:
        columns = (self.quantities, self.witnesses, self.verdicts, self.causes)
        if {len(column) for column in columns} != {len(self.ours)} or set(self.verdicts) - set(VERDICTS):
            raise ValueError("the columns of a Crosscheck do not go together")

    @property
    def rows(self) -> tuple[WitnessRow, ...]:
        """Row by row."""
        numbers = (self.ours, self.ours_error, self.theirs, self.theirs_error, self.difference, self.allowed)
        found = zip(self.quantities, self.witnesses, self.verdicts, self.causes, *(n.tolist() for n in numbers),
                    strict=True)  # fmt: skip
        return tuple(
            WitnessRow(quantity, ours, ours_error, witness, theirs, theirs_error, difference, allowed, verdict, cause)
            for quantity, witness, verdict, cause, ours, ours_error, theirs, theirs_error, difference, allowed in found
        )

    @property
    def unexplained(self) -> tuple[WitnessRow, ...]:
        """The rows that disagree without a known cause."""
        return tuple(row for row in self.rows if row.verdict == DISAGREES)

    @property
    def stands(self) -> bool:
        """Whether every disagreement has a cause."""
        return not self.unexplained

    @property
    def causes_by_number(self) -> tuple[str, ...]:
        """The different causes and remarks, in order: a table refers to them by their number, from 1."""
        return tuple(dict.fromkeys(cause for cause in self.causes if cause))

    def cells(self) -> list[tuple[str, ...]]:
        """The rows as a table shows them, the number of the cause behind the verdict."""
        numbers = {cause: f" [{i}]" for i, cause in enumerate(self.causes_by_number, start=1)}
        return [(*row.cells()[:-1], row.verdict + numbers.get(row.cause, "")) for row in self.rows]

    def summary(self) -> str:
        """One sentence."""
        count = {verdict: sum(v == verdict for v in self.verdicts) for verdict in VERDICTS}
        compared = len(self.verdicts) - count[NOT_RUN]
        words = f"{compared} comparisons with {len(self._heard())} witnesses: {count[AGREES]} agree"
        if count[EXPLAINED]:
            words += f", {count[EXPLAINED]} differ for a cause that was recomputed"
        bad = f"{count[DISAGREES]} DISAGREE without a known cause"
        return f"{words}, {bad if count[DISAGREES] else 'none disagrees without one'}."

    def _heard(self) -> set[str]:
        return {row.witness for row in self.rows if row.verdict != NOT_RUN}

    def _lines(self) -> list[tuple[str, str]]:
        return [("witnesses", self.summary())]

    def __str__(self) -> str:
        table = [HEADINGS, *self.cells()]
        widths = [max(len(row[i]) for row in table) for i in range(len(HEADINGS))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        notes = [f"[{i}] {cause}" for i, cause in enumerate(self.causes_by_number, start=1)]
        return "\n".join(
            [lines[0], "─" * sum(widths, 2 * (len(widths) - 1)), *lines[1:], "", *notes, "", self.summary()]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(heading)}</th>" for heading in HEADINGS)
        body = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.cells()
        )
        notes = "".join(f"<li>{html.escape(cause)}</li>" for cause in self.causes_by_number)
        return f"<p>{html.escape(self.summary())}</p><table><tr>{head}</tr>{body}</table><ol>{notes}</ol>"


def _number(value: float, error: float) -> str:
    if np.isnan(value):
        return "—"
    # Errors of less than a thousandth would only make the table wider: what they allow is in the column beside.
    shown = not np.isnan(error) and error > 1e-3 * abs(value)
    return format_measured(value, error) if shown else format_value(value, digits=5)
