"""How measures are read from the records of a checkpoint, each with its error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from landscape.results import Distances, Eigenpairs, Estimate, Sharpness, SpectralGap
from landscape.store.metrics import CheckpointLike, read_metric
from landscape.store.reading import Reading, reading_of

Read = Callable[[CheckpointLike], Reading | None]


def of_metric(name: str) -> Read:
    def read(checkpoint: CheckpointLike) -> Reading | None:
        metric = read_metric(checkpoint, name)
        return None if metric.value is None else Reading(metric.value, saved=metric.is_saved)

    return read


def of_end(largest: bool) -> Read:
    """An end of the spectrum, with the residual of its own pair."""

    def read(checkpoint: CheckpointLike) -> Reading | None:
        pairs = checkpoint.records.get("eigenpairs")
        if not isinstance(pairs, Eigenpairs):
            return None
        end = pairs.largest if largest else pairs.smallest
        return None if end is None else reading_of(end, converged=end.converged)

    return read


def of_gap(name: str) -> Read:
    """The difference or the ratio of the two largest eigenvalues; converged where both pairs are."""

    def read(checkpoint: CheckpointLike) -> Reading | None:
        gap, pairs = checkpoint.records.get("gap"), checkpoint.records.get("eigenpairs")
        if not isinstance(gap, SpectralGap):
            return None
        settled = not isinstance(pairs, Eigenpairs) or bool(pairs.converged[pairs.top[:2]].all())
        return reading_of(getattr(gap, name), converged=settled and is_settled(checkpoint, "gap"))

    return read


def of_record(name: str, *kinds: type[Estimate] | type[Sharpness]) -> Read:
    """The value of a record of that name; only of these kinds, where others of the name mean something else."""

    def read(checkpoint: CheckpointLike) -> Reading | None:
        record = checkpoint.records.get(name)
        if not isinstance(record, Estimate | Sharpness) or not isinstance(record, kinds or (Estimate, Sharpness)):
            return None
        converged = is_settled(checkpoint, name) and bool(getattr(record, "converged", True))
        return reading_of(record, converged=converged)

    return read


def of_distance(from_start: bool) -> Read:
    """How far a checkpoint is from one end of its training; exact."""

    def read(checkpoint: CheckpointLike) -> Reading | None:
        found = checkpoint.records.get("distances")
        if not isinstance(found, Distances):
            return None
        return Reading(found.distance_from_start if from_start else found.distance_from_end)

    return read


def is_settled(checkpoint: Any, name: str) -> bool:
    return name not in getattr(checkpoint, "not_converged", ())
