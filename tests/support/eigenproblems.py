"""Which eigenvalues are wanted, and what is true of them, from the dense matrix."""

from __future__ import annotations

import numpy as np
import torch

from landscape.operators import LinearOperator
from landscape.results import Eigenpairs

WHICH = ("largest", "smallest", "both", "magnitude")


def exact(H: LinearOperator, k: int, which: str) -> np.ndarray:
    """The wanted eigenvalues in the order of the record, from the dense matrix in float64."""
    w = np.linalg.eigvalsh(H.dense().to(torch.float64).numpy())[::-1]
    if which == "magnitude":
        return w[np.argsort(-np.abs(w), kind="stable")][:k]
    if which == "both":
        return w if 2 * k > len(w) else np.r_[w[:k], w[-k:]]
    return w[:k] if which == "largest" else w[-k:]


def true_residuals(H: LinearOperator, eigs: Eigenpairs) -> np.ndarray:
    A, V = H.dense().to(torch.float64).numpy(), eigs.vectors.astype(np.float64)
    return np.linalg.norm(A @ V - V * eigs.values, axis=0)
