"""Whether a route gives what double backward gives; a product that is not finite agrees with nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from landscape.device import widened
from landscape.errors import ObjectiveError
from landscape.hvp.product import LossParts, Product, other_chunks
from landscape.hvp.reverse import Fresh, loss_and_gradient

AGREEMENT = {torch.float32: 1e-4, torch.float64: 1e-9}  # relative, of a route with double backward before it is taken
#: Further than this from double backward no route may be; up to it, one that is about as near to the product in float64
#: may. A ReLU whose input is zero to the last bit is on in one order of summation and off in another; none is wrong.
MOST_APART, ABOUT = 1e-2, 2.0
#: torch's errors where a route is impossible for a model; anything else is a defect and is raised.
IMPOSSIBLE = (RuntimeError, NotImplementedError, TypeError, AttributeError, ObjectiveError)


class NotFiniteError(ObjectiveError):
    """Double backward itself gives NaN or infinity, so that there is nothing to hold a route against."""


def check_agreement(product: Product, parts: LossParts, theta: Tensor, seen: Tensor | None = None) -> None:
    """Over all chunks: a model that decides by its data may have been recorded on another branch.

    ``seen`` is what double backward gave for the first chunk, where that is known.
    """
    v = direction(theta)
    if seen is None:
        reference = Fresh(parts, theta)(v)
    else:
        reference = parts.shares[0] * seen + Fresh(other_chunks(parts), theta)(v)
    check_finite(reference, parts, theta)
    if refused := refusal(parts, theta, v, reference, product(v)):
        raise ObjectiveError(f"it {refused}")


def check_finite(reference: Tensor, parts: LossParts, theta: Tensor) -> None:
    """Refuse a model whose second derivative is not finite, and name what is: loss and gradient, or not even those."""
    if bool(reference.isfinite().all()):
        return
    count, (loss, gradient) = int((~reference.isfinite()).sum()), loss_and_gradient(parts, theta)
    if not math.isfinite(loss):
        seen = f"the loss is {loss} there. Analyze an earlier checkpoint, or use dtype=torch.float64 where it overflows"
    elif not bool(gradient.isfinite().all()):
        seen = (
            f"the loss is {loss:.6g}, but {int((~gradient.isfinite()).sum())} entries of its gradient are not finite. "
            f"{_ROOTS}"
        )
    else:
        seen = f"the loss is {loss:.6g} and its gradient is finite. {_ROOTS}"
    raise NotFiniteError(
        f"{count} of {len(reference)} entries of a product by double backward are NaN or infinite: {seen}"
    )


_ROOTS = (
    "Likely causes: norm() or sqrt() of something that is zero here, equal singular values, a power below 2 of zero: "
    "torch's second derivative is NaN there, also where the square of the norm is taken afterwards. Put a small number "
    "into the root, sqrt(x + 1e-12), write a squared norm as a sum of squares, or, where the loss itself is smooth, "
    "take HessianOperator(objective, route='differences') with check=False"
)


def refusal(parts: LossParts, theta: Tensor, v: Tensor, reference: Tensor, out: Tensor) -> str:
    """Why a route that gives ``out`` where double backward gives ``reference`` may not be taken; empty where it may.

    Where they are apart by more than is agreed, float64 decides: the route may be taken if it is about as near to it.
    For products in float64 that is the model with its casts to a lower precision lifted; one that has none is refused.
    """
    if not bool(out.isfinite().all()):
        return "is not finite where double backward is"
    apart, agreed = distance(out, reference), AGREEMENT[theta.dtype]
    if apart <= agreed:
        return ""
    refused = f"differs from double backward by {apart:.1e}, more than {agreed:.0e}"
    if not apart <= MOST_APART:
        return refused
    try:
        truth = Fresh(parts.in_double(lift=theta.dtype == torch.float64), widened(theta))(widened(v))
    except IMPOSSIBLE:  # a model that makes float32 tensors of its own
        return refused
    its, own = distance(widened(out), truth), distance(widened(reference), truth)
    near = math.isfinite(own) and its <= max(ABOUT * own, agreed)
    return "" if near else f"{refused}, and is off by {its:.1e} from float64"


def direction(theta: Tensor, seed: int = 0) -> Tensor:
    """A random vector to try products on."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(theta.shape, generator=generator).to(theta)


def distance(a: Tensor, b: Tensor) -> float:
    """‖a − b‖ / ‖b‖; 0 where both are zero, infinite where anything in either is not finite."""
    apart, size = float((a - b).norm()), float(b.norm())
    if not (math.isfinite(apart) and math.isfinite(size)):
        return math.inf
    return apart / size if size > 0 else float(apart > 0)


def first_line(error: Exception) -> str:
    """The first line of an error's message, cut short."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:160]
