"""What an objective must pass before its curvature means anything; each refusal says what was seen and the way out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from landscape import distributed
from landscape.errors import ModelError, ObjectiveError
from landscape.objective import chunks, shards
from landscape.objective.batches import count_examples, take, unpack
from landscape.objective.derivatives import check_derivatives, place_far, place_nearby
from landscape.objective.functional import Parts
from landscape.progress import say

if TYPE_CHECKING:
    from landscape.objective import Objective

FEW = chunks.FEW
#: A loss below this share of that nearby is rounding.
ROUNDING = 1e-12
#: What takes longest; how much of it is done is told after each chunk.
ALL_EXAMPLES = "evaluating the loss on all examples"


def examine(objective: Objective) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Run all checks; return the names of unused and of linearly entering tensors.

    Finite values, the same value twice, a batch equal to its parts, gradient and Hessian-vector product equal to
    differences, and a loss that bends at all. This costs the loss once on all examples, twice on two, and twice on F to
    try on; then in float64 one product with its gradient, and one gradient more, on F examples. F is 12; where an
    example is large it is as few as 4, and half of that in float64. Only where these disagree more is evaluated.

    Raises
    ------
    ObjectiveError
        At the first check that fails.
    """
    _check_finite(objective)
    shards.check_copy(objective)
    _check_mean(objective)
    say("checking derivatives")
    if objective.mode == "train":  # then a part of the data is another question
        return check_derivatives(objective)
    count = objective.few if objective.few == FEW else objective.few // 2
    return check_derivatives(objective.at_once(objective.first_batch(count)))


def _check_finite(objective: Objective) -> None:
    """Data, parameters and the loss of every chunk, which is kept; and a few examples before and after all of these,
    with other random numbers in between, if any are drawn."""
    where = objective.batches.first_nonfinite()
    if where:
        raise ObjectiveError(f"the data hold NaN or infinity, first in {where}. Remove or replace such examples")
    named = objective.layout.unflatten(objective.theta)
    bad = [name for name, tensor in named.items() if not bool(tensor.isfinite().all())]
    if bad:
        raise ObjectiveError(f"the parameters hold NaN or infinity, first in {bad[0]!r}. Analyze an earlier checkpoint")
    parts, tensors = objective.own_parts(), objective.layout.split(objective.theta)
    few = _two_of(objective, objective.parts())
    with parts.borrowed():
        first = few.value(0, tensors)
        say(ALL_EXAMPLES)
        losses = partial(_finite_losses, parts, tensors)
        own = losses() if objective.sums is None else distributed.on_all_ranks(losses, "the loss of all examples")
        objective.remember(own)
        _check_deterministic(objective, first, few.value(0, tensors))


def _finite_losses(parts: Parts, tensors: Sequence[Tensor]) -> list[float]:
    """Of every chunk."""
    losses, done = list[float](), 0.0
    for index, share in enumerate(parts.shares):
        loss = parts.value(index, tensors)
        losses.append(loss)
        say(ALL_EXAMPLES, done := done + share)
        if not math.isfinite(loss):
            raise ObjectiveError(
                f"the loss is {loss} on chunk {index} of {len(parts.shares)}. Likely causes: log or division of zero, "
                "overflow (try dtype=torch.float64), targets out of range"
            )
    return losses


def _two_of(objective: Objective, parts: Parts) -> Parts:
    """The loss of two examples; of the first chunk where a part of it is another question."""
    if objective.mode == "train" or objective.interacting:
        return parts
    try:
        return objective.at_once(objective.first_batch(2)).parts()
    except Exception:  # of a batch that cannot be cut, which is said later
        return parts


def _check_deterministic(objective: Objective, first: float, second: float) -> None:
    if abs(first - second) > 64 * torch.finfo(objective.dtype).eps * max(abs(first), abs(second)):
        cause = (
            "mode='train' keeps Dropout active"
            if objective.mode == "train"
            else (
                "the model draws random numbers, or keeps something from one call for the next, such as a hidden state"
            )
        )
        raise ObjectiveError(
            f"two evaluations of the same batch differ: {first:.6g} and {second:.6g}. Likely cause: {cause}. "
            "Use mode='eval', or make the model deterministic (fix its noise as an input)"
        )


def _check_mean(objective: Objective) -> None:
    whole_batch_question = objective.mode == "train" and objective.num_chunks == 1
    if not whole_batch_question and (fault := not_a_mean(objective)):
        raise ObjectiveError(fault)


def not_a_mean(objective: Objective) -> str | None:
    """What shows that the loss is no weighted mean over examples: one batch against its two unequal parts.

    None where nothing does, or batches stay whole anyway.
    """
    if objective.interacting:
        return None
    try:
        batch = objective.first_batch(objective.few)
    except ObjectiveError:
        raise
    except Exception as error:  # of weight(batch), which is handed parts of a batch
        if not _works_on_a_batch(objective):
            raise
        return _cannot_be_cut(error)
    size = count_examples(batch) or 0
    if not objective.batches.can_cut(batch) or size < 2:
        return None
    split = max(min(2, size // 2), size // 3)  # one example alone goes wrong in models that squeeze
    pieces = [batch, take(batch, slice(0, split)), take(batch, slice(split, size))]
    try:
        weights = [objective.weigh(piece) for piece in pieces]
        whole, left, right = (objective.at_once(piece).loss() for piece in pieces)
        if not _agree(whole, _average(left, right, weights), left, right):
            whole, left, right = _losses_on(objective, pieces)
    except Exception as error:
        if not _works_on_a_batch(objective):
            raise
        return _cannot_be_cut(error)
    if abs(weights[0] - weights[1] - weights[2]) > 1e-9 * weights[0]:
        return (
            f"weight(batch) does not add up: {weights[0]:g} on a batch, {weights[1]:g} and {weights[2]:g} on its two "
            "parts. It must count what the mean of the loss runs over; with interacting=True, where batches stay as "
            "they come, it may be any weight of a batch"
        )
    average, where = _average(left, right, weights), ""
    silent = whole == left == right == 0  # neither a mean nor a sum
    if not silent and (_agree(whole, average, left, right) or _agree_in_double(objective, pieces, weights)):
        return None
    if away := _losses_away(objective, pieces, max(map(abs, (whole, left, right)))):
        (whole, left, right), where = away, " away from θ, where the loss is more than rounding,"
        average = _average(left, right, weights)
    if (away or silent) and _agree(whole, average, left, right):
        return None
    return (
        f"the loss is not a mean over examples: on the first batch of {size}{where} it gives {whole:.6g}, but its "
        f"parts of {split} and {size - split} average to {average:.6g}. Likely causes: {_spread(objective, batch)}"
        "reduction='sum', BatchNorm in training mode, class weights or ignore_index (count what the mean runs over "
        "with weight=), a loss over pairs of examples or the whole batch. Pass a mean-reduced loss and mode='eval', or "
        "interacting=True if examples interact on purpose: batches then stay as they come"
    )


def _spread(objective: Objective, batch: Any) -> str:
    """Outputs and targets of different shapes, which an elementwise loss of torch spreads against each other."""
    few = objective.on_batches([batch])
    parts = few.parts()
    if parts.loss_fn is None:
        return ""
    with parts.borrowed(), torch.enable_grad():  # the model itself may differentiate
        outputs, target = parts.outputs(parts.chunk(0), few.layout.split(few.theta)), unpack(parts.chunk(0))[1]
    tensors = isinstance(outputs, Tensor) and isinstance(target, Tensor)
    if not tensors or not target.is_floating_point() or outputs.shape == target.shape:
        return ""
    return f"outputs {tuple(outputs.shape)} spread against targets {tuple(target.shape)}, "


def _average(left: float, right: float, weights: list[float]) -> float:
    return (weights[1] * left + weights[2] * right) / (weights[1] + weights[2] or 1.0)


def _agree(whole: float, average: float, *parts: float) -> bool:
    return abs(whole - average) <= 1e-5 * max(abs(whole), *map(abs, parts))


def _agree_in_double(objective: Objective, pieces: list[Any], weights: list[float]) -> bool:
    """Whether whole and parts differ only because the model rounds to a lower precision by itself."""
    try:
        whole, left, right = _losses_on(objective, pieces, lift=True)
    except RuntimeError:
        return False
    return _agree(whole, _average(left, right, weights), left, right)


def _losses_away(objective: Objective, pieces: list[Any], most: float) -> list[float] | None:
    """Those of a place nearby or, failing that, far off, where the loss is so much higher that ``most``, here, is
    nothing but rounding: of a network that fits its targets to the last digit."""
    theta, generator = objective.theta, torch.Generator().manual_seed(0)
    for place in (place_nearby, place_far):
        try:
            losses = _losses_on(objective, pieces, theta=place(objective, theta, generator))
        except (RuntimeError, ValueError, ArithmeticError):  # a model that cannot be evaluated there
            continue
        if most <= ROUNDING * abs(losses[0]) < math.inf and losses[0]:
            return losses
    return None


def _losses_on(
    objective: Objective, pieces: list[Any], *, lift: bool = False, theta: Tensor | None = None
) -> list[float]:
    def in_dtype(dtype: torch.dtype) -> list[float]:
        each = (objective.at_once(piece).with_dtype(dtype, lift=lift) for piece in pieces)
        return [one.loss(None if theta is None else theta.to(dtype)) for one in each]

    try:
        return in_dtype(torch.float64)
    except RuntimeError:  # a model that computes in float32 whatever it is given
        if lift:
            raise
        return in_dtype(objective.dtype)


def _works_on_a_batch(objective: Objective) -> bool:
    """Whether the loss can be evaluated on the first batch as it came, so that cutting it was to blame."""
    try:
        first = next(batch for batch in objective.batches.cut(None) if objective.weigh(batch) > 0)
        objective.on_batches([first]).loss()
    except Exception:
        return False
    return True


def _cannot_be_cut(error: Exception) -> str:
    return (
        f"the loss can be evaluated on the first batch, but not on a part of its examples: {error}. Likely causes: "
        "examples that do not stand along the first dimension of every tensor (time first, the adjacency of a graph), "
        "a batch size built into the model, a loss over pairs. Pass interacting=True to keep batches as they come, "
        "with weight= if their first dimension is not what the mean runs over"
    )


@contextmanager
def cuts_tried(objective: Objective) -> Iterator[None]:
    """Where the loss is evaluated on parts of batches: a failure that whole batches do not have is put down to that."""
    try:
        yield
    except Exception as error:
        if not _works_on_a_batch(objective):
            raise
        raise ObjectiveError(_cannot_be_cut(error)) from error


@contextmanager
def explained(objective: Objective) -> Iterator[None]:
    """Where the loss is evaluated first: torch's own words for integer inputs and missing targets name no way out."""
    try:
        yield
    except ModelError as error:
        # An error of any other type is not torch's, and says in its own words what it is about.
        torchs = type(error.__cause__) in (RuntimeError, NotImplementedError, TypeError, AttributeError)
        reason = _reason(objective, str(error.__cause__)) if torchs else None
        reason = reason or shards.said_of_copy(objective.module.model, error)
        if reason is None:
            raise
        raise ObjectiveError(reason) from error.__cause__


_INTEGERS = re.compile(r"\b(byte|char|short|int|long|u?int\d+)(tensor)?\b", re.I)
_FLOATS_FOUND = re.compile(r"(found|got):? (torch\.)?(cuda\.)?(half|float|double)", re.I)  # where integers were wanted


def _reason(objective: Objective, message: str) -> str | None:
    first = (message.splitlines() or [""])[0]
    batch = objective.batches.batches[0]
    pair = hasattr(objective.module, "loss_fn") and isinstance(batch, (tuple, list)) and len(batch) == 2
    if pair and all(target is None for target in pytree.tree_leaves(batch[1])):
        return (
            f"the batches have no targets, and loss_fn(output, target) stopped on None ({first}). Pass (inputs, "
            "targets), or a loss without targets by Objective.from_loss(model, loss(model, batch), data)"
        )
    leaves = [leaf for leaf in pytree.tree_leaves(batch) if isinstance(leaf, Tensor)]
    whole = [str(x.dtype).removeprefix("torch.") for x in leaves if not x.is_floating_point() and not x.is_complex()]
    if not whole or not _INTEGERS.search(message) or _FLOATS_FOUND.search(message):
        return None
    return (
        f"the batches hold integers ({', '.join(dict.fromkeys(whole))}), and torch does not compute with them here: "
        f"{first}. Pass indices and classes as y.long(), images as x.float() / 255, other numbers as x.float()"
    )
