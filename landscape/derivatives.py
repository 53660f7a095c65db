"""Whether gradient and Hessian-vector product are the derivatives of the loss, held against differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from landscape.errors import ObjectiveError

if TYPE_CHECKING:
    from landscape.objective import Objective

STEPS = {torch.float64: (1e-3, 1e-4, 1e-5, 1e-6, 1e-7), torch.float32: (1e-1, 3e-2, 1e-2, 3e-3)}
TOLERANCE = {torch.float64: 1e-4, torch.float32: 5e-2}


def check_derivatives(few: Objective) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Hold the derivatives against differences; return the names of unused and of linearly entering tensors.

    Raises
    ------
    ObjectiveError
        If a derivative is wrong, missing, or zero everywhere.
    """
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
