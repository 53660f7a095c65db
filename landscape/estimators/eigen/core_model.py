r"""What an operator nearby says about the one in question: corrections, values it misses, and how far both are apart.

For orthonormal Q with :math:`W = HQ` and Ritz pairs (θ, u) with residual r the correction of Jacobi and Davidson solves

.. math:: (I - QQᵀ)(H - θI)(I - QQᵀ)\,t = -r, \qquad t ⟂ Q.

Here an operator C that costs little stands for H, on a space K on which its products are known. Its error
:math:`H - C` matters outside of Q only: each round shrinks residuals by about :math:`‖H - C‖` there over the gap.
The residuals themselves, and what else Q holds that K does not, are taken into K first, for a product with C each.

Sleijpen & van der Vorst (1996), SIAM J. Matrix Anal. Appl. 17(2); Notay (2002), Numer. Linear Algebra Appl. 9.
"""

from __future__ import annotations

import numpy as np
import torch

from landscape.estimators.eigen.convergence import Request
from landscape.estimators.krylov.projection import eigh, rotate
from landscape.estimators.krylov.search_space import SearchSpace
from landscape.estimators.matvecs import Matvecs

#: Of the largest value: no denominator of a correction is smaller.
_LEAST_DISTANCE = 1e-3
#: A direction with less than this share outside of K is in it.
_INSIDE = 1e-3
#: A round that leaves more than this of each residual shows that C is not near.
_HELPS = 0.5


class CoreModel:
    """Products with C on a growing space K.

    Parameters
    ----------
    matvecs : Matvecs
        Of C. All vectors here, those given and those returned, are in its slices.
    rows, images : (M, P) tensors
        Orthonormal, and C times them; taken over, and written to where there is room.
    size : int
        How many of these are set: m.
    capacity : int
        Most columns: with more the space is cut down to the Ritz vectors of largest ``|θ|``.
    depth : int
        Steps with C from each residual beside the first: a correction is made of what K holds of their Krylov spaces.
    """

    def __init__(
        self, matvecs: Matvecs, rows: torch.Tensor, images: torch.Tensor, *, size: int, capacity: int, depth: int = 0
    ) -> None:
        self.matvecs, self._capacity, self._depth = matvecs, max(capacity, 2), depth
        self.slices = matvecs.slices
        # Rows, not columns: each vector is contiguous.
        self._held, self._held_images, self._size = rows, images, size
        self._last: dict[int, float] = {}
        self._round = 0

    @property
    def _rows(self) -> torch.Tensor:
        return self._held[: self._size]

    @property
    def _images(self) -> torch.Tensor:
        return self._held_images[: self._size]

    @property
    def projected(self) -> np.ndarray:
        """``KᵀCK``."""
        T = _small(self.slices.sum(self._rows @ self._images.T))
        symmetric: np.ndarray = (T + T.T) / 2
        return symmetric

    def cover(self, V: torch.Tensor) -> None:
        """Take into K what the columns (P, b) have outside of it, as far as matvecs are left."""
        outside, sizes, slices = V, self.slices.norms(V).cpu(), self.slices
        for _ in range(3):
            outside = outside - self._rows.T @ slices.sum(self._rows @ outside)
        far = slices.norms(outside).cpu() > _INSIDE * sizes
        number = min(int(far.sum()), self.matvecs.left, slices.dim - self._size)
        if number == 0:
            return None
        if self._size + number > self._capacity:
            # At least what there is to be taken in must fit, or it would be shrunk without end.
            self._capacity = max(self._capacity, 2 * number)
            self._shrink(max(self._capacity // 2, 1))
            return self.cover(V)
        new = slices.qr(outside[:, far][:, :number])[0]
        new = new - self._rows.T @ slices.sum(self._rows @ new)
        new = slices.qr(new)[0]
        self._make_room(number)
        first, self._size = self._size, self._size + number
        self._rows[first:], self._images[first:] = new.T, self.matvecs.in_slices(new).T
        return None

    def _make_room(self, number: int) -> None:
        """Storage for so many rows more; that of the iteration before it nearly always does."""
        missing = self._size + number - len(self._held)
        if missing > 0:
            more = self._held.new_empty(max(self._capacity - len(self._held), missing), self._held.shape[1])
            self._held, self._held_images = torch.cat([self._held, more]), torch.cat([self._held_images, more])

    def image(self, v: torch.Tensor) -> torch.Tensor:
        """C v for v (P,), as far as K holds v."""
        return self.slices.sum(self._rows @ v) @ self._images

    def best(self, request: Request) -> torch.Tensor:
        """The wanted Ritz vectors of K (P, count)."""
        values, vectors = eigh(self.projected)
        return self._rows.T @ _like(vectors[:, request.preferred(values)[: request.count]], self._rows)

    def improve(self, space: SearchSpace, theta: np.ndarray, R: torch.Tensor) -> torch.Tensor:
        """The corrections (P, b) of Ritz pairs with residuals R; where a round has shown that C is far off, R."""
        lengths = self.slices.norms(R).cpu().numpy()
        helped = self._helped(float(lengths.max(initial=0.0)))
        scale = torch.as_tensor(np.where(lengths > 0, lengths, 1.0), dtype=R.dtype, device=R.device)
        if not helped:
            return R
        self.cover(space.basis)
        self._cover_krylov(R / scale)
        directions = self._solve(space.basis, theta, R)
        return torch.where(self.slices.norms(directions) > 0, directions, R)

    def _cover_krylov(self, V: torch.Tensor) -> None:
        """Take in the columns (P, b) and what C makes of them, step by step."""
        self.cover(V)
        for _ in range(self._depth):
            V = self._images.T @ self.slices.sum(self._rows @ V)
            sizes = self.slices.norms(V).to(V)
            V = V / torch.where(sizes > 0, sizes, torch.ones_like(sizes))
            self.cover(V)

    def _solve(self, Q: torch.Tensor, theta: np.ndarray, R: torch.Tensor) -> torch.Tensor:
        """``−(C − θᵢ)⁻¹ rᵢ`` for the residuals rᵢ (P, b), on what K holds outside of Q."""
        N, values, vectors = self._rest(Q)
        if not len(values):
            return R
        largest = max(float(np.abs(values).max()), float(np.abs(theta).max())) or 1.0
        along = vectors.T @ (N.T @ _small(self.slices.sum(self._rows @ R)))
        distances = values[:, None] - theta
        least = _LEAST_DISTANCE * largest
        distances = np.where(np.abs(distances) < least, np.where(distances < 0, -least, least), distances)
        directions: torch.Tensor = self._rows.T @ _like(N @ (vectors @ (-along / distances)), R)
        return directions

    def _helped(self, largest: float) -> bool:
        """Whether the corrections before this have shrunk the residuals; each second round is given another chance."""
        before, self._round = self._last.get(self._round), self._round + 1
        self._last[self._round] = largest
        return before is None or largest <= _HELPS * before or self._round % 2 == 0

    def beyond(self, space: SearchSpace, request: Request, values: np.ndarray) -> torch.Tensor:
        """Directions (P, b) outside the space in which C has values beyond the wanted ones: those that are missed."""
        self.cover(space.basis)
        N, inside, vectors = self._rest(space.basis)
        found = np.zeros(len(inside), dtype=bool)
        for key, edge in request.edges(values):
            found |= key(inside) > edge
        return self._rows.T @ _like(N @ vectors[:, found], self._rows)

    def largest_outside(self, Q: torch.Tensor) -> float:
        """The largest value of C on what K holds outside of Q; 0 where it holds nothing more."""
        values = self._rest(Q)[1]
        return float(values[-1]) if len(values) else 0.0

    def _rest(self, Q: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coordinates N (m, l) of what K holds outside of Q, and the eigenpairs (l,), (l, l) of C there."""
        X = _small(self.slices.sum(self._rows @ Q))
        U, sizes, _ = np.linalg.svd(X, full_matrices=True)
        N = U[:, int((sizes > 0.5).sum()) :]
        if not N.shape[1]:
            return N, np.zeros(0), np.zeros((0, 0))
        values, vectors = eigh(N.T @ self.projected @ N)
        return N, values, vectors

    def _shrink(self, kept: int) -> None:
        values, vectors = eigh(self.projected)
        chosen = vectors[:, np.argsort(-np.abs(values), kind="stable")[:kept]]
        rotate(self._rows, chosen)
        rotate(self._images, chosen)
        self._size = chosen.shape[1]


def _small(tensor: torch.Tensor) -> np.ndarray:
    return tensor.cpu().to(torch.float64).numpy()


def _like(array: np.ndarray, tensor: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(array), dtype=tensor.dtype, device=tensor.device)
