"""Matrices whose eigenvalues are chosen and whose eigenvectors are random."""

from __future__ import annotations

import numpy as np
import torch

import landscape as ls


def with_eigenvalues(values: np.ndarray, seed: int) -> tuple[ls.MatrixOperator, torch.Tensor]:
    """``A = QΛQᵀ`` and Q (P, P), whose column i belongs to ``values[i]``; float64, Q uniform among rotations."""
    generator = torch.Generator().manual_seed(seed)
    Q, R = torch.linalg.qr(torch.randn(len(values), len(values), dtype=torch.float64, generator=generator))
    Q = Q * R.diagonal().sign()  # without the signs Q depends on the conventions of the factorisation
    return ls.MatrixOperator(Q * torch.as_tensor(values) @ Q.T), Q
