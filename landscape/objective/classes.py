"""Where the scores of classes stand in what a model returns."""

from __future__ import annotations

from collections.abc import Sequence


def class_axes(scores: Sequence[int], targets: Sequence[int]) -> list[int]:
    """The dimensions of scores of this shape that targets of that shape lack: the second, as ``cross_entropy`` has it,
    or the last.

    >>> class_axes((8, 10), (8,)), class_axes((8, 10, 5), (8, 5)), class_axes((8, 5, 10), (8, 5))
    ([1], [1], [2])
    """
    axes = dict.fromkeys(axis for axis in (1, len(scores) - 1) if 0 < axis < len(scores))
    return [axis for axis in axes if (*scores[:axis], *scores[axis + 1 :]) == tuple(targets)]
