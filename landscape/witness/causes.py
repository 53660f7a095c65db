"""Known causes for which tools differ. Each is recomputed: it counts only if it gives the number that the tool gave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from landscape.estimators import top_eigenpairs
from landscape.operators import LinearOperator
from landscape.witness.ours import TOL, Ours
from landscape.witness.verdicts import Cause

WEIGHTS = {
    "equal": "it averages batches unweighted: with equal weights plain torch gives its number",
    "first dimension": "it weighs batches by the first dimension of their inputs: so weighed, plain torch gives its "
    "number",
}


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
        for name, words in WEIGHTS.items():
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
