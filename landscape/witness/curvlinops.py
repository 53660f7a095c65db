"""curvlinops: its Hessian as an operator, and SciPy's ARPACK on it, as its examples do.

What it was seen to do (3.0.1): it asks the loss for its ``reduction``; batches are weighed by their first dimension;
through the weights of LayerNorm its product is wrong, as is ``torch.func.jvp`` of ``jacrev`` itself (torch 2.13) where
``jvp`` of ``grad`` is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor, nn

from landscape.results.crosscheck import WitnessRow
from landscape.witness import causes
from landscape.witness.arpack import largest
from landscape.witness.ours import Ours
from landscape.witness.peers import Given, lent
from landscape.witness.verdicts import NotRun, judge

NAME = "curvlinops"
DISTRIBUTION = "curvlinops-for-pytorch"
_LAYER_NORM = (
    "torch.func.jvp of jacrev, which it uses, is wrong through this model by itself; jvp of grad gives our product"
)


def rows(ours: Ours) -> Iterator[WitnessRow]:
    """A product, and the k largest eigenvalues by ARPACK on its operator."""
    try:
        import curvlinops  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        raise NotRun("not installed (pip install curvlinops-for-pytorch)") from None
    given = Given(ours.objective)
    model = given.model()
    parameters = [p for p in model.parameters() if p.requires_grad]
    loss, said = _with_reduction(given.loss)
    v = ours.vector
    with lent(ours.settings.seed):
        operator = curvlinops.HessianLinearOperator(model, loss, parameters, given.batches, check_deterministic=False)

        def multiply(u: Tensor) -> Tensor:
            pieces = _pieces(given, model, u)
            return given.flat(model, operator @ pieces)

        theirs, Hv = multiply(v), ours.product.double()
        error = ours.product_error(v, Hv)
        known = [*causes.of_product(ours, v, theirs, 2 * error), _by_jacrev(given, model, v, theirs, Hv, 2 * error)]
        product = judge(
            NAME, "‖Hv‖", float(Hv.norm()), float(theirs.norm()), ours_error=error, theirs_error=error,
            difference=float((Hv - theirs).norm()), causes=known, remark=said,
        )  # fmt: skip
        yield product
        if ours.dim > 2:
            yield from _eigenvalues(ours, multiply, product)


def _eigenvalues(ours: Ours, multiply: Callable[[Tensor], Tensor], product: WitnessRow) -> Iterator[WitnessRow]:
    def matvec(u: np.ndarray) -> np.ndarray:
        return multiply(torch.from_numpy(np.array(u).reshape(-1))).cpu().numpy()

    operator = LinearOperator((ours.dim, ours.dim), matvec=matvec, dtype=np.float64)
    count = min(ours.settings.k, ours.dim - 1)
    values, residuals, gave_up = largest(operator, count, which="LA", seed=ours.settings.seed)
    top, errors = ours.top
    for i, (value, residual) in enumerate(zip(values, residuals, strict=True)):

        def reweighted(value: float = value, residual: float = residual, i: int = i) -> str | None:
            def gives(other: Any) -> bool:
                side = causes.Side.of(other, ours)
                return bool(abs(value - side.top[0][i]) <= side.top[1][i] + residual + 2 * ours.rounding)

            return causes.weights(ours, gives)()

        yield judge(
            NAME, f"λ{i + 1} by ARPACK", float(top[i]), float(value), ours_error=float(errors[i]),
            theirs_error=float(residual), rounding=2 * ours.rounding, remark=gave_up,
            causes=[reweighted, lambda: _LAYER_NORM if _LAYER_NORM in product.cause else None],
        )  # fmt: skip


def _by_jacrev(
    given: Given, model: nn.Module, v: Tensor, theirs: Tensor, ours: Tensor, error: float
) -> Callable[[], str | None]:
    """Whether torch alone makes the same mistake, one way, and none the other."""

    def cause() -> str | None:
        named = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
        directions = dict(zip(named, _pieces(given, model, v), strict=True))
        sizes = [float(len(inputs)) for inputs, _ in given.batches]
        found = {}
        for way, derivative in (("jacrev", torch.func.jacrev), ("grad", torch.func.grad)):
            total: dict[str, Tensor] = {name: torch.zeros_like(p) for name, p in named.items()}
            for (inputs, targets), size in zip(given.batches, sizes, strict=True):

                def loss(tensors: Any, x: Tensor = inputs, y: Tensor = targets) -> Tensor:
                    return given.loss(torch.func.functional_call(model, tensors, (x,)), y)

                part = torch.func.jvp(derivative(loss), (named,), (directions,))[1]
                total = {name: total[name] + size / sum(sizes) * part[name].detach() for name in named}
            found[way] = given.flat(model, total.values())
        wrong, right = float((found["jacrev"] - theirs).norm()), float((found["grad"] - ours).norm())
        return _LAYER_NORM if wrong <= error and right <= error else None

    return cause


def _pieces(given: Given, model: nn.Module, v: Tensor) -> list[Tensor]:
    """(P,) as tensors in the order of the model's trainable parameters."""
    named = given.objective.layout.unflatten(v.to(given.objective.device, given.objective.dtype))
    return [named[name].contiguous() for name, p in model.named_parameters() if p.requires_grad]


def _with_reduction(loss: Any) -> tuple[Any, str]:
    """The loss as it is, or as a module that says what it is: a mean."""
    if hasattr(loss, "reduction"):
        return loss, ""

    class Mean(nn.Module):
        reduction = "mean"

        def forward(self, output: Tensor, target: Tensor) -> Tensor:
            value: Tensor = loss(output, target)
            return value

    return Mean(), "it asks the loss for its reduction: it was lent one that says 'mean'"
