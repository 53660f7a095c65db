"""Differences: of losses for the gradient, of gradients for the Hessian, both by plain torch in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from landscape.results.crosscheck import WitnessRow
from landscape.witness.dense import MOST
from landscape.witness.ours import Ours
from landscape.witness.verdicts import judge

NAME = "differences"
DISTRIBUTION = "torch"
#: Relative to ‖θ‖ (at least 1): from where truncation rules to where rounding does.
STEPS = (1e-5, 1e-6, 1e-7, 1e-8)
#: A relative error at which no smaller step is tried.
_ENOUGH = 1e-4
_EPS = float(torch.finfo(torch.float64).eps)


def rows(ours: Ours) -> Iterator[WitnessRow]:
    """The slope along a random direction, the product with it; of few parameters what a probe gives for the trace."""
    plain, v = ours.plain, ours.vector.double()
    gradient = ours.gradient.double()
    seen, error = settled(
        lambda at: torch.tensor([plain.loss(at)], dtype=torch.float64), ours, v, slope=float(gradient.norm())
    )
    yield judge(
        NAME, "slope gᵀv", float(gradient @ v.to(gradient)), float(seen), ours_error=ours.gradient_error,
        theirs_error=error,
    )  # fmt: skip
    Hv, error = settled(plain.gradient, ours, v, slope=ours.norm)
    yield judge(
        NAME, "‖Hv‖", float(ours.product.double().norm()), float(Hv.norm()),
        ours_error=ours.product_error(ours.vector, Hv), theirs_error=error,
        difference=float((ours.product.double() - Hv).norm()),
    )  # fmt: skip
    if ours.dim > MOST:
        return
    z = ours.probes[0]
    Hz, error = settled(plain.gradient, ours, z, slope=ours.norm)
    yield judge(
        NAME, "zᵀHz, probe 1 of the trace", float(ours.trace.samples[0]), float(z @ Hz),
        ours_error=ours.product_error(z, Hz) * float(z.norm()), theirs_error=error * float(z.norm()),
    )  # fmt: skip


def settled(function: Callable[[Tensor], Tensor], ours: Ours, v: Tensor, *, slope: float) -> tuple[Tensor, float]:
    """The central difference of a function along v at the step that states the least error, and that error.

    It is the distance of the quotients at a step and at half of it, and rounding. Where a finite step crosses kinks of
    ReLU that distance shows them; smaller steps cross fewer. ``slope`` is how fast the function changes, for θ itself
    is rounded.
    """
    theta, length = ours.theta.double(), float(v.norm())
    best: tuple[float, Tensor] | None = None
    for relative in STEPS:
        step = relative * max(float(theta.norm()), 1.0) / length
        wide, narrow = (_quotient(function, theta, v, s) for s in (step, step / 2))
        rounding = 16 * _EPS * (narrow[1] + slope * float(theta.norm())) / step
        error = float((wide[0] - narrow[0]).norm()) + rounding
        if best is None or error < best[0]:
            best = error, narrow[0]
        if error <= _ENOUGH * float(narrow[0].norm()):
            break
    assert best is not None
    return best[1].squeeze(), best[0]


def _quotient(function: Callable[[Tensor], Tensor], theta: Tensor, v: Tensor, step: float) -> tuple[Tensor, float]:
    """The quotient, and the size of what is subtracted."""
    ahead, behind = function(theta + step * v), function(theta - step * v)
    return (ahead - behind) / (2 * step), float(ahead.norm() + behind.norm())
