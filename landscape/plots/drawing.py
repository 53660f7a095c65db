"""A figure before it is on disk, and the words that captions share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from landscape.plots.arrays import ResultsLike, RunLike, group_word


@dataclass(frozen=True)
class Drawing:
    """A finished figure with its name, title and caption.

    Attributes
    ----------
    recipe : callable, optional
        A function of :mod:`landscape.plots.recipes` that makes this figure of the results.
    arguments : mapping
        What it takes besides them.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    recipe: Callable[..., Any] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


def drawn(
    results: ResultsLike, recipe: Callable[..., Any], *, name: str, title: str, caption: str, **arguments: Any
) -> Drawing:
    """What a recipe makes of the results."""
    return Drawing(name, title, caption, recipe(results, **arguments), recipe, arguments)


def count_words(count: int, singular: str, plural: str | None = None) -> str:
    """``1 seed``, ``3 seeds``.

    >>> count_words(1, "seed"), count_words(3, "class", "classes")
    ('1 seed', '3 classes')
    """
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def seeds_words(groups: Iterable[Sequence[RunLike]]) -> str:
    """How many seeds stand behind each group: ``3 seeds per optimizer`` or ``2 to 3 seeds per arm``."""
    listed = list(groups)
    counts, word = sorted({len(group) for group in listed}), group_word(run for group in listed for run in group)
    if len(counts) == 1:
        return f"{count_words(counts[0], 'seed')} per {word}"
    return f"{counts[0]} to {counts[-1]} seeds per {word}"


def join_words(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; empty for nothing."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def gap_sentence(count: int) -> str:
    """What a caption says about points that are not finite; empty where there are none."""
    return f" Gaps are {count_words(count, 'point')} where the loss is not finite." if count else ""
