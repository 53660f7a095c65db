"""What it means that an eigenpair has converged, which pairs are wanted, and how they become a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from landscape.estimators.matvecs import Matvecs

#: Tolerances never go under this many resolution·‖H‖: with products of that rounding no iteration gets reliably below.
FLOOR = 32.0
#: Residuals are never given below this many resolution·‖H‖: by that much the operator multiplied may differ from H.
LEAST_RESIDUAL = 8.0

#: What a tolerance of eigenpairs is, for those who give another.
RELATIVE = "it is the residual relative to the eigenvalue"

Key = Callable[[np.ndarray], np.ndarray]

#: Larger key, more wanted; one key for each end.
ENDS: dict[str, tuple[Key, ...]] = {
    "largest": (np.positive,),
    "smallest": (np.negative,),
    "both": (np.positive, np.negative),
    "magnitude": (np.abs,),
}


@dataclass(frozen=True)
class Pairs:
    """Eigenpairs with true residuals, in no order yet: (K,), (P, K), (K,), (K,), and why the iteration ended.

    Vectors are in slices of those that iterated.
    ``upper_bound`` is a value that λ_max exceeds with probability 1 − confidence at most, and the confidence.
    """

    values: np.ndarray
    vectors: torch.Tensor
    residuals: np.ndarray
    converged: np.ndarray
    reason: str
    upper_bound: tuple[float, float] | None = None


@dataclass(frozen=True)
class Request:
    """What was asked for, checked: ``count`` pairs in all.

    ``tol`` is of positive eigenvalues, ``negative_tol`` of all others; None where that is the same. ``finer`` divides
    the residuals that positive eigenvalues are worked down to, beyond what was asked.
    """

    k: int
    which: str
    tol: float
    count: int
    seed: int
    negative_tol: float | None = None
    finer: float = 1.0

    @property
    def loosest(self) -> float:
        """The larger of both tolerances."""
        return max(self.tol, self.negative_tol or 0.0)

    @property
    def wants_lowest(self) -> bool:
        """Whether pairs from the lower end are asked for as such."""
        return np.negative in ENDS[self.which]

    def preferred(self, values: np.ndarray) -> np.ndarray:
        """Positions of the values (m,), most wanted first; where both ends are wanted, in turn from each."""
        by_end = [np.argsort(-key(values), kind="stable") for key in ENDS[self.which]]
        return np.stack(by_end, axis=1).ravel()[: len(values)]

    def allowed(self, values: np.ndarray) -> np.ndarray:
        """The residual that was asked of each value, ``tol·|λ|``."""
        others = self.tol if self.negative_tol is None else self.negative_tol
        found: np.ndarray = np.where(values > 0, self.tol, others) * np.abs(values)
        return found

    def thresholds(self, values: np.ndarray, rounding: float) -> np.ndarray:
        """Largest residual at which each value counts as converged: ``max(tol·|λ|, 32·resolution·‖H‖)``.

        ``rounding`` is resolution·‖H‖, here as everywhere in this package.
        """
        largest: np.ndarray = np.maximum(self.allowed(values), FLOOR * rounding)
        return largest

    def aims(self, values: np.ndarray) -> np.ndarray:
        """Residuals that the iteration works down to."""
        found: np.ndarray = self.allowed(values) / np.where(values > 0, self.finer, 1.0)
        return found

    def edges(self, values: np.ndarray) -> list[tuple[Key, float]]:
        """(key, edge) of each wanted end, of the wanted values (K,): a rival has a key above the edge."""
        keys = ENDS[self.which]
        per_end = -(-len(values) // len(keys))
        return [(key, float(np.sort(key(values))[-per_end])) for key in keys]

    def order(self, values: np.ndarray) -> np.ndarray:
        """Positions in the order of the record: descending, for ``"magnitude"`` in |λ|."""
        key = np.abs(values) if self.which == "magnitude" else values
        return np.argsort(-key, kind="stable")


def judged(
    matvecs: Matvecs, request: Request, values: np.ndarray, vectors: torch.Tensor, residuals: np.ndarray, scale: float
) -> Pairs:
    """Pairs of values (K,), vectors (P, K) and true residuals (K,), held to the thresholds; ``scale`` is ‖H‖."""
    rounding = matvecs.operator.resolution * max(scale, matvecs.scale, float(np.abs(values).max(initial=0.0)))
    residuals = np.maximum(residuals, LEAST_RESIDUAL * rounding)
    return Pairs(values, vectors, residuals, residuals <= request.thresholds(values, rounding), "")


def measure(matvecs: Matvecs, request: Request, vectors: torch.Tensor, scale: float) -> Pairs:
    """Orthonormal vectors (P, K), their Rayleigh quotients and true residuals, for K matvecs."""
    slices = matvecs.slices
    U = slices.qr(vectors)[0]
    W = matvecs.in_slices(U)
    # The quotient leaves the smallest residual that any value could.
    values = slices.dots(U, W) / slices.dots(U, U)
    errors = W - U * torch.as_tensor(values, dtype=U.dtype, device=U.device)
    return judged(matvecs, request, values, U, slices.norms(errors).cpu().numpy(), scale)


def with_fixed_signs(vectors: torch.Tensor) -> torch.Tensor:
    """Columns (P, K), turned in place: the largest entry of each positive, so that a repeated run gives the same."""
    for column in vectors.T:  # one after another, so that no second set of them is held
        if column[column.abs().argmax()] < 0:
            column.neg_()
    return vectors
