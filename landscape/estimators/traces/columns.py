"""Blocks of vectors (P, K), whole or in slices, and their sums in float64, whatever the dtype of the vectors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from landscape.device import widened
from landscape.estimators.vectors import WHOLE, Slices

#: Rows turned into float64 at a time, so that no second copy of a block is held.
_ROWS = 1 << 18


def column_dots(V: torch.Tensor, W: torch.Tensor, slices: Slices = WHOLE) -> np.ndarray:
    """``vᵀw`` for each pair of columns of V and W (P, K), float64 (K,)."""
    total = np.zeros(V.shape[1])
    for v, w in _in_float64(V, W):
        total += (v * w).sum(dim=0).cpu().numpy()
    return slices.sum(torch.from_numpy(total)).numpy()


def gram(V: torch.Tensor, W: torch.Tensor, slices: Slices = WHOLE) -> np.ndarray:
    """``VᵀW`` of V (P, K) and W (P, L), float64 (K, L)."""
    total = np.zeros((V.shape[1], W.shape[1]))
    for v, w in _in_float64(V, W):
        total += (v.T @ w).cpu().numpy()
    return slices.sum(torch.from_numpy(total)).numpy()


def combined(V: torch.Tensor, coefficients: np.ndarray) -> torch.Tensor:
    """``V C`` (P, L) of V (P, K) and coefficients (K, L), in V's dtype."""
    return V @ torch.as_tensor(coefficients).to(dtype=V.dtype, device=V.device)


def without_span(V: torch.Tensor, Q: torch.Tensor, slices: Slices = WHOLE) -> torch.Tensor:
    """``(I − QQᵀ)V`` for orthonormal columns Q (P, r), in V's dtype."""
    if Q.shape[1] == 0:
        return V
    return V - combined(Q, gram(Q, V, slices))


def new_directions(Y: torch.Tensor, Q: torch.Tensor, slices: Slices = WHOLE) -> torch.Tensor:
    """Orthonormal columns (P, ≤ K) that span, with Q, what Q and the K columns of Y span; in Y's dtype.

    Found in float64, or products of low accuracy would decide which directions count. A direction counts when Y reaches
    further along it than rounding in float64 explains; so the zero matrix has none.
    """
    rest, old = widened(Y), widened(Q)
    size = slices.largest(rest)
    if size == 0:
        return Y[:, :0]
    rest = rest / size
    longest = float(slices.norms(rest).max())
    q, r = slices.qr(slices.outside(rest, old) if old.shape[1] else rest)
    u, reach, _ = torch.linalg.svd(r.cpu())
    dim = len(Y) if slices.is_whole else slices.dim
    floor = 8 * torch.finfo(torch.float64).eps * max(dim**0.5, Y.shape[1]) * longest
    directions: torch.Tensor = (q @ u[:, : len(reach)][:, reach > floor].to(q)).to(dtype=Y.dtype, device=Y.device)
    return directions


def _in_float64(V: torch.Tensor, W: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for first in range(0, len(V), _ROWS):
        yield widened(V[first : first + _ROWS]), widened(W[first : first + _ROWS])
