"""What an objective must pass before its curvature means anything; each refusal says what was seen and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from landscape.batches import can_cut, count_examples, take
from landscape.errors import ObjectiveError

if TYPE_CHECKING:
    from landscape.objective import Objective

FEW = 12  # examples the derivative checks run on
STEPS = {torch.float64: (1e-3, 1e-4, 1e-5, 1e-6, 1e-7), torch.float32: (1e-1, 3e-2, 1e-2, 3e-3)}
TOLERANCE = {torch.float64: 1e-4, torch.float32: 5e-2}


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
    return _check_derivatives(objective if interacting else objective.on_first(FEW))


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


def _check_derivatives(few: Objective) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        double = few.with_dtype(torch.float64)
        double.loss()
    except RuntimeError:
        double = few.with_dtype(torch.float32)
    theta = double.theta
    generator = torch.Generator().manual_seed(0)
    v, w = (_direction(double, theta, generator) for _ in range(2))
    _check_gradient_reaches(double, theta)
    hv, hw = double.hvp(v, theta), double.hvp(w, theta)
    _check_against_differences(double, theta, v, hv, generator)
    scale = float(max(hv.norm() * w.norm(), hw.norm() * v.norm()))
    asymmetry = abs(float(w @ hv - v @ hw))
    if asymmetry > 10 * TOLERANCE[double.dtype] * scale:
        raise ObjectiveError(
            f"the Hessian is not symmetric: vᵀHw and wᵀHv differ by {asymmetry:.3g}, where {scale:.3g} is their scale. "
            "Likely cause: an autograd Function or hook whose backward is not the derivative of its forward"
        )
    if not bool((hv != 0).any()) and not bool(double.hvp(v, _nearby(double, theta, generator)).any()):
        raise ObjectiveError(
            "the loss is linear in all of θ: its Hessian is zero here and nearby, so there is no curvature to measure. "
            "Likely causes: a loss without a nonlinearity (a plain mean of outputs), or params= left out what bends"
        )
    return _silent_tensors(double, theta, hv, hw)


def _direction(objective: Objective, theta: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian, each tensor as long as its parameters, so that no layer drowns the others; total length 1."""
    pieces = []
    for part in objective.layout.split(theta):
        noise = torch.randn(part.shape, generator=generator, dtype=torch.float64).to(theta)
        scale = part.norm() / max(part.numel(), 1) ** 0.5
        pieces.append((noise * (scale if scale > 0 else 1.0)).reshape(-1))
    v = torch.cat(pieces)
    return v / v.norm()


def _check_gradient_reaches(objective: Objective, theta: Tensor) -> None:
    parts = objective.parts()
    with parts.borrowed(), torch.enable_grad():
        tensors = [t.detach().clone().requires_grad_() for t in objective.layout.split(theta)]
        if not parts.part(0, tensors).requires_grad:
            raise ObjectiveError(
                "the loss does not depend on θ through autograd. Likely causes: the model runs under torch.no_grad, "
                "detaches its output, or converts it to NumPy"
            )


def _check_against_differences(
    objective: Objective, theta: Tensor, v: Tensor, hv: Tensor, generator: torch.Generator
) -> None:
    seen = _disagreement(objective, theta, v, hv)
    if seen is None:
        return
    # θ may lie exactly on a kink (ReLU at zero), where no step is small enough; a wrong derivative is wrong nearby too.
    nearby = _nearby(objective, theta, generator)
    seen_nearby = _disagreement(objective, nearby, v, objective.hvp(v, nearby))
    if seen_nearby is None:
        return
    raise ObjectiveError(
        f"the second derivative is wrong: a Hessian-vector product differs from the difference of gradients by "
        f"{100 * min(seen, seen_nearby):.2g} % at every step size tried. Likely causes: a custom autograd.Function "
        "whose double backward loses a path (gradient computed in forward, once_differentiable), detach or no_grad "
        "inside the model. Write that operation in differentiable torch operations; check=False would measure it wrong"
    )


def _nearby(objective: Objective, theta: Tensor, generator: torch.Generator) -> Tensor:
    return theta + 1e-2 * max(float(theta.norm()), 1.0) * _direction(objective, theta, generator)


def _disagreement(objective: Objective, theta: Tensor, v: Tensor, hv: Tensor) -> float | None:
    """Smallest relative difference over shrinking steps; None where one step agrees.

    Across the kinks of ReLU a finite step sees curvature that autograd rightly leaves out; as the step shrinks it meets
    none, and only a wrong derivative goes on differing.
    """
    eps, best = torch.finfo(objective.dtype).eps, float("inf")
    for relative in STEPS[objective.dtype]:
        step = relative * max(float(theta.norm()), 1.0)
        plus, minus = objective.gradient(theta + step * v), objective.gradient(theta - step * v)
        difference = float(((plus - minus) / (2 * step) - hv).norm())
        roundoff = 100 * eps * float(plus.norm() + minus.norm()) / (2 * step)
        size = float(hv.norm())
        if difference <= TOLERANCE[objective.dtype] * size + roundoff:
            return None
        best = min(best, difference / max(size, difference))
    return best


def _silent_tensors(objective: Objective, theta: Tensor, *products: Tensor) -> tuple[tuple[str, ...], tuple[str, ...]]:
    gradient = objective.gradient(theta)
    unused: list[str] = []
    linear: list[str] = []
    for name, where in objective.layout.slices().items():
        if any(bool((product[where] != 0).any()) for product in products):
            continue
        (linear if bool((gradient[where] != 0).any()) else unused).append(name)
    return tuple(unused), tuple(linear)
