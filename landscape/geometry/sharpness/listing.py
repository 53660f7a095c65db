"""All measures of sharpness, one row each: to what they are invariant, what they cost, how they answer."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from landscape.geometry.sharpness.definitions import MEASURES

if TYPE_CHECKING:
    import pandas as pd

_HEADINGS = ("measure", "invariant to", "answer", "radius", "cost", "reference")


@dataclass(frozen=True)
class MeasureRow:
    """One measure of :func:`landscape.sharpness`.

    Attributes
    ----------
    name : str
        What ``measure=`` takes.
    invariant_to, invariant_with_normalized_logits : tuple of str
        Changes of a network that leave the measure as it is: ``"layers"``, one layer of a ReLU network multiplied by a
        and the next divided by a, which is the same function (Dinh et al. 2017); ``"logits"``, weight and bias of the
        last layer multiplied by a > 0, which leaves every prediction. The second as ``normalize_logits=True`` has it.
    answer : str
        ``"exact"`` up to rounding, ``"estimate"`` with an error, or ``"lower bound"``.
    radius : float or None
        Default of ``rho``, at the usual norm; None where the measure has none.
    cost : str
        By default: products with the Hessian, gradients or losses, each over all data.
    reference : str
    """

    name: str
    invariant_to: tuple[str, ...]
    invariant_with_normalized_logits: tuple[str, ...]
    answer: str
    radius: float | None
    cost: str
    reference: str

    def cells(self) -> tuple[str, ...]:
        """As a table shows it."""
        more = [what for what in self.invariant_with_normalized_logits if what not in self.invariant_to]
        kept = ", ".join((*self.invariant_to, *(f"{what}*" for what in more))) or "none"
        radius = "–" if self.radius is None else f"{self.radius:g}"
        return self.name, kept, self.answer, radius, self.cost, self.reference


class MeasureTable(Sequence[MeasureRow]):
    """The rows of :func:`measures`; prints as a table, in a terminal and in a notebook."""

    def __init__(self, rows: Sequence[MeasureRow]) -> None:
        self._rows = tuple(rows)

    @overload
    def __getitem__(self, index: int) -> MeasureRow: ...
    @overload
    def __getitem__(self, index: slice) -> MeasureTable: ...
    def __getitem__(self, index: int | slice) -> MeasureRow | MeasureTable:
        return MeasureTable(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[MeasureRow]:
        return iter(self._rows)

    @property
    def names(self) -> tuple[str, ...]:
        """What ``measure=`` takes."""
        return tuple(row.name for row in self._rows)

    def to_dataframe(self) -> pd.DataFrame:
        """A row for each measure, indexed by its name."""
        import pandas as pd

        columns = {
            "invariant_to": [", ".join(row.invariant_to) for row in self],
            "invariant_with_normalized_logits": [", ".join(row.invariant_with_normalized_logits) for row in self],
            "answer": [row.answer for row in self],
            "radius": [math.nan if row.radius is None else row.radius for row in self],
            "cost": [row.cost for row in self],
            "reference": [row.reference for row in self],
        }
        return pd.DataFrame(columns, index=pd.Index(self.names, name="measure"))

    def __str__(self) -> str:
        lines = [_HEADINGS, *(row.cells() for row in self)]
        widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        return "\n".join([text[0], "-" * max(map(len, text)), *text[1:], "", _NOTE])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align:left'>{html.escape(name)}</th>" for name in _HEADINGS)
        rows = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in row.cells()) + "</tr>"
            for row in self
        )
        return f"<table><tr>{head}</tr>{rows}</table><p>{html.escape(_NOTE)}</p>"


_NOTE = (
    "invariant to rescaling of layers into an equal ReLU network, a factor on the logits; * with normalize_logits=True"
)


def measures() -> MeasureTable:
    """The measures that :func:`landscape.sharpness` knows, with what each is invariant to, costs and answers.

    Returns
    -------
    MeasureTable
        A sequence of :class:`MeasureRow`; ``to_dataframe()`` for pandas. Nothing is measured.

    Examples
    --------
    >>> [row.name for row in measures() if "layers" in row.invariant_to][:3]
    ['adaptive_worst', 'adaptive_average', 'relative_flatness']
    >>> measures()[0].cost
    '20 to 500 products'
    """
    return MeasureTable(
        [
            MeasureRow(
                name,
                one.invariant_to(),
                one.invariant_to(normalize_logits=True),
                one.answer,
                next(iter(one.rho.values()), None),
                one.cost,
                one.reference,
            )
            for name, one in MEASURES.items()
        ]
    )
