"""What is measured of a model on a split of its problem's data, and what training writes beside a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from landscape.objective.batches import Batches, cast, unpack
from landscape.objective.isolation import borrowed
from landscape.problems.base import Problem
from landscape.problems.scores import Score, Tally


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
    trainable = [p for p in parameters if p.requires_grad]
    gradient = [torch.zeros_like(p) for p in trainable]

    def add(loss: Tensor) -> None:
        for mine, part in zip(gradient, torch.autograd.grad(loss, trainable, allow_unused=True), strict=True):
            if part is not None:
                mine.add_(part)

    with borrowed(model, mode="eval", device=parameters[0].device):
        with torch.enable_grad():
            train = _score(problem, model, problem.batches("train"), "train", each=add)
        test = None if problem.test is None else _scored(problem, model, problem.batches("test"), "test")
    metrics: dict[str, Any] = {"train_loss": train.loss, "grad_norm": norm(gradient), "param_norm": norm(parameters)}
    if start is not None:
        metrics["distance"] = norm([p.detach() - s.to(p) for p, s in zip(parameters, start, strict=True)])
    if train.accuracy is not None:
        metrics["train_accuracy"] = train.accuracy
    if test is not None:
        metrics["test_loss"] = test.loss
        if test.accuracy is not None:
            metrics["test_accuracy"] = test.accuracy
        if test.accuracy_per_class is not None:
            metrics["accuracy_per_class"] = test.accuracy_per_class
    return metrics


def evaluate_split(problem: Problem, model: nn.Module, split: str = "test", batches: Batches | None = None) -> Score:
    """Measure a model on all examples of a split, in eval mode, on its own device and in its own dtype. One pass.

    Parameters
    ----------
    batches : Batches, optional
        Other examples in place of the whole split, such as those drawn from it.

    Raises
    ------
    UsageError
        If the problem has no data of this split, or its own measures are none.
    """
    found = problem.batches(split) if batches is None else batches
    with borrowed(model, mode="eval", device=next(model.parameters()).device):
        return _scored(problem, model, found, split)


def norm(tensors: Iterable[Tensor]) -> float:
    """Euclidean norm over all tensors together, in double precision."""
    length: float = float(sum(float(t.detach().double().square().sum()) for t in tensors)) ** 0.5
    return length


def _scored(problem: Problem, model: nn.Module, batches: Batches, split: str) -> Score:
    """Without a graph, unless the loss itself differentiates."""
    try:
        with torch.no_grad():
            return _score(problem, model, batches, split)
    except RuntimeError as error:  # a loss on derivatives of the model, as physics-informed networks have
        if "does not require grad" not in str(error):
            raise
    with torch.enable_grad():
        return _score(problem, model, batches, split)


def _score(problem: Problem, model: nn.Module, batches: Batches, split: str, each: Any = None) -> Score:
    """Loss and scores from one pass; ``each(loss)`` is handed every part of the mean."""
    module, tally, like = problem.loss_module(model), Tally(problem), next(model.parameters())
    weights = [problem.weigh(batch) for batch in batches.batches]
    total = 0.0

    def add(part: Tensor) -> None:
        nonlocal total
        if each is not None:
            each(part)
        total += float(part.detach())

    for batch, weight in zip(batches.batches, weights, strict=True):
        for share, piece in problem.pieces(batch):
            whole = unpack(cast(piece, like.dtype, like.device, copy=True))
            share *= weight / sum(weights) if len(weights) > 1 else 1.0
            if module.is_separable:
                outputs = module.outputs(whole)
                tally.add(outputs, whole)
                add(share * module.loss_of(outputs, whole))
            else:
                add(share * module.mean_loss(whole))
    if problem.regularizer is not None:
        add(problem.regularizer(model))
    own = {} if problem.measures is None else dict(problem.measures(model, split))
    return tally.score(total, batches.num_examples, own)
