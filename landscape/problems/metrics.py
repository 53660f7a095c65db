"""What a training script writes beside a checkpoint: losses, accuracies, and the size of gradient and parameters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from landscape.objective.isolation import borrowed
from landscape.problems.base import Examples, Problem


@dataclass(frozen=True)
class Score:
    """Loss of a model on some data, regularizer included, and its accuracy where that is defined."""

    loss: float
    accuracy: float | None = None
    accuracy_per_class: list[float | None] | None = None


def evaluate(problem: Problem, model: nn.Module, *, start: Iterable[Tensor] | None = None) -> dict[str, Any]:
    """Measure a model on all training and test examples, in eval mode. Costs one gradient and one test pass.

    Parameters
    ----------
    start : tensors, optional
        The parameters that training began with, for ``"distance"``.

    Returns
    -------
    dict
        ``train_loss``, ``grad_norm``, ``param_norm``, ``distance`` (with ``start``); with test data ``test_loss``; with
        classes also ``train_accuracy``, ``test_accuracy`` (0 … 1) and ``accuracy_per_class`` (C values on the test
        data, None for a class that has no example there). Losses include the regularizer.
    """
    parameters = list(model.parameters())
    with borrowed(model, mode="eval", device=parameters[0].device):
        train_loss, train_hits, gradient = _gradient(problem, model)
        test = None if problem.test is None else _score(problem, model, problem.test)
    metrics: dict[str, Any] = {"train_loss": train_loss, "grad_norm": norm(gradient), "param_norm": norm(parameters)}
    if start is not None:
        metrics["distance"] = norm([p.detach() - s.to(p) for p, s in zip(parameters, start, strict=True)])
    if train_hits is not None:
        metrics["train_accuracy"] = float(train_hits.double().mean())
    if test is not None:
        metrics["test_loss"] = test.loss
        if test.accuracy is not None:
            metrics |= {"test_accuracy": test.accuracy, "accuracy_per_class": test.accuracy_per_class}
    return metrics


def evaluate_test(problem: Problem, model: nn.Module) -> Score:
    """Measure a model on all test examples, in eval mode, on its own device and in its own dtype. One forward pass.

    Raises
    ------
    UsageError
        If the problem has no test data.
    """
    with borrowed(model, mode="eval", device=next(model.parameters()).device):
        return _score(problem, model, problem.data("test"))


def norm(tensors: Iterable[Tensor]) -> float:
    """Euclidean norm over all tensors together, in double precision."""
    length: float = float(sum(float(t.detach().double().square().sum()) for t in tensors)) ** 0.5
    return length


def _gradient(problem: Problem, model: nn.Module) -> tuple[float, Tensor | None, list[Tensor]]:
    """Training loss, (N,) hits and the gradient, from one pass."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    gradient = [torch.zeros_like(p) for p in trainable]
    total, hits = 0.0, []

    def add(loss: Tensor) -> float:
        for mine, part in zip(gradient, torch.autograd.grad(loss, trainable, allow_unused=True), strict=True):
            if part is not None:
                mine.add_(part)
        return float(loss.detach())

    with torch.enable_grad():
        for share, (x, y) in problem.pieces(*problem.train):
            output = model(x)
            total += add(share * problem.loss_fn(output, y))
            hits.append(_hits(problem, output, y))
        if problem.regularizer is not None:
            total += add(problem.regularizer(model))
    return total, _joined(hits), gradient


@torch.no_grad()
def _score(problem: Problem, model: nn.Module, data: Examples) -> Score:
    like = next(model.parameters())
    total, hits = 0.0, []
    for share, piece in problem.pieces(*data):
        x, y = (t.to(like.device, like.dtype if t.is_floating_point() else t.dtype) for t in piece)
        output = model(x)
        total += share * float(problem.loss_fn(output, y))
        hits.append(_hits(problem, output, y))
    if problem.regularizer is not None:
        total += float(problem.regularizer(model))
    found = _joined(hits)
    if found is None or problem.num_classes is None:
        return Score(total)
    return Score(total, float(found.double().mean()), _per_class(found, data[1].to(found.device), problem.num_classes))


def _hits(problem: Problem, output: Tensor, targets: Tensor) -> Tensor | None:
    """Which predictions are right, in the shape of the targets; None where these are not class numbers of the outputs.

    An output of (N, C, …) has one score for each class, as ``cross_entropy`` reads it. With another layout, such as one
    logit for two classes, the largest score means nothing.
    """
    fits = (
        problem.num_classes is not None
        and not targets.is_floating_point()
        and output.ndim > 1
        and output.shape[1] == problem.num_classes
        and output.shape[:1] + output.shape[2:] == targets.shape
    )
    return output.argmax(1) == targets if fits else None


def _joined(hits: list[Tensor | None]) -> Tensor | None:
    there = [part for part in hits if part is not None]
    return torch.cat(there) if len(there) == len(hits) else None


def _per_class(hits: Tensor, targets: Tensor, num_classes: int) -> list[float | None]:
    of_class = [hits[targets == c] for c in range(num_classes)]
    return [float(h.double().mean()) if len(h) else None for h in of_class]
