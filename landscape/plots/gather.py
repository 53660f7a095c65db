"""What the figures need from stored results, as plain arrays. Reads anything shaped like results; opens no file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from landscape.results import Eigenpairs, Estimate, LineSlice, Record, Sharpness, SpectralGap
from landscape.store.metrics import ACCURACY, CheckpointLike, read_metric
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


@dataclass(frozen=True)
class Quantity:
    """A number per checkpoint: its key, its name in words, its symbol, and its unit."""

    key: str
    title: str
    symbol: str
    unit: str

    @property
    def label(self) -> str:
        """Axis label with unit."""
        return f"{self.symbol} ({self.unit})" if self.unit else self.symbol


QUANTITIES: dict[str, Quantity] = {
    q.key: q
    for q in (
        Quantity("lambda_max", "Largest eigenvalue", "λ₁", "loss/parameter²"),
        Quantity("gap", "Spectral gap", "λ₁ − λ₂", "loss/parameter²"),
        Quantity("grad_norm", "Gradient norm", "‖∇L‖", "loss/parameter"),
        Quantity("trace", "Trace", "tr H", "loss/parameter²"),
        Quantity("sharpness_worst", "Sharpness, worst case", "max rise ≥", "loss"),
        Quantity("sharpness_average", "Sharpness, average", "mean rise", "loss"),
        Quantity("sharpness_adaptive_worst", "Adaptive, worst case", "max rise ≥", "loss"),
        Quantity("sharpness_adaptive_average", "Adaptive, average", "mean rise", "loss"),
        Quantity("test_accuracy", "Test accuracy", "accuracy", "%"),
        Quantity("test_loss", "Test loss", "loss", ""),
    )
}


def by_label(runs: Sequence[RunLike]) -> dict[str, list[RunLike]]:
    """Runs grouped by label (where training gave none, by optimizer), in natural order, each group by seed and name."""
    groups: dict[str, list[RunLike]] = {}
    for run in sorted(runs, key=lambda r: (natural_order(group_of(r)), -1 if r.seed is None else r.seed, r.name)):
        groups.setdefault(group_of(run), []).append(run)
    return groups


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


def last_lines(run: RunLike, prefix: str) -> list[LineSlice]:
    """All slices of the last checkpoint whose names start so, in order of their number."""
    if not run.checkpoints:
        return []
    records = run.checkpoints[-1].records
    names = sorted((n for n in records if n.startswith(prefix)), key=lambda n: (len(n), n))
    return [r for r in (records[n] for n in names) if isinstance(r, LineSlice)]


@dataclass(frozen=True)
class Measured:
    """One number with its error (NaN where it has none) and whether its computation converged."""

    value: float
    error: float = float("nan")
    converged: bool = True


def measured(checkpoint: CheckpointLike, key: str) -> Measured | None:
    """The quantity named by ``key`` at a checkpoint, or None where it is missing.

    The error is the residual bound (λ₁ and the gap) or the standard error (trace, averages).
    """
    if key in (ACCURACY, "test_loss", "grad_norm"):
        value = read_metric(checkpoint, key).value
        if value is None or not np.isfinite(value):
            return None
        return Measured((100.0 if key == ACCURACY else 1.0) * value)
    if key == "lambda_max":
        pairs = checkpoint.records.get("eigenpairs")
        top = pairs.largest if isinstance(pairs, Eigenpairs) else None
        return None if top is None else Measured(top.value, _or_nan(top.error), top.converged)
    found = _from_record(checkpoint.records.get(key))
    pairs = checkpoint.records.get("eigenpairs")
    if found is not None and key == "gap" and isinstance(pairs, Eigenpairs):
        return Measured(found.value, found.error, bool(np.all(pairs.converged[pairs.top[:2]])))
    return found


def _from_record(record: Record | None) -> Measured | None:
    if isinstance(record, SpectralGap):
        record = record.difference
    if isinstance(record, Estimate):
        return Measured(float(record.value), _or_nan(record.error))
    if isinstance(record, Sharpness):
        return Measured(float(record.value), _or_nan(record.error), bool(record.converged))
    return None


def _or_nan(error: float | None) -> float:
    return float("nan") if error is None else float(error)
