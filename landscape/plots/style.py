"""How the figures look: paper widths, one colour and marker per group, legends beside the data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from landscape.plots.labels import figure_names
from landscape.plots.paper_styles import column_width, current_setting, full_width, letters
from landscape.rounding import format_value

SINGLE = 3.25
"""Width in inches of one column of a two-column paper: of our own figures; `column_width()` is that of a style."""
DOUBLE = 6.75
"""Width in inches of both columns."""

EIGENVALUE_COLOR = "#D55E00"
REFERENCE_COLOR = "#555555"
GAP_COLOR = "#BDBDBD"
SURFACE_CMAP = "viridis"
MOST_DECADES = 2.6
"""On a wider logarithmic axis not every 1, 2 and 5 has room for its number."""

RC: Any = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.3,
    "axes.formatter.useoffset": False,
    # fonts travel inside the PDF as TrueType; journals refuse Type 3
    "pdf.fonttype": 42,
    "svg.hashsalt": "landscape",
}
"""Settings of our own figures; used through ``matplotlib.rc_context`` only, never set."""


def house_style() -> Any:
    """A context in which figures look like ours, with the letters of a :func:`paper_style` around it; outside of it the
    caller's settings are as they were.
    """
    return matplotlib.rc_context(RC | current_setting().style.rc)


@dataclass(frozen=True)
class Style:
    """Colour, marker and dash of one group: three marks, so that print in grey still tells them apart."""

    color: str
    marker: str
    dash: Any = "-"


# Okabe & Ito (2008), their yellow replaced: it vanishes on white. Any two colours are at least 16 apart in CIELAB
# under the three simulated colour-vision deficiencies; a test measures it.
PALETTE: dict[str, Style] = {
    "gd": Style("#000000", "X"),
    "sgd": Style("#0072B2", "o"),
    "momentum": Style("#56B4E9", "s", (0, (5, 1))),
    "nesterov": Style("#009E73", "^", (0, (3, 1, 1, 1))),
    "adam": Style("#D55E00", "D"),
    "adamw": Style("#E69F00", "v", (0, (5, 1))),
    "rmsprop": Style("#CC79A7", "P", (0, (3, 1, 1, 1))),
    "adagrad": Style("#8B1A1A", "h", (0, (1, 1))),
}


#: Names without a colour of their own take those of absent ones in this order: neighbours are far apart.
FREE = ("gd", "adam", "nesterov", "rmsprop", "adamw", "momentum", "adagrad", "sgd")
#: Of the combinations of two factors, and of the second of them.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h", "<", ">", "*", "p", "d", "8")
DASHES: tuple[Any, ...] = ("-", (0, (1, 1)), (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 3)), (0, (8, 2)))


def optimizer_styles(names: Iterable[str]) -> dict[str, Style]:
    """Style of each group of runs, mostly an optimizer, the same in every figure of one set of results.

    The optimizers of ``scripts/train.py`` keep their colour always. Others take, in alphabetical order, the colours
    that none present owns; beyond eight, colours come back with another dash. Where names are the combinations of two
    factors, as ``sgd-s0, sgd-s5, adam-s0, adam-s5``, the first gives the colour, the second the dash, and both the
    marker.

    >>> styles = optimizer_styles(["adam", "lion"])
    >>> styles["adam"].color, styles["lion"].color
    ('#D55E00', '#000000')
    """
    unique = sorted(set(names))
    if (crossed := two_factors(unique)) is not None:
        return _crossed_styles(crossed)
    free = [PALETTE[name] for name in FREE if name not in unique] or list(PALETTE.values())
    styles = {name: PALETTE[name] for name in unique if name in PALETTE}
    for i, name in enumerate(n for n in unique if n not in PALETTE):
        base, again = free[i % len(free)], i // len(free)
        styles[name] = base if again == 0 else Style(base.color, base.marker, (0, (1 + again, 2)))
    return {name: styles[name] for name in unique}


def _crossed_styles(crossed: dict[str, tuple[str, str]]) -> dict[str, Style]:
    firsts = optimizer_styles(first for first, _ in crossed.values())
    seconds = list(dict.fromkeys(second for _, second in crossed.values()))
    spare = cycle([marker for marker in MARKERS if marker not in {style.marker for style in firsts.values()}])
    styles = {}
    for name, (first, second) in crossed.items():
        place, base = seconds.index(second), firsts[first]
        styles[name] = Style(base.color, base.marker if place == 0 else next(spare), DASHES[place % len(DASHES)])
    return styles


def two_factors(names: Iterable[str]) -> dict[str, tuple[str, str]] | None:
    """Both factors of each name, cut at its last ``-``; None where the names are not all combinations of at least two.

    >>> two_factors(["sgd-b1", "sgd-b8", "adam-b1", "adam-b8"])["adam-b8"]
    ('adam', 'b8')
    >>> two_factors(["sgd-b1", "sgd-b8", "adam-b1"]) is None
    True
    """
    unique = list(dict.fromkeys(names))
    if not all("-" in name for name in unique):
        return None
    found = {name: (name.rpartition("-")[0], name.rpartition("-")[2]) for name in unique}
    first, second = ({pair[i] for pair in found.values()} for i in (0, 1))
    return found if min(len(first), len(second)) > 1 and len(found) == len(first) * len(second) else None


def short_names(columns: Iterable[Sequence[str]]) -> dict[str, str]:
    """What a legend calls the groups of several panels: the first of two factors where a panel has one second.

    >>> short_names([["sgd-s0", "adam-s0"], ["sgd-s5", "adam-s5"]])["adam-s5"]
    'adam'
    """
    listed = [list(names) for names in columns]
    every = [name for names in listed for name in names]
    crossed = two_factors(every)
    if crossed is None or any(len({crossed[name][1] for name in names}) > 1 for names in listed):
        return {name: name for name in every}
    return {name: crossed[name][0] for name in every}


def new_figure(width: float | None = None, height: float = 2.4) -> Figure:
    """A figure with a canvas of its own, unknown to pyplot, so that nothing leaks and nothing pops up.

    As wide as a column of the paper where no width is given, see :func:`column_width`.
    """
    figure = Figure(figsize=(width or column_width(), height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def axes_or_new(ax: Axes | None, *, width: float | None = None, height: float = 2.4) -> Axes:
    """The caller's Axes, or those of a new figure; show it in a notebook by ``plot_…(…).figure``."""
    return new_figure(width, height).add_subplot() if ax is None else ax


def panels(
    count: int, *, columns: int, width: float | None = None, row_height: float = 1.6, projection: str | None = None
) -> tuple[Figure, list[Axes]]:
    """A grid of ``count`` Axes; one panel alone gets a single-column figure."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = new_figure(width or (column_width() if count == 1 else full_width()), rows * row_height + 0.3)
    return figure, [figure.add_subplot(rows, columns, i + 1, projection=projection) for i in range(count)]


def panel_width(figure: Figure, columns: int) -> float:
    """Inches of one panel with what belongs to it, for its title."""
    return float(figure.get_figwidth()) / columns - 0.55


def name_panels(
    axes: Sequence[Axes], names: Iterable[str], *, columns: int, share: float = 1.0, points: float = 7.0
) -> None:
    """A name above each panel of a grid, no wider than ``share`` of its width; ``points`` as in our own figures."""
    names, figure = list(names), axes[0].get_figure(root=True)
    assert figure is not None
    shown = figure_names(names, inches=share * panel_width(figure, min(columns, len(names))))
    for ax, name in zip(axes, names, strict=True):
        # axes in three dimensions do not go by the settings
        ax.set_title(shown[name], fontsize=letters(points), loc="left" if ax.name == "3d" else None)


def columns_for(count: int) -> int:
    """Columns of a grid of panels: at most four, and three where that leaves fewer places empty."""
    return min(count, 3 if -count % 3 < -count % 4 else 4)


def label_outer(axes: Sequence[Axes], *, columns: int, x: str | None = None, y: str | None = None) -> None:
    """Axis labels on the left and lowest panels only."""
    columns = min(columns, len(axes))
    for i, ax in enumerate(axes):
        ax.set_ylabel(y or "" if i % columns == 0 else "")
        ax.set_xlabel(x or "" if i + columns >= len(axes) else "")


def share_limits(axes: Sequence[Axes], *, which: str = "y") -> None:
    """Give all panels the union of their limits, so that heights may be compared."""
    for name in which:
        limits = np.array([getattr(ax, f"get_{name}lim")() for ax in axes])
        for ax in axes:
            getattr(ax, f"set_{name}lim")(limits[:, 0].min(), limits[:, 1].max())


def note_gaps(ax: Any, count: int, *, inside: bool = False) -> None:
    """Write above the axes, or within where the title has the room, how many points are not finite, and missing."""
    if not count:
        return
    said = f"{count} point{'s' if count > 1 else ''} not finite: gap"
    if inside:
        box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}
        write = getattr(ax, "text2D", ax.text)
        look = {"fontsize": letters(5.5), "color": REFERENCE_COLOR, "ha": "right", "bbox": box}
        write(0.98, 0.02, said, transform=ax.transAxes, **look)
    else:
        ax.set_title(said, loc="right", fontsize=letters(6.5), color=REFERENCE_COLOR)


def is_wide(values: Any, *, ratio: float = 20.0) -> bool:
    """Whether all finite values are positive and span more than ``ratio``: then an axis is logarithmic."""
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    return bool(finite.size and finite.min() > 0 and finite.max() > ratio * finite.min())


def plain_log_ticks(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis: at 1, 2 and 5, or where these have no room at powers of ten, six at most;
    within a decade as on a plain axis, five at most."""
    low, high = axis.get_view_interval()
    decades = np.log10(high / low)
    locator: ticker.Locator = ticker.LogLocator(subs=(1.0,), numticks=7)
    if decades <= MOST_DECADES:
        locator = ticker.LogLocator(subs=(1.0, 2.0, 5.0))
    if decades < 1:
        locator = ticker.MaxNLocator(4, steps=(1, 2, 5, 10))
    axis.set_major_locator(locator)
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: format_value(float(value), digits=3)))
    axis.set_minor_formatter(ticker.NullFormatter())


def log_if_wide(ax: Axes, values: Any, *, ratio: float = 20.0, axis: str = "y") -> bool:
    """Use a logarithmic axis, ``"x"`` or ``"y"``, where values are wide; say which was chosen."""
    wide = is_wide(values, ratio=ratio)
    (ax.set_yscale if axis == "y" else ax.set_xscale)("log" if wide else "linear")
    return wide
