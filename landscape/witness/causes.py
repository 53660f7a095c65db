"""Known causes for which tools differ. Each is recomputed: it counts only if it gives the number that the tool gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.estimators import top_eigenpairs
from landscape.operators import LinearOperator
from landscape.rounding import format_measured
from landscape.witness.ours import STATED, TOL, Ours
from landscape.witness.verdicts import Cause

_WEIGHTS = {
    "equal": "it averages batches unweighted: with equal weights plain torch gives its number",
    "first dimension": "it weighs batches by the first dimension of their inputs: so weighed, plain torch gives its "
    "number",
}
#: Products spent to see where an iteration that was cut short would have gone.
_FURTHER = 200

Further = Callable[[], tuple[float, float]]


@dataclass(frozen=True)
class Side:
    """An operator and the eigenvalues that a tool's are held against: ours, or those of other weights."""

    operator: LinearOperator
    top: tuple[np.ndarray, np.ndarray]
    by_magnitude: tuple[np.ndarray, np.ndarray]
    rounding: float

    @classmethod
    def ours(cls, ours: Ours) -> Side:
        """As we have it."""
        return cls(ours.hessian.base, ours.top, ours.by_magnitude, ours.rounding)

    @classmethod
    def of(cls, operator: LinearOperator, ours: Ours) -> Side:
        """The same of another operator, solved anew."""
        k = min(ours.settings.k, operator.dim)
        eigs = top_eigenpairs(operator, k, which="both", tol=TOL, seed=ours.settings.seed, strict=False)
        order, top = np.argsort(-np.abs(eigs.values), kind="stable")[:k], eigs.top[:k]
        return cls(
            operator, (eigs.values[top], eigs.residuals[top]), (eigs.values[order], eigs.residuals[order]),
            ours.rounding,
        )  # fmt: skip

    def multiply(self, v: Tensor) -> Tensor:
        """H v in float64."""
        return (self.operator @ v.to(self.operator.device, self.operator.dtype)).double()


def weights(ours: Ours, gives: Callable[[LinearOperator], bool]) -> Cause:
    """Batches weighed otherwise; ``gives`` says whether the operator so weighed gives the tool's number."""

    def cause() -> str | None:
        for name, words in _WEIGHTS.items():
            operator = ours.reweighted(name)
            if operator is not None and gives(operator):
                return words
        return None

    return cause


def of_product(ours: Ours, v: Tensor, theirs: Tensor, error: float) -> list[Cause]:
    """Of a product: other weights."""

    def gives(operator: LinearOperator) -> bool:
        return float((operator @ v.to(operator.dtype) - theirs.to(operator.dtype)).norm()) <= error

    return [weights(ours, gives)]


def of_eigenvalue(
    ours: Ours,
    place: int,
    value: float,
    vector: Tensor,
    how: str,
    *,
    before: Sequence[Tensor] = (),
    stated: float = 0.0,
    further: Further | None = None,
) -> list[Cause]:
    """Of the eigenvalue number ``place`` in a tool's own order: by magnitude, stopped early, other weights, or both.

    Parameters
    ----------
    vector : (P,) tensor
        Of which ``value`` is the Rayleigh quotient.
    how : str
        What it stops by, in words.
    before : sequence of (P,) tensors
        What the tool had found before, and projects out.
    stated : float
        A residual that it states itself.
    further : callable, optional
        Value and residual where the tool itself would have come with more work; left out, power iteration goes on.
    """

    def on(side: Side) -> str | None:
        for (values, residuals), ranked in ((side.top, ""), (side.by_magnitude, "it ranks by |λ|")):
            if place >= len(values) or (ranked and values[place] == side.top[0][place]):
                continue
            wanted, error = float(values[place]), float(residuals[place]) + side.rounding
            if abs(value - wanted) <= error + stated + 1e-6 * abs(wanted):
                return ranked or None
            said = _stopped(side, value, vector, before, wanted, error, how, further)
            if said is not None:
                return f"{ranked}, and {said}" if ranked else said
        return None

    def reweighted() -> str | None:
        for name, words in _WEIGHTS.items():
            operator = ours.reweighted(name)
            if operator is None:
                continue
            side = Side.of(operator, ours)
            if place < len(side.top[0]) and abs(value - side.top[0][place]) <= (
                float(side.top[1][place]) + side.rounding + stated + 1e-6 * abs(value)
            ):
                return words
            if (said := on(side)) is not None:
                return f"{words}; and {said}"
        return None

    return [lambda: on(Side.ours(ours)), reweighted]


def _stopped(
    side: Side,
    value: float,
    vector: Tensor,
    before: Sequence[Tensor],
    wanted: float,
    error: float,
    how: str,
    further: Further | None,
) -> str | None:
    """Whether the value is a quotient of this very operator, of a vector that was still on its way to the wanted one.

    A quotient lies inside the spectrum, so one beyond the wanted end is never explained so; one of a vector orthogonal
    to others may lie beyond its own by no more than the residuals of these.
    """
    u = vector.double() / vector.double().norm()
    Hu = side.multiply(u)
    slack = side.rounding + STATED[torch.float32] * (float(Hu.norm()) + abs(value))
    if abs(float(u @ Hu) - value) > slack or abs(value) > abs(wanted) + error + slack + _inexact(side, before):
        return None
    residual = float((Hu - value * u).norm())
    if abs(value - wanted) <= residual + error:
        share = 100 * residual / max(abs(value), 1e-300)
        return f"{how}, and its residual with that operator, {share:.2g} %, covers the difference"
    reached, residual = further() if further else _continued(side, u, before, wanted, error)
    if abs(reached - wanted) <= residual + error:
        return f"{how}; going on, it arrives at {format_measured(reached, residual)}"
    return None


def _inexact(side: Side, vectors: Sequence[Tensor]) -> float:
    """The residuals of vectors, together: how far projecting them out moves the eigenvalues that are left."""
    units = [v.double() / v.double().norm() for v in vectors]
    residuals = [(Hv - (v @ Hv) * v).norm() for v in units for Hv in [side.multiply(v)]]
    return float(torch.stack(residuals).norm()) if residuals else 0.0


def _continued(side: Side, u: Tensor, found: Sequence[Tensor], wanted: float, error: float) -> tuple[float, float]:
    """Power iteration from u, orthogonal to what was found before."""
    before = torch.linalg.qr(torch.stack([v.double() for v in found], dim=1))[0] if len(found) else None
    quotient = residual = 0.0
    for _ in range(_FURTHER):
        if before is not None:
            u = u - before @ (before.T @ u)
        u = u / u.norm()
        Hu = side.multiply(u)
        if before is not None:
            Hu = Hu - before @ (before.T @ Hu)
        quotient = float(u @ Hu)
        residual = float((Hu - quotient * u).norm())
        # A small residual beside the distance: it is at an eigenvalue, the wanted one or not.
        if residual <= max(0.01 * abs(quotient), error) and (
            abs(quotient - wanted) <= residual + error or residual <= 1e-4 * abs(quotient)
        ):
            break
        u = Hu
    return quotient, residual
