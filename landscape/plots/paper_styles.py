"""Widths and letters of a paper: of five by name, or of one's own; figures are drawn in the size that they print in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import matplotlib

from landscape.checks import check_choice

#: Points of a label in our own figures, to which smaller letters are set in proportion.
_LABELS = 8.0
#: Of Times' proportions, and in every installation of matplotlib, so that figures are the same on any machine; what it
#: lacks comes from the next.
_SERIF = ["STIXGeneral", "DejaVu Serif", "DejaVu Sans"]


@dataclass(frozen=True)
class PaperStyle:
    """What a figure must know of the page on which it will stand.

    Attributes
    ----------
    column, full : float
        Inches: the width of a figure with one panel, and of one with several. Where the text has one column, half of it
        and all of it.
    columns : int
        Of the text.
    labels, numbers : float
        Points of the letters at axes and in titles, and of numbers, names of groups and legends.
    is_serif : bool
        As Times or Computer Modern; else without serifs.
    latex : str
        Its letters where LaTeX sets the text: a family that matplotlib has a package for.
    """

    column: float
    full: float
    columns: int = 2
    labels: float = _LABELS
    numbers: float = 7.0
    is_serif: bool = True
    latex: str = "Times"

    @property
    def text(self) -> float:
        """Inches of a column of its text, which a table fits."""
        return self.column if self.columns > 1 else self.full

    @property
    def rc(self) -> Any:
        """As settings of matplotlib."""
        sizes: Any = dict.fromkeys(("font.size", "axes.labelsize", "axes.titlesize"), self.labels)
        sizes |= dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), self.numbers)
        return sizes | ({"font.family": _SERIF, "mathtext.fontset": "stix"} if self.is_serif else {})


HOUSE = PaperStyle(3.25, 6.75, is_serif=False)

#: Widths are those of the style files, a hair less where they end in broken inches, so that no line is overfull.
STYLES: dict[str, PaperStyle] = {
    # neurips_2024.sty: \newgeometry{textwidth=5.5in}, Times at 10 points, one column; half of it less a gap of 0.15 in
    "neurips": PaperStyle(2.67, 5.5, columns=1),
    # icml2024.sty: \textwidth 6.75in, \columnsep 0.25in, Times at 10 points
    "icml": PaperStyle(3.25, 6.75),
    # iclr2024_conference.sty: \textwidth 5.5in, Times at 10 points, one column
    "iclr": PaperStyle(2.67, 5.5, columns=1),
    # IEEEtran.cls on letter paper: \textwidth 43pc = 516pt, \columnsep 1pc, so columns of 252pt; Times. The guide to
    # authors asks for letters of 8 points or more in figures.
    "ieee": PaperStyle(3.48, 7.13, numbers=8.0),
    # No class is everybody's: A4 with margins of 2.5 cm, so 16 cm of text, Computer Modern at 11 points
    "thesis": PaperStyle(3.1, 6.29, columns=1, labels=9.0, numbers=8.0, latex="Computer Modern Roman"),
}


@dataclass(frozen=True)
class Setting:
    """In which style figures are drawn now, by which name, and whether LaTeX sets their text."""

    style: PaperStyle = HOUSE
    name: str = ""
    latex: bool = False


_CURRENT: ContextVar[Setting | None] = ContextVar("paper_style", default=None)


@contextmanager
def paper_style(style: str | PaperStyle | None, *, latex: bool = False) -> Iterator[PaperStyle]:
    """Figures that are drawn in this block have the widths and letters of a paper; nothing else is changed.

    Parameters
    ----------
    style : {"neurips", "icml", "iclr", "ieee", "thesis"} or PaperStyle or None
        A page of your own is ``dataclasses.replace(plots.STYLES["thesis"], column=2.9, full=5.9)``. None: as our own
        figures are, for two columns of 3.25 inches.
    latex : bool
        LaTeX sets the text of the PDF files that :func:`landscape.plots.save` writes; see there.

    Raises
    ------
    UsageError
        If there is no style of this name.

    Examples
    --------
    >>> with paper_style("icml") as style:
    ...     column_width(), full_width(), style.labels
    (3.25, 6.75, 8.0)
    """
    if isinstance(style, str):
        check_choice("style", style, STYLES)
    named = style if isinstance(style, str) else ""
    chosen = HOUSE if style is None else STYLES[style] if isinstance(style, str) else style
    before = _CURRENT.set(Setting(chosen, named, latex))
    try:
        with matplotlib.rc_context(chosen.rc):
            yield chosen
    finally:
        _CURRENT.reset(before)


def current_setting() -> Setting:
    """Of the block in which this is asked."""
    return _CURRENT.get() or Setting()


def column_width() -> float:
    """Inches of a figure with one panel, in the style of now."""
    return current_setting().style.column


def full_width() -> float:
    """Inches of a figure with several panels, in the style of now."""
    return current_setting().style.full


def letters(points: float) -> float:
    """So many points in our own figures, in proportion in those of the style of now."""
    return points * current_setting().style.labels / _LABELS
