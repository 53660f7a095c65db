"""Which classes are taken for which: counts over the test examples, as shares of each true class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from landscape.errors import UsageError
from landscape.plots.arrays import RunLike, by_label, group_word
from landscape.plots.drawing import Drawing, count_words
from landscape.plots.labels import figure_names
from landscape.plots.style import DOUBLE, SINGLE, axes_or_new, panels
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
    ax = axes_or_new(ax, width=SINGLE)
    shares, size = confusion.shares, len(confusion.counts)
    # Roots, so that a few errors are seen beside a full diagonal.
    shown = np.sqrt(shares / 100)
    ax.imshow(np.ma.masked_invalid(shown), cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    if size <= WRITTEN:
        for (row, column), share in np.ndenumerate(shares):
            if share > 0:
                ax.text(column, row, _percent(share), ha="center", va="center", fontsize=6,
                        color="white" if share > 40 else "black")  # fmt: skip
    ticks: Any = np.arange(size) if size <= NUMBERED else np.linspace(0, size - 1, 6).astype(int)
    ax.set_xticks(ticks)
    ax.set_yticks(ticks)
    ax.tick_params(length=0, labelsize=7 if size <= 20 else 5)
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


def confusion_figure(runs: list[RunLike]) -> Iterator[Drawing]:
    """A panel for each group, where the problem has classes."""
    found = confusions(runs)
    if not found:
        return
    columns = min(len(found), 3)
    figure, axes = panels(len(found), columns=columns, width=DOUBLE if columns > 1 else SINGLE, row_height=2.5)
    names = figure_names(found, inches=DOUBLE / 3)
    for index, (ax, (name, confusion)) in enumerate(zip(axes, found.items(), strict=True)):
        plot_confusion(confusion, title=names[name], ax=ax)
        if index % columns:
            ax.set_ylabel("")
    counts = sorted({confusion.num_runs for confusion in found.values()})
    over = count_words(counts[0], "run") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} runs"
    yield Drawing(
        "confusion",
        "Which class is taken for which",
        "Each row is a true class of the test data, each column what was predicted, at the last checkpoint: the share "
        f"of the row in per cent, over {over} of each {group_word(runs)}. Off the diagonal it is wrong; colours go by "
        "square roots of shares, so that rare errors are seen.",
        figure,
    )
