"""Blocks of vectors (P, K) and their sums in float64, whatever the dtype of the vectors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from landscape.device import widened
from landscape.estimators.krylov.projection import outside

#: Rows turned into float64 at a time, so that no second copy of a block is held.
_ROWS = 1 << 18


def column_dots(V: torch.Tensor, W: torch.Tensor) -> np.ndarray:
    """``vᵀw`` for each pair of columns of V and W (P, K), float64 (K,)."""
    total = np.zeros(V.shape[1])
    for v, w in _in_float64(V, W):
        total += (v * w).sum(dim=0).cpu().numpy()
    return total


def gram(V: torch.Tensor, W: torch.Tensor) -> np.ndarray:
    """``VᵀW`` of V (P, K) and W (P, L), float64 (K, L)."""
    total = np.zeros((V.shape[1], W.shape[1]))
    for v, w in _in_float64(V, W):
        total += (v.T @ w).cpu().numpy()
    return total


def combined(V: torch.Tensor, coefficients: np.ndarray) -> torch.Tensor:
    """``V C`` (P, L) of V (P, K) and coefficients (K, L), in V's dtype."""
    return V @ torch.as_tensor(coefficients).to(dtype=V.dtype, device=V.device)


def without_span(V: torch.Tensor, Q: torch.Tensor) -> torch.Tensor:
    """``(I − QQᵀ)V`` for orthonormal columns Q (P, r), in V's dtype."""
    if Q.shape[1] == 0:
        return V
    return V - combined(Q, gram(Q, V))


def new_directions(Y: torch.Tensor, Q: torch.Tensor) -> torch.Tensor:
    """Orthonormal columns (P, ≤ K) that span, with Q, what Q and the K columns of Y span; in Y's dtype.

    Found in float64, or products of low accuracy would decide which directions count. A direction counts when Y reaches
    further along it than rounding in float64 explains; so the zero matrix has none.
    """
    rest, old = widened(Y), widened(Q)
    size = float(torch.linalg.vector_norm(rest, ord=torch.inf))
    if size == 0:
        return Y[:, :0]
    rest = rest / size
    longest = float(torch.linalg.vector_norm(rest, dim=0).max())
    q, r = torch.linalg.qr(outside(rest, old) if old.shape[1] else rest)
    u, reach, _ = torch.linalg.svd(r)
    floor = 8 * torch.finfo(torch.float64).eps * max(len(Y) ** 0.5, Y.shape[1]) * longest
    directions: torch.Tensor = (q @ u[:, : len(reach)][:, reach > floor]).to(dtype=Y.dtype, device=Y.device)
    return directions


def _in_float64(V: torch.Tensor, W: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for first in range(0, len(V), _ROWS):
        yield widened(V[first : first + _ROWS]), widened(W[first : first + _ROWS])
