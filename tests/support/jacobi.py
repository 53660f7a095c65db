"""Lanczos coefficients of a discrete measure, by Lanczos on the measure itself."""

from __future__ import annotations

import numpy as np


def coefficients(points, masses, steps):
    """``alphas``, ``betas`` (T,): the last β couples to the next step, and is zero where the measure is exhausted."""
    basis = [np.sqrt(np.asarray(masses) / np.sum(masses))]
    alphas, betas = [], []
    for j in range(steps):
        w = points * basis[j]
        alphas.append(basis[j] @ w)
        for _ in range(2):
            for q in basis:
                w = w - (q @ w) * q
        length = np.linalg.norm(w)
        if j + 1 == np.count_nonzero(masses):
            return np.array(alphas), np.r_[betas, 0.0]
        betas.append(length)
        basis.append(w / length)
    return np.array(alphas), np.array(betas)
