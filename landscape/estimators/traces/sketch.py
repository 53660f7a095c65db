"""The range of an operator seen through a few random vectors, and what is left of it without each of them."""

from __future__ import annotations

import numpy as np
import torch

from landscape.estimators.matvecs import Matvecs
from landscape.estimators.probes import probe
from landscape.estimators.traces.columns import column_dots, gram, new_directions


class Sketch:
    """Random vectors Ω (P, s), their products Y = HΩ, and an orthonormal basis Q (P, r) of the span of Y.

    Parameters
    ----------
    matvecs : Matvecs
        All vectors here are in its slices.
    seed : int
    kind : {"gaussian", "rademacher"}

    Attributes
    ----------
    omega, products, basis : (P, s), (P, s), (P, r) tensors
        r < s where the columns of Y depend on each other: H has low rank, or is zero.
    coordinates : (r, s) array
        ``QᵀY``.
    without : (r, s) array
        Column i is the direction that Q loses when Y loses its column i: of length 1, or zero where it loses none.

    Notes
    -----
    ``QQᵀ − Q sᵢsᵢᵀQᵀ`` projects on the span of Y without column i, for ``sᵢ`` column i of ``without``: everything that
    depends on one random vector can be held against a space that does not know it, without further products.

    References
    ----------
    Epperly, Tropp, Webber (2024), XTrace, SIAM J. Matrix Anal. Appl. 45(1), section 2 for Y of full rank.
    """

    def __init__(self, matvecs: Matvecs, *, seed: int, kind: str = "gaussian") -> None:
        self._matvecs, self._seed, self._kind, self.slices = matvecs, seed, kind, matvecs.slices
        H = matvecs.operator
        empty = torch.empty(self.slices.size, 0, dtype=H.dtype, device=H.device)
        self.omega, self.products, self.basis = empty, empty, empty

    def extend(self, count: int) -> torch.Tensor:
        """Take ``count`` more random vectors, for as many matvecs; the columns (P, ≤ count) that Q gained."""
        slices, first = self.slices, self.omega.shape[1]
        more = torch.stack([self._drawn(first + i) for i in range(count)], dim=1)
        if self._kind == "gaussian":
            # Of length √P each: the direction is what counts, and the length would only add variance.
            whole = slices.is_whole
            lengths = torch.linalg.vector_norm(more, dim=0) if whole else slices.norms(more).to(more)
            more = more * (slices.dim**0.5 / lengths)
        images = self._matvecs.in_slices(more)
        gained = new_directions(images, self.basis, slices)
        self.omega = torch.cat([self.omega, more], dim=1)
        self.products = torch.cat([self.products, images], dim=1)
        self.basis = torch.cat([self.basis, gained], dim=1)
        self.coordinates = gram(self.basis, self.products, slices)
        self.without = lost_directions(self.coordinates)
        return gained

    def _drawn(self, index: int) -> torch.Tensor:
        """Random vector number ``index``."""
        H = self._matvecs.operator
        drawn = probe(index, H.dim, seed=self._seed, kind=self._kind, dtype=H.dtype, device=H.device)
        return self.slices.own(drawn)

    def trace(self) -> float:
        """Mean of ``ωᵀHω``: a first guess of tr(H)."""
        return float(column_dots(self.omega, self.products, self.slices).mean())

    def size_seen(self) -> float:
        """Mean of ``‖Hω‖²``: an unbiased estimate of ``‖H‖_F²``."""
        return float(column_dots(self.products, self.products, self.slices).mean())

    def share_unseen(self) -> float:
        """``‖(I − QQᵀ)H‖_F² / ‖H‖_F²``, estimated from each ω against the span of the other products."""
        unseen = float(((self.without * self.coordinates).sum(axis=0) ** 2).mean())
        size = self.size_seen()
        return min(unseen / size, 1.0) if size > 0 else 0.0


def lost_directions(coordinates: np.ndarray) -> np.ndarray:
    """For each column of C (r, s) of rank r: the unit vector orthogonal to all others, zero where they span it all.

    With ``C = UΣVᵀ``, column i is needed exactly when row i of V has length 1; the direction is then ``UΣ⁻¹Vᵀeᵢ``.
    """
    lost = np.zeros_like(coordinates)
    if not coordinates.size:
        return lost
    u, reach, vt = np.linalg.svd(coordinates, full_matrices=False)
    needed = (vt**2).sum(axis=0) > 1 - 1e-8
    reach = np.maximum(reach, np.finfo(float).eps * reach.max())
    directions = u @ ((reach.min() / reach)[:, None] * vt[:, needed])
    lost[:, needed] = directions / np.linalg.norm(directions, axis=0)
    return lost


def row_space(coordinates: np.ndarray) -> np.ndarray:
    """Orthonormal basis (r, r') of the span of the columns of C (r, s), counted as in `new_directions`."""
    if not coordinates.size:
        return np.empty((len(coordinates), 0))
    u, reach, _ = np.linalg.svd(coordinates, full_matrices=False)
    return u[:, reach > 8 * np.finfo(float).eps * max(coordinates.shape) * reach[0]]
