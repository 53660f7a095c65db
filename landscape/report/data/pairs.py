"""What is known of two runs together: the line between their ends, and how far these are apart by other measures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from landscape.escaping.control_characters import visible
from landscape.plots.arrays import PairLike, RunLike
from landscape.report.data.numbers import listed, short
from landscape.results import LineSlice, MinimaMatrix
from landscape.store.metrics import CheckpointLike

#: What a line gives; quantities of metrics on it, and of a stored matrix, come after them.
_OF_LINES = {
    "barrier": "barrier of the loss, at least",
    "relative_barrier": "barrier ÷ mean loss of both ends",
    "distance": "distance in θ",
    "cosine": "cosine of θ",
}
_DISAGREEMENTS = {"disagreement": "", "test_disagreement": ", test data"}
Values = dict[str, list[Any]]


def pair_entries(
    pairs: Sequence[PairLike], runs: Sequence[RunLike], places: Mapping[str, int]
) -> tuple[list[dict[str, Any]], list[list[str]]]:
    """An entry for each pair of runs that are on the page, and ``[key, words]`` of each quantity that any pair has.

    ``places`` says which run of the page has which name. A pair of a :class:`~landscape.results.MinimaMatrix` that is
    stored with a checkpoint, its names those of runs, is an entry without a line where no line was measured.
    """
    lengths = {run.name: _length(run.checkpoints[-1]) for run in runs}
    words = dict(_OF_LINES)
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for pair in pairs:
        a, b = (places.get(visible(name)) for name in (pair.run_a, pair.run_b))
        if a is None or b is None or not np.isfinite(pair.record.loss).any():
            continue  # a run that is not on the page, or a line of which nothing is known
        ends = lengths.get(pair.run_a), lengths.get(pair.run_b)
        found[min(a, b), max(a, b)] = _line(pair.record, a, b) | {"values": _of_line(pair.record, ends, words)}
    for matrix in _matrices(runs):
        for a, b, values in _of_matrix(matrix, places, words):
            entry = found.setdefault((min(a, b), max(a, b)), _no_line(a, b))
            entry["values"] = values | entry["values"]
    known = {key for entry in found.values() for key in entry["values"]}
    return list(found.values()), [[key, text] for key, text in words.items() if key in known]


def _line(line: LineSlice, a: int, b: int) -> dict[str, Any]:
    return {"a": a, "b": b, "t": listed(line.t, 5), "loss": listed(line.loss), "error": short(line.error, 2)}


def _no_line(a: int, b: int) -> dict[str, Any]:
    return {"a": a, "b": b, "t": [], "loss": [], "error": None, "values": {}}


def _of_line(line: LineSlice, ends: tuple[float | None, float | None], words: dict[str, str]) -> Values:
    """Numbers with their errors; ‖θ_a − θ_b‖² and both lengths give the angle, by the law of cosines."""
    values: Values = {}
    distance = float(line.step_norm)
    _put(values, "distance", distance)
    a, b = ends
    if a and b:
        _put(values, "cosine", (a * a + b * b - distance**2) / (2 * a * b))
    for key, on in _DISAGREEMENTS.items():
        if np.isfinite(getattr(line, key)):
            words.setdefault(key, f"disagreement{on} ({line.disagreement_of})")
            _put(values, key, getattr(line, key))
    if line.kind != "interpolation" or not np.isfinite(line.loss).all():
        return values
    _put(values, "barrier", line.barrier, line.barrier_bound - line.barrier)
    _put(values, "relative_barrier", line.relative_barrier)
    for name in line.metric_names:
        if np.isfinite(line.metrics[name]).all():
            key, shown = f"barrier of {name}", visible(name).replace("_", " ")
            words[key] = f"barrier of the {shown}" if name in line.metric_losses else f"loss of {shown} on the line"
            _put(values, key, line.barrier_of(name))
    return values


def _of_matrix(
    matrix: MinimaMatrix, places: Mapping[str, int], words: dict[str, str]
) -> Iterable[tuple[int, int, Values]]:
    rows = [places.get(visible(name)) for name in matrix.names]
    for key in matrix.measured:
        words.setdefault(key, matrix.describe(key))
    for i, a in enumerate(rows):
        for j, b in enumerate(rows[:i]):
            if a is None or b is None:
                continue
            values: Values = {}
            for key in matrix.measured:
                error = matrix.barrier_error[i, j] if key == "barrier" else None
                _put(values, key, matrix.matrix(key)[i, j], error)
            yield a, b, values


def _put(values: Values, key: str, value: Any, error: Any = None) -> None:
    if np.isfinite(value):
        error = short(error, 2) if error is not None and error > 0 else None
        values[key] = [short(value, 5)] if error is None else [short(value, 5), error]


def _matrices(runs: Sequence[RunLike]) -> Iterable[MinimaMatrix]:
    for run in runs:
        for checkpoint in run.checkpoints:
            yield from (record for record in checkpoint.records.values() if isinstance(record, MinimaMatrix))


def _length(checkpoint: CheckpointLike) -> float | None:
    """``‖θ‖``, as slices around it say."""
    norms = (float(getattr(record, "param_norm", np.nan)) for record in checkpoint.records.values())
    return next((norm for norm in norms if np.isfinite(norm) and norm > 0), None)
