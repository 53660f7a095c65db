"""An orthonormal basis with its products: Rayleigh–Ritz on any directions, with true residuals for no further matvec.

``Q`` (P, m) is the basis, ``W = HQ`` what the operator made of it and ``T = QᵀW``. For a Ritz pair ``(θ, Qs)`` the
residual is ``Ws − θQs``: products that were made, not a recurrence that might not hold. Krylov spaces need one vector
per direction; this needs two, and may be started from and widened by anything.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from landscape.estimators.krylov.projection import eigh, rotate
from landscape.estimators.matvecs import Matvecs

#: In units of eps: a direction that loses all but this share to the basis is rounding.
_NOTHING_LEFT = 1e3


class SearchSpace:
    """A growing space of search directions.

    Parameters
    ----------
    matvecs : Matvecs
        All vectors here, those given and those returned, are in its slices.
    capacity : int
        Most basis vectors; cut to P. Memory: twice as many vectors.
    fresh : callable
        ``fresh(i)`` is the i-th spare random vector (P,), taken where a direction lies in the space already.

    Attributes
    ----------
    size : int
        m.
    restarts : int
        How often the basis was shrunk.
    """

    def __init__(self, matvecs: Matvecs, *, capacity: int, fresh: Callable[[int], torch.Tensor]) -> None:
        H = matvecs.operator
        self.slices = matvecs.slices
        self.capacity = min(capacity, H.dim)
        self._matvecs, self._fresh, self._num_fresh = matvecs, fresh, 0
        # Rows, not columns: each vector is contiguous.
        self._rows = torch.empty(self.capacity, self.slices.size, dtype=H.dtype, device=H.device)
        self._images = torch.empty_like(self._rows)
        self._projected = np.zeros((self.capacity, self.capacity))
        self.size = self.restarts = 0

    @property
    def basis(self) -> torch.Tensor:
        """Q, shape (P, m)."""
        return self._rows[: self.size].T

    @property
    def products(self) -> torch.Tensor:
        """W = HQ, shape (P, m)."""
        return self._images[: self.size].T

    @property
    def room(self) -> int:
        """Directions that still fit."""
        return self.capacity - self.size

    @property
    def spans_all(self) -> bool:
        """Whether the basis spans the whole space."""
        return self.size == self.slices.dim

    def add(self, directions: torch.Tensor) -> None:
        """Widen the space by the columns (P, b), for b matvecs in one block; b at most ``room``.

        A column that lies in the space already gives way to a random direction: after a block the space is larger by b.
        """
        first, last = self.size, self.size + directions.shape[1]
        for i in range(directions.shape[1]):
            self._rows[first + i] = self._outside(directions[:, i], first + i)
        self._images[first:last] = self._matvecs.in_slices(self._rows[first:last].T).T
        products = self.slices.sum(self._rows[:last] @ self._images[first:last].T)
        T = products.cpu().to(torch.float64).numpy()
        self._projected[:last, first:last] = T
        self._projected[first:last, :first] = T[:first].T
        self._projected[first:last, first:last] = (T[first:] + T[first:].T) / 2
        self.size = last

    def ritz(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues of T, ascending (m,), and its eigenvectors (m, m)."""
        return eigh(self._projected[: self.size, : self.size])

    def lift(self, coefficients: np.ndarray) -> torch.Tensor:
        """Q s for the columns s (m, k): shape (P, k)."""
        return self._rows[: self.size].T @ self._as_tensor(coefficients)

    def residuals(self, values: np.ndarray, coefficients: np.ndarray) -> torch.Tensor:
        """``Ws − θQs`` of each θ (k,) and column s (m, k): shape (P, k)."""
        s = self._as_tensor(coefficients)
        return self._images[: self.size].T @ s - self._rows[: self.size].T @ (s * self._as_tensor(values))

    def residual_norms(self, values: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """Their lengths (k,)."""
        return self.slices.norms(self.residuals(values, coefficients)).cpu().numpy()

    def restart(self, coefficients: np.ndarray) -> None:
        """Shrink the basis to Q s for orthonormal columns s (m, k); the products follow, for no matvec."""
        kept = coefficients.shape[1]
        rotate(self._rows[: self.size], coefficients)
        rotate(self._images[: self.size], coefficients)
        T = coefficients.T @ self._projected[: self.size, : self.size] @ coefficients
        self._projected[:kept, :kept] = (T + T.T) / 2
        self.size, self.restarts = kept, self.restarts + 1

    def release(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Q and W as rows, m of them set and room for as many as this holds, given away: nothing is added after it."""
        rows, images = self._rows, self._images
        del self._rows, self._images
        return rows, images

    def image(self, index: int) -> torch.Tensor:
        """H q of the basis vector at ``index``: shape (P,)."""
        return self._images[index]

    def entry(self, i: int, j: int) -> float:
        """T at row i and column j."""
        return float(self._projected[i, j])

    def remainder(self, index: int) -> float:
        """Length of the part of ``H q`` outside the space, q the basis vector at ``index``."""
        w = self._images[index]
        rows = self._rows[: self.size]
        return self.slices.norm(w - self.slices.sum(rows @ w) @ rows)

    @property
    def dim(self) -> int:
        """P."""
        return self.slices.dim

    def _as_tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), dtype=self._rows.dtype, device=self._rows.device)

    def _outside(self, direction: torch.Tensor, count: int) -> torch.Tensor:
        """The part of a direction outside the first ``count`` basis vectors, at length 1."""
        rows, w, slices = self._rows[:count], direction, self.slices
        while True:
            length = slices.norm(w)
            if length > 0:
                w = w / length
                # Three sweeps, each scaled back: also a direction that lies in the space but for 1e-10 comes out clean.
                left = 1.0
                for _ in range(3):
                    w = w - slices.sum(rows @ w) @ rows
                    remains = slices.norm(w)
                    left *= remains
                    if left <= _NOTHING_LEFT * torch.finfo(w.dtype).eps:
                        break
                    w = w / remains
                else:
                    return w
            w = self._fresh(self._num_fresh)
            self._num_fresh += 1
