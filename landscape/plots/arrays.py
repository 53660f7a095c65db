"""What the figures need from stored results, as plain arrays. Reads anything shaped like results; opens no file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from landscape.errors import UsageError
from landscape.results import LineSlice, Record
from landscape.store import Results
from landscape.store.catalogue import MEASURES, read
from landscape.store.metrics import CheckpointLike
from landscape.store.view import natural_order

R = TypeVar("R", bound=Record)

NO_OPTIMIZER = "optimizer not recorded"


class RunLike(Protocol):
    """One training run: its checkpoints, oldest first."""

    @property
    def name(self) -> str: ...
    @property
    def info(self) -> Mapping[str, Any]: ...
    @property
    def optimizer(self) -> str | None: ...
    @property
    def label(self) -> str | None: ...
    @property
    def seed(self) -> int | None: ...
    @property
    def checkpoints(self) -> Sequence[CheckpointLike]: ...


class PairLike(Protocol):
    """The loss on the straight line between the ends of two runs."""

    @property
    def run_a(self) -> str: ...
    @property
    def run_b(self) -> str: ...
    @property
    def record(self) -> LineSlice: ...


class ResultsLike(Protocol):
    """Everything measured in one folder of runs."""

    @property
    def runs(self) -> Sequence[RunLike]: ...
    @property
    def pairs(self) -> Sequence[PairLike]: ...


def by_label(runs: Sequence[RunLike]) -> dict[str, list[RunLike]]:
    """Runs grouped by label (where training gave none, by optimizer), in natural order, each group by seed and name."""
    groups: dict[str, list[RunLike]] = {}
    for run in sorted(runs, key=lambda r: (natural_order(group_of(r)), -1 if r.seed is None else r.seed, r.name)):
        groups.setdefault(group_of(run), []).append(run)
    return groups


def with_records(results: Results) -> Results:
    """The same without checkpoints of which nothing was measured yet, as a killed analysis leaves them."""
    runs = (replace(run, checkpoints=tuple(c for c in run.checkpoints if c.records)) for run in results.runs)
    return replace(results, runs=tuple(runs))


def drawable(results: Results) -> Results:
    """The same without checkpoints of which nothing was measured yet, and runs without any."""
    kept = with_records(results)
    return replace(kept, runs=tuple(run for run in kept.runs if run.checkpoints))


@dataclass(frozen=True)
class _Shown:
    """Runs and pairs that are not those of a file."""

    runs: Sequence[RunLike]
    pairs: Sequence[PairLike]


def with_checkpoints(results: ResultsLike) -> ResultsLike:
    """The same without runs that have no checkpoint."""
    if isinstance(results, Results):
        return replace(results, runs=tuple(run for run in results.runs if run.checkpoints))
    return _Shown(tuple(run for run in results.runs if run.checkpoints), tuple(results.pairs))


def group_of(run: RunLike) -> str:
    """The name of the group that a run belongs to."""
    return run.label or NO_OPTIMIZER


def group_word(runs: Iterable[RunLike]) -> str:
    """What the groups are: ``"optimizer"``, or ``"arm"`` where a study labelled them otherwise."""
    return "optimizer" if all(run.label == run.optimizer for run in runs) else "arm"


def last_record(run: RunLike, name: str, kind: type[R]) -> R | None:
    """The record of the run's last checkpoint, or None."""
    if not run.checkpoints:
        return None
    record = run.checkpoints[-1].records.get(name)
    return record if isinstance(record, kind) else None


def record_of(run: RunLike, name: str, kind: type[R]) -> R:
    """The record of the run's last checkpoint.

    Raises
    ------
    UsageError
        If it has none of this name and kind.
    """
    record = last_record(run, name, kind)
    if record is None:
        raise UsageError(f"run {run.name!r} has no {name!r} at its last checkpoint, so there is nothing to draw")
    return record


def last_lines(run: RunLike, prefix: str) -> list[LineSlice]:
    """All slices of the last checkpoint whose names start so, in order of their number."""
    if not run.checkpoints:
        return []
    records = run.checkpoints[-1].records
    names = sorted((n for n in records if n.startswith(prefix)), key=lambda n: (len(n), n))
    return [r for r in (records[n] for n in names) if isinstance(r, LineSlice)]


@dataclass(frozen=True)
class Measured:
    """One number as it is drawn, with its error (NaN where it has none) and whether its computation converged."""

    value: float
    error: float = float("nan")
    converged: bool = True


def measured(checkpoint: CheckpointLike, key: str) -> Measured | None:
    """A measure at a checkpoint, an accuracy in percent; None where it is missing or not finite."""
    reading = read(checkpoint, key)
    if reading is None:
        return None
    unit = 100.0 if MEASURES[key].is_share else 1.0
    error = float("nan") if reading.error is None else reading.error
    return Measured(unit * reading.value, unit * error, reading.converged)
