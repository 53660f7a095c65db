"""Inputs moved within a small ball so that the loss of each is as high as a few steps of ascent make it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from landscape.errors import UsageError
from landscape.problems.base import Examples, Problem, is_pair

#: name → options: of the ball, by its norm, in units of the inputs, and the steps of ascent in it.
ADVERSARIES: dict[str, dict[str, Any]] = {
    "linf": {"radius": 0.1, "steps": 1},
    "l2": {"radius": 0.5, "steps": 5},
}


def attacked(problem: Problem, model: nn.Module, examples: Any, *, norm: str, radius: float, steps: int) -> Examples:
    r"""(inputs, targets) with :math:`x + δ` in the place of x, :math:`‖δ‖ ≤ r`, at which the loss is higher.

    Projected gradient ascent from x: :math:`δ ← Π(δ + a\,d)`, d the gradient of each example's loss, normalised or,
    for ``"linf"``, its signs, and a = r for one step (Goodfellow, Shlens & Szegedy 2015, ICLR, the fast gradient sign
    method), :math:`2.5\,r/\mathrm{steps}` for more (Madry, Makelov, Schmidt, Tsipras & Vladu 2018, ICLR, §2.1). Costs a
    gradient of the batch for each step. Parameters, their ``.grad`` and buffers are left alone.

    Parameters
    ----------
    norm : {"linf", "l2"}
    radius : float
        r, in units of the inputs.

    Raises
    ------
    UsageError
        If the data are no pair of tensors, or the inputs are no floating-point numbers.
    """
    if not is_pair(examples) or not examples[0].is_floating_point():
        raise UsageError(
            "an adversary moves inputs, so data must be (inputs, targets) with inputs of floating point; leave "
            "adversary out for tokens and other batches"
        )
    inputs, targets = examples
    away = torch.zeros_like(inputs)
    size = radius if steps == 1 else 2.5 * radius / steps
    with _held_still(model):
        for _ in range(steps):
            uphill = _uphill(problem, model, (inputs + away), targets)
            away = _within(away + size * _direction(uphill, norm), norm, radius)
    return inputs + away, targets


@contextmanager
def _held_still(model: nn.Module) -> Iterator[None]:
    """In eval mode, so that no running statistics move and every pass has the same dropout: none."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _uphill(problem: Problem, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Of the mean loss by the inputs, piece by piece; of each example up to a positive factor."""
    found = []
    with torch.enable_grad():
        for share, (part, its) in problem.pieces((inputs, targets)):
            moved = part.detach().requires_grad_()
            found.append(torch.autograd.grad(share * problem.mean_loss(model, (moved, its)), moved)[0])
    return torch.cat(found)


def _direction(uphill: Tensor, norm: str) -> Tensor:
    return uphill.sign() if norm == "linf" else uphill / _lengths(uphill).clamp(min=1e-30)


def _within(away: Tensor, norm: str, radius: float) -> Tensor:
    if norm == "linf":
        return away.clamp(-radius, radius)
    shrunk: Tensor = away * (radius / _lengths(away).clamp(min=1e-30)).clamp(max=1.0)
    return shrunk


def _lengths(of: Tensor) -> Tensor:
    """Of each example, in a shape that multiplies them."""
    lengths: Tensor = of.flatten(1).norm(dim=1)
    return lengths.view(-1, *[1] * (of.ndim - 1))


def accuracy_under(
    problem: Problem, *, norm: str, radius: float, steps: int
) -> Callable[[nn.Module, str], Mapping[str, float]]:
    """Measures of such a problem: the share of examples that are still classified right after an attack on each."""

    def measures(model: nn.Module, split: str) -> Mapping[str, float]:
        like = next(model.parameters())
        inputs, targets = problem.data(split)
        examples = inputs.to(like), targets.to(like.device)
        moved, _ = attacked(problem, model, examples, norm=norm, radius=radius, steps=steps)
        with torch.no_grad():
            found = torch.cat([model(part).argmax(1) for part in moved.split(problem.at_once)])
        return {f"accuracy under attack ({norm}, {radius:g})": float((found == examples[1]).double().mean())}

    return measures
