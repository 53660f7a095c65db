r"""The shared Krylov kernel: ``A Q = Q T + r eᵀ``, with full reorthogonalisation.

``Q`` is an orthonormal basis, ``T = QᵀAQ``, ``r ⟂ Q`` and ``e`` the last unit vector. From a start vector this is the
Lanczos process and ``T`` tridiagonal. After a thick restart (Wu & Simon 2000, SIAM J. Matrix Anal. Appl. 22(2), §2)
``T`` begins with a diagonal of Ritz values, coupled to the rest through one row and column, and goes on tridiagonal.

Rounding makes the plain three-term recurrence lose orthogonality as soon as a Ritz value converges, and then find it
again and again (Parlett 1998, ch. 13). Here every new vector is orthogonalised against the whole basis, twice and
until its length stops falling. All overlaps that this takes out are kept: with them each product ``A q`` is known to
rounding in the coordinates of the basis, and so are true residuals, also where the products are noisy and the
recurrence does not hold.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from landscape.errors import UsageError
from landscape.estimators.krylov.projection import eigh, orthogonalise, rotate
from landscape.estimators.matvecs import Matvecs

#: In units of the operator's resolution times ‖A‖: a residual vector below this is rounding, not a direction.
BREAKDOWN = 8.0


class Krylov:
    """A growing Krylov factorisation of a symmetric operator.

    Parameters
    ----------
    matvecs : Matvecs
        The operator; one matvec per step.
    start : (P,) tensor
        Not zero; of the operator's dtype and device. This and all other vectors are in the slices of ``matvecs``.
    capacity : int
        Most basis vectors held; cut to P. Memory: ``capacity + 1`` vectors.
    fresh : callable, optional
        ``fresh(i)`` is the i-th spare random vector (P,), taken where a step follows a breakdown.

    Attributes
    ----------
    size : int
        Basis vectors m.
    beta : float
        ``‖r‖``; 0 at a breakdown.
    block_start : int
        Where the current block of ``T`` begins: 0, or the basis size at the last breakdown since the last restart.
    lost : float
        What restarts have dropped from the products, a bound of its Frobenius norm: rounding, unless they are noisy.
    """

    def __init__(
        self,
        matvecs: Matvecs,
        start: torch.Tensor,
        *,
        capacity: int,
        fresh: Callable[[int], torch.Tensor] | None = None,
    ) -> None:
        self.slices, dim = matvecs.slices, matvecs.slices.dim
        self.capacity = min(capacity, dim)
        self._matvecs, self._fresh, self._num_fresh = matvecs, fresh, 0
        # Rows, not columns: each basis vector is contiguous, and products with the basis stream through memory once.
        self._rows = torch.empty(min(self.capacity + 1, dim), self.slices.size, dtype=start.dtype, device=start.device)
        self._rows[0] = start / self.slices.norm(start)
        self._projected = np.zeros((self.capacity, self.capacity))
        # A Q in the coordinates of the basis: column j is what orthogonalisation took out of A q_j.
        self._products = np.zeros((self.capacity, self.capacity))
        self.size, self.beta, self.block_start, self.lost = 0, 0.0, 0, 0.0
        self._has_next = True
        self._alphas: list[float] = []
        self._betas: list[float] = []
        self._asymmetry, self._pristine = 0.0, True

    @property
    def basis(self) -> torch.Tensor:
        """Q, shape (P, m)."""
        return self._rows[: self.size].T

    @property
    def projected(self) -> np.ndarray:
        """T, shape (m, m), float64."""
        return self._projected[: self.size, : self.size].copy()

    @property
    def residual(self) -> torch.Tensor:
        """r, shape (P,), after a step()."""
        if self.beta == 0.0:
            return torch.zeros_like(self._rows[0])
        return self.beta * self._rows[self.size]

    @property
    def is_full(self) -> bool:
        """Whether the basis must be restarted before it can grow."""
        return self.size == self.capacity

    @property
    def spans_all(self) -> bool:
        """Whether the basis spans the whole space, so that T has every eigenvalue."""
        return self.size == self.slices.dim

    def step(self) -> None:
        """Add one basis vector, for one matvec. Afterwards ``A Q = Q T + r eᵀ`` holds to rounding."""
        if self.is_full:
            raise UsageError(f"the basis is full at {self.capacity} vectors; restart() it before the next step()")
        if not self._has_next:
            self._restart_from_random()
        j = self.size
        w = self._matvecs.in_slices(self._rows[j]).clone()
        before = self.slices.norm(w)
        overlaps = orthogonalise(w, self._rows[: j + 1], slices=self.slices)
        self._projected[j, j] = overlaps[j]
        self._products[: j + 1, j] = overlaps
        self.size = j + 1
        self.beta = self.slices.norm(w)
        rounding = BREAKDOWN * self._matvecs.operator.resolution * max(self._matvecs.scale, before)
        if self.spans_all or self.beta <= rounding:
            self._note_recurrence(overlaps, rounding)
            self.beta, self._has_next, self._pristine = 0.0, False, False
            return
        self._note_recurrence(overlaps, self.beta)
        self._rows[j + 1] = w / self.beta
        self._has_next = True
        if j + 1 < self.capacity:
            self._projected[j, j + 1] = self._projected[j + 1, j] = self._products[j + 1, j] = self.beta

    def ritz(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues of T, ascending (m,), and its eigenvectors (m, m), on the CPU in float64."""
        return eigh(self.projected)

    def ritz_residuals(self, ritz_vectors: np.ndarray) -> np.ndarray:
        """``‖A Qs − θ Qs‖ = ‖r‖·|s_m|`` of each column s (m, k): as good as the orthogonality of the basis."""
        residuals: np.ndarray = self.beta * np.abs(ritz_vectors[-1])
        return residuals

    def true_residuals(self, values: np.ndarray, ritz_vectors: np.ndarray) -> np.ndarray:
        """``‖A Qs − θ Qs‖`` of each θ (k,) and column s (m, k) from the products themselves, for no further matvec.

        With ``A Q = Q C + r eᵀ``, C all overlaps, the residual is ``Q(Cs − θs) + r s_m``. C equals T for a symmetric
        matrix multiplied exactly; noise in the products shows as their difference.
        """
        scale = float(np.abs(self._products[: self.size, : self.size]).max()) or 1.0
        products = self._products[: self.size, : self.size] / scale
        inside = np.linalg.norm(products @ ritz_vectors - ritz_vectors * (values / scale), axis=0)
        outside = self.beta / scale * np.abs(ritz_vectors[-1])
        residuals: np.ndarray = scale * np.hypot(inside, outside) + self.lost
        return residuals

    def quotients(self, ritz_vectors: np.ndarray) -> np.ndarray:
        """Rayleigh quotients ``(Qs)ᵀA(Qs)`` of the columns s (m, k), from the products themselves: (k,)."""
        quotients: np.ndarray = np.einsum(
            "ij,ij->j", ritz_vectors, self._products[: self.size, : self.size] @ ritz_vectors
        )
        return quotients

    def images(self) -> torch.Tensor:
        """``A Q``, shape (P, m), from the overlaps, for no matvec; without what restarts have dropped."""
        out = torch.empty_like(self._rows[: self.size])
        self._put_images(out)
        return out.T

    def release(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The same two as rows, m of them set and room for as many as this holds, given away: no step after it.

        The basis is not copied, so that twice its vectors are held and never three times.
        """
        rows, images = self._rows, torch.empty_like(self._rows)
        self._put_images(images[: self.size])
        del self._rows
        return rows, images

    def _put_images(self, out: torch.Tensor) -> None:
        """``A Q`` as rows (m, P), into their place."""
        overlaps = np.ascontiguousarray(self._products[: self.size, : self.size].T)
        torch.mm(torch.as_tensor(overlaps).to(out), self._rows[: self.size], out=out)
        out[-1] += self.residual

    @property
    def recurrence(self) -> tuple[np.ndarray, np.ndarray, float]:
        """``α`` (m,) and ``β`` (m,) of the run from the start vector up to its first restart or breakdown.

        Third: how far the products were from symmetric, ``‖QᵀAQ − T‖_F`` of that run, which measures their noise.
        """
        return np.array(self._alphas), np.array(self._betas), self._asymmetry

    def _note_recurrence(self, overlaps: np.ndarray, beta: float) -> None:
        if not self._pristine:
            return
        expected = np.zeros(len(overlaps) - 1)
        if len(expected):
            expected[-1] = self._betas[-1]
        self._asymmetry = float(np.hypot(self._asymmetry, np.linalg.norm(overlaps[:-1] - expected)))
        self._alphas.append(float(overlaps[-1]))
        self._betas.append(beta)

    def lift(self, ritz_vectors: np.ndarray) -> torch.Tensor:
        """Q s for the columns s (m, k): shape (P, k)."""
        s = torch.as_tensor(np.ascontiguousarray(ritz_vectors), dtype=self._rows.dtype, device=self._rows.device)
        return self._rows[: self.size].T @ s

    def restart(self, values: np.ndarray, ritz_vectors: np.ndarray) -> None:
        """Shrink the basis to the given Ritz vectors (m, k), k < m, keeping the factorisation exact."""
        kept = len(values)
        coupling = self.beta * ritz_vectors[-1]
        following = self._rows[self.size].clone() if self._has_next else None
        rotate(self._rows[: self.size], ritz_vectors)
        images = self._products[: self.size, : self.size] @ ritz_vectors
        inside = ritz_vectors.T @ images
        self.lost += float(np.linalg.norm(images - ritz_vectors @ inside))
        self._projected[:], self._products[:] = 0.0, 0.0
        self._projected[np.arange(kept), np.arange(kept)] = values
        self._products[:kept, :kept] = inside
        self.size, self.block_start, self._pristine = kept, 0, False
        if following is not None:
            orthogonalise(following, self._rows[:kept], slices=self.slices)
            self._rows[kept] = following / self.slices.norm(following)
            self._projected[:kept, kept] = self._projected[kept, :kept] = self._products[kept, :kept] = coupling

    def _restart_from_random(self) -> None:
        """After a breakdown: a random direction outside the basis, where T falls apart into blocks."""
        if self._fresh is None:
            raise UsageError("the Krylov space is exhausted; pass fresh= to go on from a random vector")
        while True:
            w = self._fresh(self._num_fresh).clone()
            self._num_fresh += 1
            length = self.slices.norm(w)
            orthogonalise(w, self._rows[: self.size], slices=self.slices)
            # With one dimension left the remainder is short, but far above rounding.
            if self.slices.norm(w) > 1e3 * torch.finfo(w.dtype).eps * length:
                break
        w /= self.slices.norm(w)
        orthogonalise(w, self._rows[: self.size], slices=self.slices)
        self._rows[self.size] = w / self.slices.norm(w)
        self._has_next, self.block_start = True, self.size
