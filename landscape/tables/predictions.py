"""What was predicted, class by class, and what problems measure by themselves: one row per number, as CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from landscape.escaping.spreadsheet import csv_text
from landscape.results import Evaluation
from landscape.store import Results

_WHERE = ("run", "step", "split")
Row = tuple[Any, ...]


def prediction_texts(results: Results) -> dict[str, str]:
    """Files by name: ``classes.csv``, ``confusion.csv``, ``measures.csv``; those of which there is nothing left out.

    Classes are numbered from 0. ``confusion.csv`` has the pairs of classes that occur.
    """
    texts = {}
    for name, (columns, read) in _FILES.items():
        if rows := list(_rows(results, read)):
            names = (*_WHERE, *columns)
            texts[name] = csv_text(names, (dict(zip(names, row, strict=True)) for row in rows))
    return texts


def _rows(results: Results, read: Callable[[Evaluation], Iterator[Row]]) -> Iterator[Row]:
    for run in results.runs:
        for checkpoint in run.checkpoints:
            for split in ("train", "test"):
                record = checkpoint.records.get(split)
                if isinstance(record, Evaluation):
                    yield from ((run.name, checkpoint.step, split, *row) for row in read(record))


def _classes(found: Evaluation) -> Iterator[Row]:
    counts = found.confusion.sum(1).tolist() or [None] * found.accuracy_per_class.size
    for number, (count, accuracy) in enumerate(zip(counts, found.accuracy_per_class.tolist(), strict=True)):
        yield number, count, accuracy if accuracy == accuracy else None


def _pairs(found: Evaluation) -> Iterator[Row]:
    for true, predicted in zip(*found.confusion.nonzero(), strict=True):
        yield int(true), int(predicted), int(found.confusion[true, predicted])


def _own(found: Evaluation) -> Iterator[Row]:
    yield from found.measures.items()


_FILES: dict[str, tuple[tuple[str, ...], Callable[[Evaluation], Iterator[Row]]]] = {
    "classes.csv": (("class", "examples", "accuracy"), _classes),
    "confusion.csv": (("true", "predicted", "examples"), _pairs),
    "measures.csv": (("measure", "value"), _own),
}
