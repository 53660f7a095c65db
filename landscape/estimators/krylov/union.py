"""Rayleigh–Ritz on the sum of several Krylov spaces, for no matvec.

Runs from different probes approximate the same outer eigenvectors. Each knows ``A`` on its own space, from its
factorisation ``A Q = Q T + r eᵀ``; so ``A`` is known on their sum, and what one run alone has not resolved, such as the
second copy of a multiple eigenvalue, the sum often has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from landscape.estimators.eigen.convergence import Request
from landscape.estimators.krylov.lockstep import Lockstep
from landscape.estimators.matvecs import norm


@dataclass(frozen=True)
class Ritz:
    """Orthonormal vectors (P, m), their images under A (P, m), values (m,) and ``‖A u − θ u‖`` (m,)."""

    vectors: torch.Tensor
    images: torch.Tensor
    values: np.ndarray
    residuals: np.ndarray

    def first(self, count: int) -> Ritz:
        """The first ``count`` of them."""
        return self.at(np.arange(min(count, len(self.values))))

    def at(self, places: np.ndarray) -> Ritz:
        """Those at the given places."""
        columns = torch.as_tensor(places, device=self.vectors.device)
        return Ritz(self.vectors[:, columns], self.images[:, columns], self.values[places], self.residuals[places])


def ritz_of_run(runs: Lockstep, r: int, request: Request, count: int) -> Ritz:
    """The ``count`` most wanted Ritz pairs of run r, most wanted first."""
    projected = runs.projected(r)
    scale = float(np.abs(projected).max()) or 1.0
    values, coefficients = np.linalg.eigh(projected / scale)
    kept = request.preferred(values)[:count]
    basis = runs.basis(r)
    s = torch.as_tensor(np.ascontiguousarray(coefficients[:, kept]), dtype=basis.dtype, device=basis.device)
    vectors = basis @ s
    theta = torch.as_tensor(values[kept] * scale, dtype=basis.dtype, device=basis.device)
    residual = runs.residual(r)
    images = vectors * theta + residual[:, None] * s[-1][None, :]
    return Ritz(vectors, images, values[kept] * scale, norm(residual) * np.abs(coefficients[-1, kept]))


def join(left: Ritz | None, right: Ritz, request: Request, count: int) -> Ritz:
    """The ``count`` most wanted Ritz pairs of the sum of both spaces, most wanted first."""
    if left is None:
        return right
    vectors, images = _orthonormal(left, right)
    projected = (vectors.T @ images).to(torch.float64).cpu().numpy()
    scale = float(np.abs(projected).max()) or 1.0
    values, coefficients = np.linalg.eigh((projected + projected.T) / (2 * scale))
    kept = request.preferred(values)[:count]
    s = torch.as_tensor(np.ascontiguousarray(coefficients[:, kept]), dtype=vectors.dtype, device=vectors.device)
    theta = values[kept] * scale
    vectors, images = vectors @ s, images @ s
    rest = images - vectors * torch.as_tensor(theta, dtype=vectors.dtype, device=vectors.device)
    return Ritz(vectors, images, theta, np.array([norm(rest[:, i]) for i in range(len(kept))]))


def _orthonormal(left: Ritz, right: Ritz) -> tuple[torch.Tensor, torch.Tensor]:
    """An orthonormal basis of both, and its images; directions that differ by little more than rounding are dropped.

    By Gram–Schmidt from the best residual down: of two approximations to one eigenvector the better one stays whole,
    and of the other only the difference is left, magnified, with its rounding, by one over its length.
    """
    together = torch.cat([left.vectors, right.vectors], dim=1).T.contiguous()
    their_images = torch.cat([left.images, right.images], dim=1).T.contiguous()
    order = np.argsort(np.concatenate([left.residuals, right.residuals]), kind="stable")
    shortest = 32 * float(np.sqrt(torch.finfo(together.dtype).eps))
    vectors, images = torch.empty_like(together), torch.empty_like(together)
    count = 0
    for i in order:
        w, image = together[i], their_images[i]
        for _ in range(2):
            c = vectors[:count] @ w
            w -= c @ vectors[:count]
            image -= c @ images[:count]
        length = norm(w) if len(w) else 0.0
        if length > shortest:
            vectors[count], images[count] = w / length, image / length
            count += 1
    return vectors[:count].T, images[:count].T
