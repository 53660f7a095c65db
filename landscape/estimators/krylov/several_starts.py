"""Lanczos from several starts at once: each step is one product with a block of vectors.

Each run has a basis and a tridiagonal matrix of its own, ``A Q = Q T + r eᵀ``, exactly as if it were alone; only their
products are made together, because several columns at once are cheaper than one after another. This is not block
Lanczos: the runs do not see each other, so that each keeps its own Gauss rule.
"""

from __future__ import annotations

import numpy as np
import torch

from landscape.estimators.eigen.thick_restart import BASIS_BYTES
from landscape.estimators.krylov.lanczos import BREAKDOWN
from landscape.estimators.krylov.projection import orthogonalise
from landscape.estimators.matvecs import BLOCK_COLUMNS, Matvecs, norm


def runs_at_once(dim: int, steps: int, itemsize: int) -> int:
    """How many runs fit into ``BASIS_BYTES`` (1 GiB): T + 1 basis vectors each, and two for the product; 1 to 16."""
    return int(max(1, min(BLOCK_COLUMNS, BASIS_BYTES // ((steps + 3) * dim * itemsize))))


class Lockstep:
    """R Lanczos runs with full reorthogonalisation, on the operator or on what a known subspace leaves of it.

    Parameters
    ----------
    matvecs : Matvecs
    starts : (R, P) tensor
        Rows, each not zero, of the operator's dtype and device; orthogonal to ``known``.
    steps : int
        T: most steps of a run. Memory: ``R·(T + 1)`` vectors of length P.
    known : (P, K) tensor, optional
        Orthonormal columns U. The runs are then those of ``(I − UUᵀ) A (I − UUᵀ)``, and stay orthogonal to U.

    Attributes
    ----------
    alphas, betas : (R, T) arrays
        ``betas[:, j]`` is ``‖r‖`` after step j + 1, and 0 from where a run exhausted its Krylov space.
    sizes : (R,) array
        Steps that each run made.
    """

    def __init__(
        self, matvecs: Matvecs, starts: torch.Tensor, *, steps: int, known: torch.Tensor | None = None
    ) -> None:
        count, dim = starts.shape
        self._matvecs = matvecs
        self._known = None if known is None or known.shape[1] == 0 else known.T.contiguous()
        self._left_out = 0 if self._known is None else len(self._known)
        self._rows = torch.empty(count, steps + 1, dim, dtype=starts.dtype, device=starts.device)
        for r in range(count):
            self._rows[r, 0] = starts[r] / norm(starts[r])
        self.steps = steps
        self.alphas, self.betas = np.zeros((count, steps)), np.zeros((count, steps))
        self.sizes = np.zeros(count, dtype=int)
        self._active = list(range(count))
        self._noise = np.zeros(count)

    @property
    def resolution(self) -> float:
        """Of the operator: the relative rounding error of a product."""
        return self._matvecs.operator.resolution

    @property
    def scale(self) -> float:
        """``‖A‖``, from below."""
        return self._matvecs.scale

    def noise(self, r: int) -> float:
        """About ``‖A Q − Q T − r eᵀ‖`` of run r: what was seen of it, and no less than the rounding of a product."""
        return float(np.hypot(self._noise[r], self.resolution * self.scale))

    def run(self) -> None:
        """All steps of all runs. A run that exhausts its Krylov space stops: any further vector would belong to another
        measure."""
        for j in range(self.steps):
            if not self._active:
                return
            self._step(j)

    def basis(self, r: int) -> torch.Tensor:
        """Q of run r, shape (P, m)."""
        return self._rows[r, : self.sizes[r]].T

    def projected(self, r: int) -> np.ndarray:
        """T of run r, shape (m, m)."""
        size = self.sizes[r]
        beside = self.betas[r, : size - 1]
        return np.diag(self.alphas[r, :size]) + np.diag(beside, 1) + np.diag(beside, -1)

    def residual(self, r: int) -> torch.Tensor:
        """r of run r, shape (P,)."""
        beta = float(self.betas[r, self.sizes[r] - 1])
        return beta * self._rows[r, self.sizes[r]] if beta else torch.zeros_like(self._rows[r, 0])

    def _step(self, j: int) -> None:
        block = self._rows[self._active, j] if len(self._active) < len(self._rows) else self._rows[:, j]
        products = self._matvecs.block(block.T).T.contiguous()
        whole = self._rows.shape[2] - self._left_out
        going_on = []
        for w, r in zip(products, self._active, strict=True):
            before = norm(w)
            overlaps = orthogonalise(w, self._rows[r, : j + 1], known=self._known)
            self.alphas[r, j], self.sizes[r] = overlaps[-1], j + 1
            if j:
                overlaps[-2] -= self.betas[r, j - 1]
            beta = norm(w)
            self._noise[r] = np.hypot(self._noise[r], np.linalg.norm(overlaps[:-1]))
            if j + 1 == whole or beta <= BREAKDOWN * self.resolution * max(self.scale, before):
                self._noise[r] = np.hypot(self._noise[r], beta)
                continue
            self.betas[r, j] = beta
            self._rows[r, j + 1] = w / beta
            going_on.append(r)
        self._active = going_on
