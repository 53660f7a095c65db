"""Whether gradient and Hessian-vector product are the derivatives of the loss, held against differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from landscape import hvp
from landscape.device import place_of_float64, widened
from landscape.errors import ObjectiveError, is_out_of_memory
from landscape.objective.arithmetic import PrecisionWatch
from landscape.objective.functional import Parts

if TYPE_CHECKING:
    from landscape.objective import Objective

STEPS = {torch.float64: (1e-3, 1e-4, 1e-5, 1e-6, 1e-7), torch.float32: (1e-1, 3e-2, 1e-2, 3e-3, 1e-3)}
#: The step that is tried before those, to one side: near enough to meet no kink, far enough for digits to be left.
FIRST_STEP = {torch.float64: 1e-6, torch.float32: 1e-2}
_FEW = 8.0  # in eps: what a sum of products loses
TOLERANCE = {torch.float64: 1e-4, torch.float32: 5e-2}
#: Below this share of the loss far off, differences of losses may be rounding.
ROUNDED = {torch.float64: 1e-6, torch.float32: 1e-2}

_WAYS_OUT = (
    "Write that operation in differentiable torch operations; check=False would measure it wrong. Where the gradient "
    "is right and only the second derivative is not, differences of gradients are: check=False and "
    "HessianOperator(objective, route='differences')"
)


def check_derivatives(few: Objective) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Hold the derivatives against differences; return the names of unused and of linearly entering tensors.

    Loss, gradient and product come from one graph in float64; a second gradient beside θ gives the differences of
    both. The product, ∇⟨∇L, v⟩, is that of the transposed Jacobian of ∇L, the difference that of the Jacobian itself:
    they agree only where the Hessian is symmetric. Where they do not agree, other steps and places are tried.

    Raises
    ------
    ObjectiveError
        If a derivative is wrong, missing, or zero everywhere.
    """
    generator = torch.Generator().manual_seed(0)
    double, v, here = _derivatives(few, generator)
    theta = double.theta
    hv = here.product if bool(here.product.isfinite().all()) else _product(double, theta, v)
    right = _agrees_beside(double, theta, v, here.loss, here.gradient, hv)
    if not all(right):
        places = _places(double, theta, here.loss, generator)
        if not right[0]:
            _check_gradient(double, places, v, here.gradient)
        if not right[1]:
            _check_product(double, places, v, hv)
    if not bool((hv != 0).any()) and not bool(double.hvp(v, place_nearby(double, theta, generator)).any()):
        raise ObjectiveError(
            "the loss is linear in all of θ: its Hessian is zero here and nearby, so there is no curvature to measure. "
            "Likely causes: a loss without a nonlinearity (a plain mean of outputs), or params= left out what bends"
        )
    return _silent_tensors(double, here.gradient, hv)


class _TooCoarseError(RuntimeError):
    """A model that computes with θ in less than was asked for."""


class _Exact:
    """The parts of a loss, of which none computes in less than float64."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self.layout, self.shares, self.borrowed = parts, parts.layout, parts.shares, parts.borrowed

    def part(self, index: int, tensors: Sequence[Tensor]) -> Tensor:
        with PrecisionWatch() as watch:
            loss = self._parts.part(index, tensors)
        if watch.coarsest not in (None, torch.float64):
            raise _TooCoarseError
        return loss


def _derivatives(few: Objective, generator: torch.Generator) -> tuple[Objective, Tensor, hvp.Derivatives]:
    """The question in float64 where it can be had, a direction, and the derivatives along it.

    Raises
    ------
    ObjectiveError
        If the loss does not depend on θ, depends on it past the model too, or cannot be differentiated twice.
    """
    v, found = None, None
    for lift in (False, True):
        double = few.with_dtype(torch.float64, lift=lift)
        v = _direction(double, double.theta, generator) if v is None else v
        try:
            found = _differentiated(double, v, _Exact(double.parts()))
            break
        except (RuntimeError, TypeError, ObjectiveError) as error:  # what is no fault of the type is met again
            if is_out_of_memory(error):
                raise
    if v is None or found is None:
        double = few.with_dtype(torch.float32)
        v = _direction(double, double.theta, torch.Generator().manual_seed(0))
        found = _differentiated(double, v, double.parts())
    _check_dependence(list(double.parts().originals), found)
    return double, v, found


def _differentiated(objective: Objective, v: Tensor, parts: Any) -> hvp.Derivatives:
    return hvp.up_to_second(parts, objective.theta, v, beside=list(objective.parts().originals.values()))


def _check_dependence(names: Sequence[str], found: hvp.Derivatives) -> None:
    if not found.depends:
        raise ObjectiveError(
            "the loss does not depend on θ through autograd. Likely causes: the model runs under torch.no_grad, "
            "detaches its output, or converts it to NumPy"
        )
    if past := [name for name, reached in zip(names, found.reached, strict=True) if reached]:
        more = f" and {len(past) - 3} more" if len(past) > 3 else ""
        raise ObjectiveError(
            f"the loss reads parameters past the model: {', '.join(past[:3])}{more}. It holds the tensors themselves "
            "(a list of them, an optimizer's groups), or runs a part of the model again during the backward pass, so "
            "that a term of the Hessian would be lost. Read them from the model when the loss is called, "
            "model.parameters() or model.get_parameter(name), with Objective.from_loss(model, loss(model, batch), data)"
        )


def _agrees_beside(
    objective: Objective, theta: Tensor, v: Tensor, loss: float, gradient: Tensor, hv: Tensor
) -> tuple[bool, bool]:
    """Whether gradient and product agree with the differences of losses and gradients over one small step along v.

    The difference of two losses is the mean of the slopes at its two ends, up to the square of the step.
    """
    dtype = objective.dtype
    step = FIRST_STEP[dtype] * max(float(theta.norm()), 1.0)
    there, ahead = objective.loss_and_gradient(theta + step * v)
    slope, rise = float((gradient + ahead) @ v) / 2, (there - loss) / step
    roundoff = 100 * torch.finfo(dtype).eps / step
    right = abs(rise - slope) <= TOLERANCE[dtype] * abs(slope) + roundoff * (abs(there) + abs(loss))
    apart, size = float(((ahead - gradient) / step - hv).norm()), float(hv.norm())
    return right, apart <= TOLERANCE[dtype] * size + roundoff * float(ahead.norm() + gradient.norm())


def in_double(objective: Objective) -> Objective | None:
    """The question in float64 all through, whatever the model casts to by itself; None where that cannot be had."""
    for lift in (False, True):
        double = objective.with_dtype(torch.float64, lift=lift)
        try:
            if coarsest(double) == torch.float64:
                return double
        except (RuntimeError, TypeError):  # a model with tensors or kernels of float32 alone
            continue
    return None


def coarsest(objective: Objective) -> torch.dtype:
    """The coarsest floating-point type in which the loss computes with θ, seen on the first chunk."""
    return objective.parts().coarsest(0, objective.layout.split(objective.theta))


def measured_resolution(few: Objective) -> float:
    """Relative rounding error of a Hessian-vector product: eps of the dtype, or more where a model computes coarser.

    Then it is the distance between the product as the model computes it and the one in float64 all through, here or at
    a point nearby, whichever is less (exactly on a kink of ReLU the two differ, and none is wrong); where a model has
    no float64, a few eps of the coarsest type that it computes in.
    """
    own, inside = (float(torch.finfo(dtype).eps) for dtype in (few.dtype, coarsest(few)))
    if inside <= own:
        return own
    double = in_double(few)
    if double is None:
        return _FEW * inside
    theta, generator, errors = few.theta, torch.Generator().manual_seed(0), []
    v = _direction(few, theta, generator)
    for at in (theta, place_nearby(few, theta, generator)):
        seen, truth = widened(few.hvp(v, at)), double.hvp(widened(v), widened(at))
        size = float(truth.norm())
        errors.append(float((seen - truth).norm()) / size if size > 0 else inside)
    return min(max(min(errors), own), 1.0)


def _direction(objective: Objective, theta: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian, each tensor as long as its parameters, so that no layer drowns the others; total length 1."""
    pieces = []
    for part in objective.layout.split(theta):
        noise = torch.randn(part.shape, generator=generator).to(theta)  # in float64 it takes four times as long
        scale = part.norm() / max(part.numel(), 1) ** 0.5
        pieces.append((noise * (scale if scale > 0 else 1.0)).reshape(-1))
    v = torch.cat(pieces)
    unit: Tensor = v / v.norm()
    return unit


def place_nearby(objective: Objective, theta: Tensor, generator: torch.Generator) -> Tensor:
    """A hundredth of ‖θ‖ away, in a random direction."""
    return theta + 1e-2 * max(float(theta.norm()), 1.0) * _direction(objective, theta, generator)


@dataclass(frozen=True)
class _Places:
    """Where derivatives that disagree beside θ are tried: θ and a place nearby, and ``far`` off where that decides."""

    theta: Tensor
    nearby: Tensor
    far: tuple[Tensor, ...]


def _places(objective: Objective, theta: Tensor, loss: float, generator: torch.Generator) -> _Places:
    """Those far off only where the loss here and nearby is so much less that it may be rounding.

    log(1 + t) is wrong by eps, however small t: losses of a classifier that fits its examples may have no digits left.
    Two of them: as long as θ and more, where logits are large, and a tenth of that, where nothing is saturated.
    """
    nearby = place_nearby(objective, theta, generator)
    least = max(abs(loss), _size_of_loss(objective, nearby)) / ROUNDED[objective.dtype]
    away = place_far(objective, theta, generator)
    far = (at for at in (away, 0.1 * away) if least < _size_of_loss(objective, at) < math.inf)
    return _Places(theta, nearby, tuple(far))


def _size_of_loss(objective: Objective, at: Tensor) -> float:
    """Not a number where a model cannot be evaluated so far off: a matrix that is no longer positive definite."""
    try:
        return abs(objective.loss(at))
    except (RuntimeError, ValueError, ArithmeticError) as error:
        if is_out_of_memory(error):
            raise
        return math.nan


def place_far(objective: Objective, theta: Tensor, generator: torch.Generator) -> Tensor:
    """As far off as θ is long, in a random direction."""
    return theta + max(float(theta.norm()), 1.0) * _direction(objective, theta, generator)


def _product(objective: Objective, theta: Tensor, v: Tensor) -> Tensor:
    """∇²L·v; by differences of gradients where autograd's is not finite, and these settle as their step shrinks.

    The derivatives of norm and sqrt at zero are NaN; those of what they are a part of need not be.
    """
    hv = objective.hvp(v, theta)
    if bool(hv.isfinite().all()):
        return hv
    settled = hvp.Differences(objective.parts(), theta).settled(v, within=TOLERANCE[objective.dtype])
    if settled is not None:
        return settled
    which = "second derivative" if bool(objective.gradient(theta).isfinite().all()) else "gradient"
    bad = [name for name, part in objective.layout.unflatten(hv).items() if not bool(part.isfinite().all())]
    raise ObjectiveError(
        f"autograd's {which} is not a number at θ, first in {bad[0]!r}, though the loss is finite. Likely causes: "
        "norm() or sqrt() of exactly zero (for a penalty ‖w − w₀‖² at w = w₀ write ((w − w₀)**2).sum()), singular "
        "values that are equal, a division or log behind torch.where, whose other branch is differentiated too"
    )


def _check_gradient(objective: Objective, places: _Places, v: Tensor, gradient: Tensor) -> None:
    def slope(at: Tensor) -> Tensor:
        return widened((gradient if at is places.theta else objective.gradient(at)) @ v).reshape(1)

    def loss(at: Tensor) -> Tensor:
        return torch.tensor([objective.loss(at)], dtype=torch.float64, device=place_of_float64(v.device))

    if (seen := _smallest_disagreement(objective, places, v, slope, loss)) is not None:
        raise ObjectiveError(
            f"the gradient is not that of the loss: along a direction it differs from the difference of losses by "
            f"{100 * seen:.2g} % at every step size tried. Likely causes: create_graph=self.training inside the model "
            "(forces in eval mode; pass create_graph=True), detach or no_grad on a path that carries the loss, a "
            "straight-through or gradient-reversal layer, a hook or autograd Function that scales gradients. Curvature "
            f"is that of the loss, and such a model optimizes another one. {_WAYS_OUT.split('. ')[0]}"
        )


def _check_product(objective: Objective, places: _Places, v: Tensor, hv: Tensor) -> None:
    def product(at: Tensor) -> Tensor:
        return hv if at is places.theta else _product(objective, at, v)

    if (seen := _smallest_disagreement(objective, places, v, product, objective.gradient)) is not None:
        raise ObjectiveError(
            f"the second derivative is wrong: a Hessian-vector product differs from the difference of gradients by "
            f"{100 * seen:.2g} % at every step size tried. Likely causes: a custom autograd.Function whose double "
            "backward loses a path (gradient computed in forward, once_differentiable) or whose backward is not the "
            "derivative of its forward, so that the Hessian is not symmetric, detach or no_grad inside the "
            f"model, a hook that solves for an equilibrium. {_WAYS_OUT}"
        )


def _smallest_disagreement(
    objective: Objective,
    places: _Places,
    v: Tensor,
    derivative: Callable[[Tensor], Tensor],
    function: Callable[[Tensor], Tensor],
) -> float | None:
    """The least over several places; None where a derivative and the differences of its function agree at one of them.

    θ may lie exactly on a kink (ReLU at zero), where no step is small enough; a wrong derivative is wrong nearby too.
    Where rounding may be all that differs, those far off decide, at all of which they have to agree.
    """
    seen = []
    for at in (places.theta, places.nearby):
        found = _disagreement(objective, at, v, derivative(at), function)
        if found is None:
            return None
        seen.append(found)
    if places.far:
        tried = (_disagreement(objective, at, v, derivative(at), function) for at in places.far)
        return max((found for found in tried if found is not None), default=None)
    return min(seen)


def _disagreement(
    objective: Objective, at: Tensor, v: Tensor, derivative: Tensor, function: Callable[[Tensor], Tensor]
) -> float | None:
    """Smallest relative difference of a derivative along v from central differences over shrinking steps; None where
    one step agrees.

    Across the kinks of ReLU a finite step sees curvature that autograd rightly leaves out; as the step shrinks it meets
    none, and only a wrong derivative goes on differing.
    """
    eps, best = torch.finfo(objective.dtype).eps, float("inf")
    for relative in STEPS[objective.dtype]:
        step = relative * max(float(at.norm()), 1.0)
        plus, minus = function(at + step * v), function(at - step * v)
        quotient = (plus - minus) / (2 * step)
        difference, size = float((quotient.to(derivative) - derivative).norm()), float(derivative.norm())
        roundoff = 100 * eps * float(plus.norm() + minus.norm()) / (2 * step)
        if difference <= TOLERANCE[objective.dtype] * size + roundoff:
            return None
        if difference == difference:
            best = min(best, difference / max(size, float(quotient.norm()), difference))
    return best if best < float("inf") else 1.0


def _silent_tensors(
    objective: Objective, gradient: Tensor, *products: Tensor
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    unused: list[str] = []
    linear: list[str] = []
    for name, where in objective.layout.slices().items():
        if any(bool((product[where] != 0).any()) for product in products):
            continue
        (linear if bool((gradient[where] != 0).any()) else unused).append(name)
    return tuple(unused), tuple(linear)
