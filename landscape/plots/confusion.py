"""Which classes are taken for which: counts over the test examples, as shares of each true class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from landscape.errors import UsageError
from landscape.plots.arrays import RunLike, by_label
from landscape.plots.paper_styles import column_width, letters
from landscape.plots.style import axes_or_new
from landscape.results import Evaluation
from landscape.results.base import Array

#: Up to so many classes each cell says its share, or each class has its number on the axis.
WRITTEN, NUMBERED = 12, 40


@dataclass(frozen=True)
class Confusion:
    """Counts over all runs of a group.

    Attributes
    ----------
    counts : (C, C) array
        True classes in rows, predicted ones in columns.
    num_runs : int
    """

    counts: Array
    num_runs: int

    @property
    def shares(self) -> Array:
        """Of each true class, in per cent; NaN for one without examples."""
        whole = self.counts.sum(1, keepdims=True)
        with np.errstate(invalid="ignore"):
            return 100 * self.counts / np.where(whole > 0, whole, np.nan)


def confusions(runs: Sequence[RunLike]) -> dict[str, Confusion]:
    """Per group, of the test data at the last checkpoints; groups without counts are left out.

    Raises
    ------
    UsageError
        If runs of a group differ in the number of classes.
    """
    result = {}
    for name, group in by_label(runs).items():
        records = [run.checkpoints[-1].records.get("test") for run in group if run.checkpoints]
        counts = [r.confusion for r in records if isinstance(r, Evaluation) and r.confusion.size]
        if len({c.shape for c in counts}) > 1:
            raise UsageError(f"runs of {name} differ in the number of classes; compare one problem at a time")
        if counts:
            result[name] = Confusion(np.sum(counts, axis=0), len(counts))
    return result


def plot_confusion(confusion: Confusion | Evaluation, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Shares of each true class as a map; errors stand off the diagonal.

    Raises
    ------
    UsageError
        If there are no counts.
    """
    if isinstance(confusion, Evaluation):
        confusion = Confusion(confusion.confusion, 1)
    if not confusion.counts.size:
        raise UsageError("there are no counts of predictions; the problem has no classes")
    ax = axes_or_new(ax, width=column_width())
    shares, size = confusion.shares, len(confusion.counts)
    # Roots, so that a few errors are seen beside a full diagonal.
    shown = np.sqrt(shares / 100)
    ax.imshow(np.ma.masked_invalid(shown), cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    if size <= WRITTEN:
        for (row, column), share in np.ndenumerate(shares):
            if share > 0:
                ax.text(column, row, _percent(share), ha="center", va="center", fontsize=letters(6),
                        color="white" if share > 40 else "black")  # fmt: skip
    ticks: Any = np.arange(size) if size <= NUMBERED else np.linspace(0, size - 1, 6).astype(int)
    ax.set_xticks(ticks)
    ax.set_yticks(ticks)
    ax.tick_params(length=0, labelsize=letters(7 if size <= 20 else 5))
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    if title:
        ax.set_title(title)
    return ax


def _percent(share: float) -> str:
    """Two digits at most: ``<1`` for what rounds to none, ``>99`` for what rounds to all.

    >>> _percent(0.2), _percent(12.4), _percent(99.7), _percent(100.0)
    ('<1', '12', '>99', '100')
    """
    if share < 0.5:
        return "<1"
    return ">99" if 99.5 <= share < 100 else f"{share:.0f}"
