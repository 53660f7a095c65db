"""What every Krylov method does with its basis: take it out of a vector, and solve the small eigenproblem."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch

from landscape.estimators.vectors import WHOLE, Slices

Matrix = TypeVar("Matrix", torch.Tensor, np.ndarray)

_MOST_SWEEPS = 5
#: Entries of the vectors of a basis that are rotated at a time.
_ENTRIES = 1 << 18


def orthogonalise(
    w: torch.Tensor, rows: torch.Tensor, *, known: torch.Tensor | None = None, slices: Slices = WHOLE
) -> np.ndarray:
    """Take the orthonormal rows (m, P), and those of ``known`` (K, P), out of w (P,), in place; all in ``slices``.

    Returns
    -------
    (m,) array
        What was found of each of the rows, float64.

    References
    ----------
    Parlett (1998), The Symmetric Eigenvalue Problem, §6.9: twice is enough.
    """
    overlaps, length = np.zeros(len(rows)), slices.norm(w)
    # … unless w lay in the basis up to rounding: then go on while it shrinks.
    for sweep in range(_MOST_SWEEPS):
        if known is not None:
            w -= slices.sum(known @ w) @ known
        found = slices.sum(rows @ w)
        w -= found @ rows
        overlaps += found.cpu().to(torch.float64).numpy()
        previous, length = length, slices.norm(w)
        if sweep >= 1 and (length > 0.5 * previous or length == 0.0):
            break
    return overlaps


def rotate(rows: torch.Tensor, coefficients: np.ndarray) -> None:
    """Put the combinations s (m, k), k ≤ m, of rows (m, P) in the place of the first k of them.

    A run of entries after another, so that no second basis is held meanwhile.
    """
    s = torch.as_tensor(np.ascontiguousarray(coefficients), dtype=rows.dtype, device=rows.device)
    for first in range(0, rows.shape[1], _ENTRIES):
        part = rows[:, first : first + _ENTRIES]
        part[: s.shape[1]] = s.T @ part


def outside(V: Matrix, Q: Matrix) -> Matrix:
    """``(I − QQᵀ)V`` for orthonormal columns Q (P, K) and V (P,) or (P, L), to rounding: taken out twice."""
    for _ in range(2):
        V = V - Q @ (Q.T @ V)
    return V


def eigh(projected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, ascending (m,), and eigenvectors (m, m) of a matrix that is symmetric to rounding.

    >>> eigh(1e200 * np.eye(2))[0]
    array([1.e+200, 1.e+200])
    """
    # The eigensolver squares entries; dividing keeps 1e-200 and 1e200 in range.
    scale = float(np.abs(projected).max(initial=0.0)) or 1.0
    scaled = projected / scale
    values, vectors = np.linalg.eigh((scaled + scaled.T) / 2)
    return values * scale, vectors
