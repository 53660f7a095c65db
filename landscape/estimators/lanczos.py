r"""The shared Krylov kernel: ``A Q = Q T + r eᵀ``, with full reorthogonalisation.

``Q`` is an orthonormal basis, ``T = QᵀAQ``, ``r ⟂ Q`` and ``e`` the last unit vector. From a start vector this is the
Lanczos process and ``T`` tridiagonal. After a thick restart (Wu & Simon 2000, SIAM J. Matrix Anal. Appl. 22(2), §2)
``T`` begins with a diagonal of Ritz values, coupled to the rest through one row and column, and goes on tridiagonal.

Rounding makes the plain three-term recurrence lose orthogonality as soon as a Ritz value converges, and then find it
again and again (Parlett 1998, ch. 13). Here every new vector is orthogonalised against the whole basis, twice and
until its length stops falling.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from landscape.errors import UsageError
from landscape.estimators.matvecs import Matvecs, norm

#: In units of eps·‖A‖: a residual vector below this is rounding, not a direction.
_BREAKDOWN = 8.0


class Krylov:
    """A growing Krylov factorisation of a symmetric operator.

    Parameters
    ----------
    matvecs : Matvecs
        The operator; one matvec per step.
    start : (P,) tensor
        Not zero; of the operator's dtype and device.
    capacity : int
        Most basis vectors held; cut to P. Memory: ``capacity + 1`` vectors of length P.
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
    """

    def __init__(
        self,
        matvecs: Matvecs,
        start: torch.Tensor,
        *,
        capacity: int,
        fresh: Callable[[int], torch.Tensor] | None = None,
    ) -> None:
        dim = matvecs.operator.dim
        self.capacity = min(capacity, dim)
        self._matvecs, self._fresh, self._num_fresh = matvecs, fresh, 0
        # Rows, not columns: each basis vector is contiguous, and products with the basis stream through memory once.
        self._rows = torch.empty(min(self.capacity + 1, dim), dim, dtype=start.dtype, device=start.device)
        self._rows[0] = start / norm(start)
        self._projected = np.zeros((self.capacity, self.capacity))
        self.size, self.beta, self.block_start = 0, 0.0, 0
        self._has_next = True

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
        return self.size == self._rows.shape[1]

    def step(self) -> None:
        """Add one basis vector, for one matvec. Afterwards ``A Q = Q T + r eᵀ`` holds to rounding."""
        if self.is_full:
            raise UsageError(f"the basis is full at {self.capacity} vectors; restart() it before the next step()")
        if not self._has_next:
            self._restart_from_random()
        j = self.size
        w = self._matvecs(self._rows[j]).clone()
        before = norm(w)
        overlaps = self._orthogonalise(w, j + 1)
        self._projected[j, j] = overlaps[j]
        self.size = j + 1
        self.beta = norm(w)
        eps = torch.finfo(w.dtype).eps
        if self.spans_all or self.beta <= _BREAKDOWN * eps * max(self._matvecs.scale, before):
            self.beta, self._has_next = 0.0, False
            return
        self._rows[j + 1] = w / self.beta
        self._has_next = True
        if j + 1 < self.capacity:
            self._projected[j, j + 1] = self._projected[j + 1, j] = self.beta

    def ritz(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues of T, ascending (m,), and its eigenvectors (m, m), on the CPU in float64."""
        # The eigensolver squares entries; dividing keeps 1e-200 and 1e200 in range.
        scale = float(np.abs(self.projected).max()) or 1.0
        values, vectors = np.linalg.eigh(self.projected / scale)
        return values * scale, vectors

    def ritz_residuals(self, ritz_vectors: np.ndarray) -> np.ndarray:
        """``‖A Qs − θ Qs‖ = ‖r‖·|s_m|`` of each column s (m, k): as good as the orthogonality of the basis."""
        return self.beta * np.abs(ritz_vectors[-1])

    def lift(self, ritz_vectors: np.ndarray) -> torch.Tensor:
        """Q s for the columns s (m, k): shape (P, k)."""
        s = torch.as_tensor(np.ascontiguousarray(ritz_vectors), dtype=self._rows.dtype, device=self._rows.device)
        return self._rows[: self.size].T @ s

    def restart(self, values: np.ndarray, ritz_vectors: np.ndarray) -> None:
        """Shrink the basis to the given Ritz vectors (m, k), k < m, keeping the factorisation exact."""
        kept = len(values)
        coupling = self.beta * ritz_vectors[-1]
        following = self._rows[self.size].clone() if self._has_next else None
        self._rows[:kept] = self.lift(ritz_vectors).T
        self._projected[:] = 0.0
        self._projected[np.arange(kept), np.arange(kept)] = values
        self.size, self.block_start = kept, 0
        if following is not None:
            self._orthogonalise(following, kept)
            self._rows[kept] = following / norm(following)
            self._projected[:kept, kept] = self._projected[kept, :kept] = coupling

    def _restart_from_random(self) -> None:
        """After a breakdown: a random direction outside the basis, where T falls apart into blocks."""
        if self._fresh is None:
            raise UsageError("the Krylov space is exhausted; pass fresh= to go on from a random vector")
        while True:
            w = self._fresh(self._num_fresh).clone()
            self._num_fresh += 1
            length = norm(w)
            self._orthogonalise(w, self.size)
            # With one dimension left the remainder is short, but far above rounding.
            if norm(w) > 1e3 * torch.finfo(w.dtype).eps * length:
                break
        w /= norm(w)
        self._orthogonalise(w, self.size)
        self._rows[self.size] = w / norm(w)
        self._has_next, self.block_start = True, self.size

    def _orthogonalise(self, w: torch.Tensor, count: int) -> np.ndarray:
        """Take the first ``count`` basis vectors out of w, in place; the overlaps found (count,)."""
        rows = self._rows[:count]
        overlaps = np.zeros(count)
        length = norm(w)
        # Twice is enough (Parlett 1998, §6.9) unless w lay in the basis up to rounding: then go on while it shrinks.
        for sweep in range(5):
            c = rows @ w
            w -= c @ rows
            overlaps += c.cpu().to(torch.float64).numpy()
            previous, length = length, norm(w)
            if sweep >= 1 and (length > 0.5 * previous or length == 0.0):
                break
        return overlaps
