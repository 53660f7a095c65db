"""What an objective must pass before its curvature means anything; each refusal says what was seen and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from landscape.batches import can_cut, count_examples, take
from landscape.derivatives import check_derivatives
from landscape.errors import ObjectiveError

if TYPE_CHECKING:
    from landscape.objective import Objective

FEW = 12  # examples the derivative checks run on


def examine(objective: Objective) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Run all checks; return the names of unused and of linearly entering tensors.

    Finite values, the same value twice, a batch equal to its parts, a Hessian-vector product equal to the difference of
    gradients over shrinking steps, a symmetric Hessian, and a loss that bends at all.

    Raises
    ------
    ObjectiveError
        At the first check that fails.
    """
    _check_finite(objective)
    _check_deterministic(objective)
    _check_mean(objective)
    interacting = objective.mode == "train"  # then a part of the data is another question
    return check_derivatives(objective if interacting else objective.on_first(FEW))


def _check_finite(objective: Objective) -> None:
    where = objective._batches.first_nonfinite()
    if where:
        raise ObjectiveError(f"the data hold NaN or infinity, first in {where}. Remove or replace such examples")
    named = objective.layout.unflatten(objective.theta)
    bad = [name for name, tensor in named.items() if not bool(tensor.isfinite().all())]
    if bad:
        raise ObjectiveError(f"the parameters hold NaN or infinity, first in {bad[0]!r}. Analyze an earlier checkpoint")
    parts, tensors = objective.parts(), objective.layout.split(objective.theta)
    with parts.borrowed():
        for index in range(objective.num_chunks):
            loss = parts.value(index, tensors)
            if not torch.isfinite(torch.tensor(loss)):
                raise ObjectiveError(
                    f"the loss is {loss} on chunk {index} of {objective.num_chunks}. Likely causes: log or division of "
                    "zero, overflow (try dtype=torch.float64), targets out of range"
                )


def _check_deterministic(objective: Objective) -> None:
    parts, tensors = objective.parts(), objective.layout.split(objective.theta)
    with parts.borrowed():
        first, second = (parts.value(0, tensors) for _ in range(2))
    if abs(first - second) > 64 * torch.finfo(objective.dtype).eps * max(abs(first), abs(second)):
        cause = "mode='train' keeps Dropout active" if objective.mode == "train" else "the model draws random numbers"
        raise ObjectiveError(
            f"two evaluations of the same batch differ: {first:.6g} and {second:.6g}. Likely cause: {cause}. "
            "Use mode='eval', or make the model deterministic (fix its noise as an input)"
        )


def _check_mean(objective: Objective) -> None:
    """One batch against its two unequal parts: only a weighted mean over examples passes."""
    batch = objective._batches.first(FEW)
    whole_batch_question = objective.mode == "train" and objective.num_chunks == 1
    if whole_batch_question or not can_cut(batch) or count_examples(batch) < 2:
        return
    size = count_examples(batch)
    split = max(1, size // 3)
    pieces = [batch, take(batch, slice(0, split)), take(batch, slice(split, size))]
    try:
        whole, left, right = (_loss_on(objective, piece, torch.float64) for piece in pieces)
    except RuntimeError:  # a model that computes in float32 whatever it is given
        whole, left, right = (_loss_on(objective, piece, objective.dtype) for piece in pieces)
    weights = [float(objective._weight(piece)) for piece in pieces]
    if abs(weights[0] - weights[1] - weights[2]) > 1e-9 * weights[0]:
        raise ObjectiveError(
            f"weight(batch) does not add up: {weights[0]:g} on a batch, {weights[1]:g} and {weights[2]:g} on its two "
            "parts. It must count what the mean of the loss runs over"
        )
    average = (weights[1] * left + weights[2] * right) / weights[0]
    if abs(whole - average) > 1e-5 * max(abs(whole), abs(left), abs(right)):
        raise ObjectiveError(
            f"the loss is not a mean over examples: on the first batch of {size} it gives {whole:.6g}, but its parts "
            f"of {split} and {size - split} average to {average:.6g}. Likely causes: reduction='sum', BatchNorm in "
            "training mode, class weights or ignore_index (count what the mean runs over with weight=), a batch that "
            "cannot be cut. Pass a mean-reduced loss and mode='eval', or check=False if examples interact on purpose"
        )


def _loss_on(objective: Objective, batch: object, dtype: torch.dtype) -> float:
    return objective.on_batches([batch]).with_dtype(dtype).loss()
