"""How the tables of this room look in a terminal of 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def new_table() -> Table:
    """An empty table, a rule below its headings, its caption to the left; ``rich`` is loaded only here."""
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False, caption_justify="left", caption_style="")


def on_two_lines(text: str) -> str:
    """A number above its error, for a narrow column."""
    return text.replace(" ± ", "\n± ").replace(" ×/÷ ", "\n×/÷ ")
