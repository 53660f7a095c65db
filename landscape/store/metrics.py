"""How a metric of a checkpoint is read, in one place: as measured, else as training saved it; and where the two differ.

What a training script saves is its own word: a mean over an epoch, a percentage, a typing error. So it is shown only
where nothing was measured, and marked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from landscape.results import Evaluation, PointValue, Record
from landscape.rounding import format_value, same_number

ACCURACY, TRAIN_ACCURACY = "test_accuracy", "train_accuracy"
#: Shares, which training may have saved in percent.
_ACCURACIES = (ACCURACY, TRAIN_ACCURACY)
#: metric → the record that measures it, its class and field
_MEASURED: dict[str, tuple[str, type[Record], str]] = {
    "train_loss": ("point", PointValue, "loss"),
    "grad_norm": ("point", PointValue, "grad_norm"),
    "test_loss": ("test", Evaluation, "loss"),
    ACCURACY: ("test", Evaluation, "accuracy"),
    TRAIN_ACCURACY: ("train", Evaluation, "accuracy"),
}
#: Those whose saved value is compared: a saved gradient norm is often that of a batch, by intention.
COMPARED = ("train_loss", "test_loss", ACCURACY, TRAIN_ACCURACY)


class CheckpointLike(Protocol):
    """What a checkpoint must have to be read here."""

    @property
    def step(self) -> int: ...
    @property
    def metrics(self) -> Mapping[str, Any]: ...
    @property
    def records(self) -> Mapping[str, Record]: ...


@dataclass(frozen=True)
class Metric:
    """A metric as it is shown.

    Attributes
    ----------
    value : float or None
        None where there is none; NaN where that is what was measured.
    source : {"measured", "saved", None}
    """

    value: float | None = None
    source: str | None = None

    @property
    def is_saved(self) -> bool:
        """Whether it is the word of the training script."""
        return self.source == "saved"


@dataclass(frozen=True)
class Mismatch:
    """A number that training saved and that is not what was measured, or no such number at all.

    Attributes
    ----------
    saved : float
    measured : float or None
        None where nothing was measured to hold it against.
    percent : bool
        The number is an accuracy in percent where a share is meant.
    """

    metric: str
    saved: float
    measured: float | None
    percent: bool = False

    def __str__(self) -> str:
        if self.measured is None:
            read = "read as percent" if self.percent else "which is no accuracy and is left out"
            return f"{self.metric}: saved {format_value(self.saved)}, {read}"
        unit = " in percent" if self.percent else ""
        return f"{self.metric}: saved {format_value(self.saved)}{unit}, measured {format_value(self.measured)}"

    @property
    def size(self) -> float:
        """How far off, relative to what was measured; infinite where that is zero or not finite."""
        if self.measured is None or not math.isfinite(self.saved / (self.measured or math.nan)):
            return math.inf
        return abs(self.saved / self.measured - 1)


def read_metric(checkpoint: CheckpointLike, name: str) -> Metric:
    """The metric as measured, else as saved; an accuracy is always a share, 0 … 1."""
    measured = _measured(checkpoint, name)
    if measured is not None:
        return Metric(measured, "measured")
    saved = number(checkpoint.metrics.get(name))
    if saved is not None and name in _ACCURACIES:
        saved = _share(saved)
    return Metric() if saved is None or math.isinf(saved) else Metric(saved, "saved")


def class_accuracies(checkpoint: CheckpointLike) -> tuple[np.ndarray | None, str | None]:
    """``(C,)`` test accuracy of each class, 0 … 1, NaN for one without examples; and whether measured or saved."""
    record = checkpoint.records.get("test")
    if isinstance(record, Evaluation) and record.accuracy_per_class.size:
        return record.accuracy_per_class, "measured"
    saved = checkpoint.metrics.get("accuracy_per_class")
    if not isinstance(saved, list) or not saved:
        return None, None
    numbers = [math.nan if (x := number(part)) is None else x for part in saved]
    values = np.array(numbers, dtype=float)
    return (values / 100 if np.nanmax([0.0, *values]) > 1.001 else values), "saved"


def mismatch(checkpoint: CheckpointLike, name: str, info: Mapping[str, Any]) -> Mismatch | None:
    """Where the saved metric is not the measured one, beyond rounding; ``info`` describes the run.

    One of the training data, measured on some of the examples or in training mode, is another question: not compared.
    """
    saved, measured = number(checkpoint.metrics.get(name)), _measured(checkpoint, name)
    if saved is None:
        return None
    if measured is None:
        is_share = name not in _ACCURACIES or _share(saved) == saved
        return None if is_share else Mismatch(name, saved, None, percent=_share(saved) is not None)
    if name in ("train_loss", TRAIN_ACCURACY) and (drawn_from(info) is not None or info.get("mode") == "train"):
        return None
    # One example whose two best classes are equal but for rounding is right or wrong by chance.
    least = 1e-6 if name not in _ACCURACIES else 1.001 / max(_examples(checkpoint, name), 1)
    if same_number(saved, measured, absolute=least):
        return None
    percent = name in _ACCURACIES and 1.001 < saved <= 100 and same_number(saved / 100, measured, relative=0.01)
    return Mismatch(name, saved, measured, percent)


def mismatches(checkpoint: CheckpointLike, info: Mapping[str, Any]) -> list[Mismatch]:
    """Those of one checkpoint."""
    return [found for name in COMPARED if (found := mismatch(checkpoint, name, info)) is not None]


def mismatch_lines(runs: Iterable[Any]) -> list[str]:
    """One line for each metric whose saved numbers are not the measured ones, with how often and the worst."""
    found: dict[tuple[str, bool, bool], list[tuple[str, Mismatch]]] = {}
    for run in runs:
        for checkpoint in run.checkpoints:
            for bad in mismatches(checkpoint, run.info) if checkpoint.records else []:
                where = f"{run.name or 'this run'} step {checkpoint.step}"
                found.setdefault((bad.metric, bad.percent, bad.measured is None), []).append((where, bad))
    lines = []
    for (metric, percent, unmeasured), cases in found.items():
        where, worst = max(cases, key=lambda case: case[1].size)
        where += f", the worst of {len(cases)}" if len(cases) > 1 else ""
        rest = "" if unmeasured else "; the measured one is shown"
        wrong = "" if unmeasured or percent else " as training saved it is not that of the checkpoint"
        lines.append(f"{metric}{wrong}: {str(worst).partition(': ')[2]} ({where}){rest}")
    return lines


def drawn_from(info: Mapping[str, Any]) -> tuple[int, int] | None:
    """``(n, N)`` where a run was measured on n of its N training examples; None where on all."""
    count, whole = (number(info.get(key)) for key in ("num_examples", "of_examples"))
    return None if count is None or whole is None or count >= whole else (int(count), int(whole))


def number(value: Any) -> float | None:
    """A number that someone saved, as a float; None for anything else, and for NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _measured(checkpoint: CheckpointLike, name: str) -> float | None:
    if name not in _MEASURED:
        return None
    record_name, kind, field = _MEASURED[name]
    record = checkpoint.records.get(record_name)
    value = getattr(record, field) if isinstance(record, kind) else None
    return None if value is None else float(value)


def _share(accuracy: float) -> float | None:
    """An accuracy as a share: what is above 1 can only be percent; None where it can be neither."""
    if 0 <= accuracy <= 1.001:
        return accuracy
    return accuracy / 100 if 1 < accuracy <= 100 else None


def _examples(checkpoint: CheckpointLike, name: str) -> int:
    record = checkpoint.records.get(_MEASURED[name][0])
    return record.num_examples if isinstance(record, Evaluation) else 0
