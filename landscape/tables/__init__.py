"""Results as tables: rows of plain numbers, a table for the terminal, CSV in full precision, LaTeX for a paper."""

from landscape.escaping.latex import latex_table
from landscape.store import final_rows, rows
from landscape.tables.content import HEADINGS, Cell, caption_lines, final_cells, wide_measures
from landscape.tables.files import write_tables
from landscape.tables.terminal import text_table

__all__ = [
    "HEADINGS",
    "Cell",
    "caption_lines",
    "final_cells",
    "final_rows",
    "latex_table",
    "rows",
    "text_table",
    "wide_measures",
    "write_tables",
]
