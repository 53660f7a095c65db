"""CSV: numbers to the last bit; text that a spreadsheet would run as a formula begins with an apostrophe."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from landscape.escaping.control_characters import visible

if TYPE_CHECKING:
    import pandas as pd

#: What begins a formula in Excel, LibreOffice or Google Sheets, the full-width forms among them.
_FORMULA = "=+-@＝＋－＠"


def csv_cell(value: Any) -> Any:
    """Text made harmless; anything else as it is.

    >>> csv_cell("=cmd|'/c calc'!A1"), csv_cell("adam-s0"), csv_cell(-1.5)
    ("'=cmd|'/c calc'!A1", 'adam-s0', -1.5)
    """
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.lstrip()[:1] in tuple(_FORMULA) else text


def csv_text(columns: Sequence[str], lines: Iterable[Mapping[str, Any]]) -> str:
    """Rows with a heading."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writerow({name: csv_cell(name) for name in columns})
    writer.writerows({name: csv_cell(value) for name, value in line.items()} for line in lines)
    return buffer.getvalue()


def frame_csv(frame: pd.DataFrame) -> str:
    """A frame without its index."""
    text = frame.select_dtypes(exclude="number").columns
    safe = frame.assign(**{name: frame[name].map(csv_cell) for name in text})
    return str(safe.to_csv(index=False, lineterminator="\n"))
