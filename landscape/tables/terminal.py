"""The table of runs for a terminal of 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from landscape.escaping.terminal import cell as terminal_cell
from landscape.store import Results
from landscape.tables.content import HEADINGS, WIDEST, caption_lines, final_cells

if TYPE_CHECKING:
    from rich.table import Table

TERMINAL = 80  # columns
# What may stand in such a terminal, until it fits: digits of a number whose error is below them, characters of a number
# (more decimals than fit are rounded away), spaces between columns. Elsewhere there is room for more digits.
NARROW = ((4, WIDEST, 2), (4, WIDEST, 1), (3, 9, 1), (3, 8, 1), (3, 7, 1), (2, 6, 1), (1, 5, 1))


def text_table(results: Results) -> Table:
    """The last analysed checkpoint of each run as a ``rich`` table that fits 80 columns.

    Below each number stands its error, unless it changes no digit shown: the residual bound of an eigenvalue, one
    standard error of a trace. The worst-case sharpness is a lower bound. ``*`` marks what did not converge; the caption
    names it, and the files skipped.
    """
    from rich import box
    from rich.table import Table

    names = min(14, max((len(run.name) for run in results.runs), default=1))
    gap, lines = _fitting(results, TERMINAL - max(names, len("run")) - 1)  # a space before it; one behind may be cut
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 0, 0, gap - 1), pad_edge=False, caption_justify="left", caption_style=""
    )
    table.add_column("run", overflow="fold", min_width=names)
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, line in lines:
        styled = (terminal_cell(text, style="" if converged else "bold yellow") for text, converged in line)
        table.add_row(terminal_cell(name or "."), *styled)
    table.caption = terminal_cell("\n".join(caption_lines(results)))
    return table


def _fitting(results: Results, room: int) -> tuple[int, list[tuple[str, list[tuple[str, bool]]]]]:
    """Gap between columns, and names and cells of a table whose numbers fit ``room`` characters, if fewer digits do."""
    gap, lines = 1, list[tuple[str, list[tuple[str, bool]]]]()
    for digits, widest, gap in NARROW:
        cells = final_cells(results, digits=digits)
        lines = [(name, [(cell.narrow(widest), cell.converged) for cell in line]) for name, line in cells]
        columns = zip(HEADINGS, *([text for text, _ in line] for _, line in lines), strict=True)
        if sum(gap + max(len(row) for text in column for row in text.split("\n")) for column in columns) <= room:
            break
    return gap, lines
