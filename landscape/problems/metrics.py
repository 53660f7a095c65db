"""What a training script writes beside a checkpoint: losses, accuracies, and the size of gradient and parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from landscape.isolation import borrowed
from landscape.problems.base import Problem


def evaluate(problem: Problem, model: nn.Module, *, start: Iterable[Tensor] | None = None) -> dict[str, Any]:
    """Measure a model on all training and test examples, in eval mode. Costs one gradient and one test pass.

    Parameters
    ----------
    start : tensors, optional
        The parameters that training began with, for ``"distance"``.

    Returns
    -------
    dict
        ``train_loss``, ``test_loss``, ``grad_norm``, ``param_norm``, ``distance`` (with ``start``); with classes also
        ``train_accuracy``, ``test_accuracy`` (0 … 1) and ``accuracy_per_class`` (C values on the test data, None for a
        class that has no example there). Losses include the regularizer.
    """
    parameters = list(model.parameters())
    with borrowed(model, mode="eval", device=parameters[0].device):
        train_loss, train_hits, gradient = _gradient(problem, model)
        test_loss, test_hits = _without_gradient(problem, model)
    metrics: dict[str, Any] = {
        "train_loss": train_loss,
        "test_loss": test_loss,
        "grad_norm": norm(gradient),
        "param_norm": norm(parameters),
    }
    if start is not None:
        metrics["distance"] = norm([p.detach() - s.to(p) for p, s in zip(parameters, start, strict=True)])
    if problem.num_classes is not None:
        metrics["train_accuracy"] = float(train_hits.double().mean())
        metrics["test_accuracy"] = float(test_hits.double().mean())
        metrics["accuracy_per_class"] = _per_class(test_hits, problem.test[1], problem.num_classes)
    return metrics


def norm(tensors: Iterable[Tensor]) -> float:
    """Euclidean norm over all tensors together, in double precision."""
    return float(sum(float(t.detach().double().square().sum()) for t in tensors)) ** 0.5


def _gradient(problem: Problem, model: nn.Module) -> tuple[float, Tensor, list[Tensor]]:
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
    return total, torch.cat(hits), gradient


@torch.no_grad()
def _without_gradient(problem: Problem, model: nn.Module) -> tuple[float, Tensor]:
    total, hits = 0.0, []
    for share, (x, y) in problem.pieces(*problem.test):
        output = model(x)
        total += share * float(problem.loss_fn(output, y))
        hits.append(_hits(problem, output, y))
    if problem.regularizer is not None:
        total += float(problem.regularizer(model))
    return total, torch.cat(hits)


def _hits(problem: Problem, output: Tensor, targets: Tensor) -> Tensor:
    if problem.num_classes is None:
        return torch.empty(0, dtype=torch.bool)
    return output.argmax(1) == targets


def _per_class(hits: Tensor, targets: Tensor, num_classes: int) -> list[float | None]:
    of_class = [hits[targets == c] for c in range(num_classes)]
    return [float(h.double().mean()) if len(h) else None for h in of_class]
