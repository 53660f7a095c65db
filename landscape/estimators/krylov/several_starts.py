"""Lanczos from several starts at once: each step is one product with a block of vectors.

Each run has a basis and a tridiagonal matrix of its own, ``A Q = Q T + r eᵀ``, exactly as if it were alone; only their
products are made together, because several columns at once are cheaper than one after another. This is not block
Lanczos: the runs do not see each other, so that each keeps its own Gauss rule. Further runs may join, and all may go on
for more steps than were asked for at first, as long as their bases are held.
"""

from __future__ import annotations

import numpy as np
import torch

from landscape.estimators.eigen.thick_restart import BASIS_BYTES
from landscape.estimators.krylov.lanczos import BREAKDOWN
from landscape.estimators.krylov.projection import orthogonalise
from landscape.estimators.matvecs import BLOCK_COLUMNS, Matvecs


def runs_at_once(dim: int, steps: int, itemsize: int) -> int:
    """How many runs fit into ``BASIS_BYTES`` (1 GiB): T + 1 basis vectors each, and two for the product; 1 to 16."""
    return int(max(1, min(BLOCK_COLUMNS, BASIS_BYTES // ((steps + 3) * dim * itemsize))))


class Lockstep:
    """R Lanczos runs with full reorthogonalisation, on the operator or on what a known subspace leaves of it.

    Parameters
    ----------
    matvecs : Matvecs
        All vectors here, those given and those returned, are in its slices.
    starts : (R, P) tensor
        Rows, each not zero, of the operator's dtype and device; orthogonal to ``known``.
    steps : int
        T: most steps of a run, until ``run`` is told of more. Memory: ``R·(T + 1)`` vectors.
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
        self._matvecs, self.slices = matvecs, matvecs.slices
        self._known = None if known is None or known.shape[1] == 0 else known.T.contiguous()
        self._left_out = 0 if self._known is None else len(self._known)
        self.steps = steps
        self._rows: list[torch.Tensor] = []
        self.alphas, self.betas = np.zeros((0, steps)), np.zeros((0, steps))
        self.sizes, self._noise = np.zeros(0, dtype=int), np.zeros(0)
        self._active: list[int] = []
        self.add(starts)

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

    @property
    def going_on(self) -> int:
        """Runs that have not exhausted their Krylov space."""
        return len(self._active)

    def add(self, starts: torch.Tensor) -> None:
        """Further runs, from the rows of ``starts``; ``run`` takes them as far as the others."""
        count, known = len(starts), len(self.alphas)
        for start in starts:
            rows = torch.empty(self.steps + 1, len(start), dtype=start.dtype, device=start.device)
            rows[0] = start / self.slices.norm(start)
            self._rows.append(rows)
        more = np.zeros((count, self.steps))
        self.alphas, self.betas = np.vstack([self.alphas, more]), np.vstack([self.betas, more])
        self.sizes, self._noise = np.append(self.sizes, np.zeros(count, dtype=int)), np.append(self._noise, more[:, 0])
        self._active += range(known, known + count)

    def run(self, steps: int | None = None) -> None:
        """All steps of all runs, or as many as ``steps``, more than before. A run that exhausts its Krylov space stops:
        any further vector would belong to another measure."""
        if steps is not None and steps > self.steps:
            self._make_room(steps)
        while True:
            behind = [r for r in self._active if self.sizes[r] < self.steps]
            if not behind:
                return
            self._step(behind)

    def release(self) -> None:
        """Let the bases go: what runs there are have ended."""
        self._active = []
        self._rows = [rows[:0] for rows in self._rows]

    def _make_room(self, steps: int) -> None:
        wider = ((0, 0), (0, steps - self.steps))
        self.alphas, self.betas = np.pad(self.alphas, wider), np.pad(self.betas, wider)
        self.steps = steps
        for r in self._active:
            # One after another, so that no more than one basis is held twice.
            rows = self._rows[r].new_empty(steps + 1, self._rows[r].shape[1])
            rows[: len(self._rows[r])] = self._rows[r]
            self._rows[r] = rows

    def basis(self, r: int) -> torch.Tensor:
        """Q of run r, shape (P, m)."""
        return self._rows[r][: self.sizes[r]].T

    def projected(self, r: int) -> np.ndarray:
        """T of run r, shape (m, m)."""
        size = self.sizes[r]
        beside = self.betas[r, : size - 1]
        return np.diag(self.alphas[r, :size]) + np.diag(beside, 1) + np.diag(beside, -1)

    def residual(self, r: int) -> torch.Tensor:
        """r of run r, shape (P,)."""
        beta = float(self.betas[r, self.sizes[r] - 1])
        return beta * self._rows[r][self.sizes[r]] if beta else torch.zeros_like(self._rows[r][0])

    def _step(self, behind: list[int]) -> None:
        block = torch.stack([self._rows[r][self.sizes[r]] for r in behind])
        products = self._matvecs.in_slices(block.T).T.contiguous()
        whole, slices = self.slices.dim - self._left_out, self.slices
        for w, r in zip(products, behind, strict=True):
            j, before = int(self.sizes[r]), slices.norm(w)
            overlaps = orthogonalise(w, self._rows[r][: j + 1], known=self._known, slices=slices)
            self.alphas[r, j], self.sizes[r] = overlaps[-1], j + 1
            if j:
                overlaps[-2] -= self.betas[r, j - 1]
            beta = slices.norm(w)
            self._noise[r] = np.hypot(self._noise[r], np.linalg.norm(overlaps[:-1]))
            if j + 1 == whole or beta <= BREAKDOWN * self.resolution * max(self.scale, before):
                self._noise[r] = np.hypot(self._noise[r], beta)
                self._active.remove(r)
                continue
            self.betas[r, j] = beta
            self._rows[r][j + 1] = w / beta
