"""Which predictions are right: counted over a pass, and what a problem measures by itself put beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from landscape.errors import UsageError
from landscape.objective.classes import class_axes
from landscape.problems.base import Problem

#: Of more classes (tokens of a vocabulary) only the accuracy is counted, not each with each.
MOST_CLASSES = 512
_OF_LOGITS = (functional.binary_cross_entropy_with_logits, nn.BCEWithLogitsLoss)


@dataclass(frozen=True)
class Score:
    """Loss of a model on some data, regularizer included, and what is known of its predictions.

    Attributes
    ----------
    confusion : (C, C) array of counts or None
        True classes in rows, predicted ones in columns; examples (or tokens, pixels) with a negative target do not
        count.
    measures : dict
        The problem's own, by name.
    """

    loss: float
    num_examples: int
    accuracy: float | None = None
    confusion: np.ndarray | None = None
    measures: dict[str, float] = field(default_factory=dict)

    @property
    def accuracy_per_class(self) -> list[float | None] | None:
        """C values; None for a class without an example."""
        if self.confusion is None:
            return None
        counts, hits = self.confusion.sum(1), self.confusion.diagonal()
        return [float(hit / count) if count else None for hit, count in zip(hits, counts, strict=True)]


class Tally:
    """Counts of true and predicted classes over the pieces of a pass; nothing where there are no classes."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._hits, self._count = 0, 0
        self._confusion: Tensor | None = None
        self._is_defined = True

    def add(self, outputs: Any, batch: Any) -> None:
        """Count the predictions of a piece."""
        seen = predictions(self.problem, outputs, self._targets(batch)) if self._is_defined else None
        if seen is None:
            self._is_defined = False
            return
        predicted, targets, classes = seen
        counted = targets >= 0
        predicted, targets = predicted[counted], targets[counted]
        self._hits += int((predicted == targets).sum())
        self._count += targets.numel()
        if classes <= MOST_CLASSES:
            pairs = torch.bincount(targets * classes + predicted, minlength=classes**2).reshape(classes, classes).cpu()
            self._confusion = pairs if self._confusion is None else self._confusion + pairs

    def score(self, loss: float, num_examples: int, own: Mapping[str, Any]) -> Score:
        """All of it; what the problem measures by itself goes before what was counted.

        Raises
        ------
        UsageError
            If one of its own measures is no number.
        """
        own = dict(own)
        counted = self._is_defined and self._count > 0
        confusion = self._confusion.numpy() if counted and self._confusion is not None else None
        accuracy = self._hits / self._count if counted else None
        if "confusion" in own:
            confusion = _square(own.pop("confusion"))
            accuracy = float(confusion.trace() / confusion.sum()) if confusion.sum() else None
        numbers = {str(name): _number(name, value) for name, value in own.items()}
        accuracy = numbers.pop("accuracy", accuracy)
        return Score(loss, num_examples, accuracy, confusion, numbers)

    def _targets(self, batch: Any) -> Any:
        if self.problem.loss_fn is not None:
            return batch[1]
        return None if self.problem.targets is None else self.problem.targets(batch)


def predictions(problem: Problem, outputs: Any, targets: Any) -> tuple[Tensor, Tensor, int] | None:
    """Predicted and true classes, in the shape of the targets, and how many classes there are; None without classes.

    An output of (N, C, …) has one score for each class, as ``cross_entropy`` reads it, or one of (N, …, C). One logit
    for two classes is known by the loss of torch that reads it. With any other layout the largest score means nothing.
    """
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return None
    if problem.loss_fn in _OF_LOGITS or isinstance(problem.loss_fn, nn.BCEWithLogitsLoss):
        single = outputs.ndim == 1 or (outputs.ndim == 2 and outputs.shape[1] == 1)
        if not single or outputs.shape != targets.shape or not bool(((targets == 0) | (targets == 1)).all()):
            return None
        return (outputs > 0).long(), targets.long(), 2
    if targets.is_floating_point() or targets.dtype == torch.bool or outputs.ndim < 2:
        return None
    axes = class_axes(outputs.shape, targets.shape)
    axes = [axis for axis in axes if problem.num_classes in (None, outputs.shape[axis])]
    if not axes or outputs.shape[axes[0]] < 2 or bool((targets >= outputs.shape[axes[0]]).any()):
        return None
    return outputs.argmax(axes[0]), targets.long(), int(outputs.shape[axes[0]])


def _square(value: Any) -> np.ndarray:
    counts = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.dtype.kind not in "iuf" or (counts < 0).any():
        raise UsageError(
            f"measures(model, split) gave a confusion of shape {counts.shape} and type {counts.dtype}; it must be "
            "(C, C) counts, true classes in rows"
        )
    return counts.astype(np.int64)


def _number(name: Any, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(
            f"measures(model, split) gave {name!r} as a {type(value).__name__}; each must be one number"
        ) from None
