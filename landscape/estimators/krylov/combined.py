"""Rayleigh–Ritz on the sum of several Krylov spaces, for no matvec.

Runs from different probes approximate the same outer eigenvectors. Each knows ``A`` on its own space, from its
factorisation ``A Q = Q T + r eᵀ``; so ``A`` is known on their sum, and what one run alone has not resolved, such as the
second copy of a multiple eigenvalue, the sum often has.

Of two approximations to one eigenvector only their difference adds a direction. Scaled back to length 1 its image
carries the rounding of both, divided by that length, and passes it on to the next sum. So each image carries the size
of its error with it, residuals hold it, and a direction whose image is not known well enough is left out. Else what
rounding has left of an eigenvector that all runs have found comes back as a further eigenvalue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from landscape.estimators.eigen.convergence import Request
from landscape.estimators.krylov.projection import eigh
from landscape.estimators.krylov.several_starts import Lockstep
from landscape.estimators.vectors import Slices

#: In units of √resolution·‖A‖: images of larger error are not taken up.
_WORST_IMAGE = 1 / 32
#: Where the products are noisier than the operator says: in units of that noise.
_WORSE_THAN_A_RUN = 8.0


@dataclass(frozen=True)
class Ritz:
    """Orthonormal vectors with their images under A, and what is known of both.

    Attributes
    ----------
    vectors, images : (P, m) tensors
        In ``slices``.
    values : (m,) array
    residuals : (m,) array
        ``‖A u − θ u‖``, the error of the image included.
    noise : (m,) array
        Estimate of ``‖images − A vectors‖`` of each column: errors of different images are taken to be unrelated.
    worst : float
        Directions whose image has a larger error than this are not taken up.
    """

    vectors: torch.Tensor
    images: torch.Tensor
    values: np.ndarray
    residuals: np.ndarray
    noise: np.ndarray
    worst: float
    slices: Slices

    def first(self, count: int) -> Ritz:
        """The first ``count`` of them."""
        return self.at(np.arange(min(count, len(self.values))))

    def at(self, places: np.ndarray) -> Ritz:
        """Those at the given places."""
        columns = torch.as_tensor(places, device=self.vectors.device)
        return Ritz(
            self.vectors[:, columns],
            self.images[:, columns],
            self.values[places],
            self.residuals[places],
            self.noise[places],
            self.worst,
            self.slices,
        )


def ritz_of_run(runs: Lockstep, r: int, request: Request, count: int) -> Ritz:
    """The ``count`` most wanted Ritz pairs of run r, most wanted first."""
    values, coefficients = eigh(runs.projected(r))
    kept = request.preferred(values)[:count]
    basis = runs.basis(r)
    s = torch.as_tensor(np.ascontiguousarray(coefficients[:, kept]), dtype=basis.dtype, device=basis.device)
    vectors = basis @ s
    theta = torch.as_tensor(values[kept], dtype=basis.dtype, device=basis.device)
    residual = runs.residual(r)
    images = vectors * theta + residual[:, None] * s[-1][None, :]
    lengths = runs.slices.norm(residual) * np.abs(coefficients[-1, kept])
    noise = np.full(len(kept), runs.noise(r))
    worst = max(_WORST_IMAGE * np.sqrt(runs.resolution) * runs.scale, _WORSE_THAN_A_RUN * runs.noise(r))
    return Ritz(vectors, images, values[kept], np.hypot(lengths, noise), noise, float(worst), runs.slices)


def join(left: Ritz | None, right: Ritz, request: Request, count: int) -> Ritz:
    """The ``count`` most wanted Ritz pairs of the sum of both spaces, most wanted first."""
    if left is None:
        return right
    worst, slices = max(left.worst, right.worst), left.slices
    vectors, images, noise = _orthonormal(left, right, worst)
    values, coefficients = eigh(slices.sum(vectors.T @ images).cpu().to(torch.float64).numpy())
    kept = request.preferred(values)[:count]
    s = torch.as_tensor(np.ascontiguousarray(coefficients[:, kept]), dtype=vectors.dtype, device=vectors.device)
    theta = values[kept]
    vectors, images = vectors @ s, images @ s
    rest = images - vectors * torch.as_tensor(theta, dtype=vectors.dtype, device=vectors.device)
    noise = np.linalg.norm(coefficients[:, kept] * noise[:, None], axis=0)
    residuals = np.hypot([slices.norm(rest[:, i]) for i in range(len(kept))], noise)
    return Ritz(vectors, images, theta, residuals, noise, worst, slices)


def _orthonormal(left: Ritz, right: Ritz, worst: float) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """An orthonormal basis of both, its images and their errors (m,), without directions that are little but rounding.

    By Gram–Schmidt from the best residual down: of two approximations to one eigenvector the better one stays whole,
    and of the other only the difference is left, magnified, with its rounding, by one over its length.
    """
    together = torch.cat([left.vectors, right.vectors], dim=1).T.contiguous()
    their_images = torch.cat([left.images, right.images], dim=1).T.contiguous()
    their_noise = np.concatenate([left.noise, right.noise])
    order = np.argsort(np.concatenate([left.residuals, right.residuals]), kind="stable")
    shortest = 32 * float(np.sqrt(torch.finfo(together.dtype).eps))
    vectors, images, noise = torch.empty_like(together), torch.empty_like(together), np.zeros(len(together))
    count, slices = 0, left.slices
    for i in order:
        w, image, error = together[i], their_images[i], their_noise[i]
        for _ in range(2):
            c = slices.sum(vectors[:count] @ w)
            w -= c @ vectors[:count]
            image -= c @ images[:count]
            error = float(np.hypot(error, np.linalg.norm(c.cpu().to(torch.float64).numpy() * noise[:count])))
        length = slices.norm(w) if slices.dim else 0.0
        if length > shortest and error <= worst * length:
            vectors[count], images[count], noise[count] = w / length, image / length, error / length
            count += 1
    return vectors[:count].T, images[:count].T, noise[:count]
