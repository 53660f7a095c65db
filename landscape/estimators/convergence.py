"""What it means that an eigenpair has converged, which pairs are wanted, and how they become a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

#: Tolerances never go under this many eps·‖H‖: no iteration in the dtype gets reliably below.
FLOOR = 32.0
#: Residuals are never given below this many eps·|λ|: there they are the rounding of the value, not a bound.
LEAST_RESIDUAL = 8.0

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
    """Eigenpairs with true residuals, in no order yet: (K,), (P, K), (K,), (K,), and why the iteration ended."""

    values: np.ndarray
    vectors: torch.Tensor
    residuals: np.ndarray
    converged: np.ndarray
    reason: str


@dataclass(frozen=True)
class Request:
    """What was asked for, checked: ``count`` pairs in all."""

    k: int
    which: str
    tol: float
    count: int
    seed: int

    def preferred(self, values: np.ndarray) -> np.ndarray:
        """Positions of the values (m,), most wanted first; where both ends are wanted, in turn from each."""
        by_end = [np.argsort(-key(values), kind="stable") for key in ENDS[self.which]]
        return np.stack(by_end, axis=1).ravel()[: len(values)]

    def thresholds(self, values: np.ndarray, scale: float, dtype: torch.dtype) -> np.ndarray:
        """Largest residual at which each value counts as converged: ``max(tol·|λ|, 32·eps·‖H‖)``."""
        return np.maximum(self.tol * np.abs(values), FLOOR * torch.finfo(dtype).eps * scale)

    def order(self, values: np.ndarray) -> np.ndarray:
        """Positions in the order of the record: descending, for ``"magnitude"`` in |λ|."""
        key = np.abs(values) if self.which == "magnitude" else values
        return np.argsort(-key, kind="stable")


def with_fixed_signs(vectors: torch.Tensor) -> torch.Tensor:
    """The same columns (P, K), each with its largest entry positive, so that a repeated run gives the same vectors."""
    if vectors.shape[1] == 0:
        return vectors
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    return vectors * torch.where(largest < 0, -1.0, 1.0).to(vectors.dtype)
