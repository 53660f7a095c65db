"""How the tables of this room look in a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

TERMINAL = 80  # columns
_LEAST = 16  # of the words of a first column


def new_table() -> Table:
    """An empty table, a rule below its headings, its caption to the left; ``rich`` is loaded only here."""
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False, caption_justify="left", caption_style="")


def fitted(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int | None]:
    """Widths of columns in which numbers stand on one line each, and the words of the first column on as few as fit.

    >>> fitted(["measure", "adam (n=2)"], [["average sharpness", "0.72 ×/÷ 9.7"]])
    [17, 12]
    """
    columns = list(zip(*rows, strict=True))[1:]
    numbers = [
        max(*(len(text) for text in column), *(len(word) for word in title.split()))
        for title, column in zip(titles[1:], columns, strict=True)
    ]
    room = TERMINAL - 2 - 2 * len(numbers) - sum(numbers)  # both edges; a divider and a space before each
    first = max(len(row[0]) for row in (titles, *rows))
    if room < min(first, _LEAST):  # names of groups are long: they are broken wherever there is no room
        return [None] * len(titles)
    return [min(first, room), *numbers]


def on_two_lines(text: str) -> str:
    """A number above its error, for a narrow column."""
    return text.replace(" ± ", "\n± ").replace(" ×/÷ ", "\n×/÷ ")
