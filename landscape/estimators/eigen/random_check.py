"""A random vector beside a guess: is there an eigenvalue that the guess does not hold?

Where the guess lies in an invariant subspace that is not the wanted one, its residuals vanish and nothing shows it. So
once the guess has led to converged pairs, a Gaussian vector makes Lanczos steps with ``A = (I − QQᵀ)H(I − QQᵀ)``, Q the
space that the guess has led to. By interlacing H has at most as many eigenvalues beyond an edge as Q has dimensions,
unless A has one there too. For a unit eigenvector u of A the coefficients of the steps give polynomials with
``uᵀv_{j+1} = p_j(λ) uᵀv_1``, as in :mod:`landscape.estimators.eigen.upper_bound`: an eigenvalue λ of A at the edge or
beyond would have shown but for the chance that the component of the random vector along u is below ``1/√(Σ p_j(λ)²)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import special

from landscape.estimators.eigen.convergence import Request
from landscape.estimators.eigen.upper_bound import log_christoffel
from landscape.estimators.krylov.search_space import SearchSpace


@dataclass
class Watch:
    """A random Krylov chain inside a search space.

    Attributes
    ----------
    chance : float
        The watch ends when an eigenvalue beyond the wanted ones would have stayed hidden with at most this chance.
    steps : int
        Or after this many steps: where another eigenvalue is nearly as large as those wanted the chance falls slowly.
    """

    chance: float
    steps: int
    #: Where in the basis the last vector of the chain stands; None where there is no chain.
    last: int | None = None
    alphas: list[float] = field(default_factory=list)
    betas: list[float] = field(default_factory=list)
    taken: int = 0

    def next_direction(self, space: SearchSpace, draw: Callable[[], torch.Tensor]) -> torch.Tensor:
        """The next vector of the chain (P,), not yet orthogonal to the space; the first one from ``draw``."""
        return draw() if self.last is None else space.image(self.last)

    def note(self, space: SearchSpace) -> None:
        """Take up the coefficients of the chain's new vector, the last of the basis."""
        index = space.size - 1
        if self.last is not None:
            self.betas.append(abs(space.entry(self.last, index)))
        self.alphas.append(space.entry(index, index))
        self.last, self.taken = index, self.taken + 1

    def stop(self) -> None:
        """Forget the chain: the space it was orthogonal to has changed."""
        self.last, self.alphas, self.betas = None, [], []

    def is_over(self, space: SearchSpace, request: Request, values: np.ndarray) -> bool:
        """Whether the wanted values (K,) may be believed to have none hidden beyond them."""
        if self.taken >= self.steps or space.spans_all:
            return True
        if self.last is None:
            return False
        betas = np.array([*self.betas, space.remainder(self.last)])
        alphas = np.array(self.alphas)
        dim = space.dim - (space.size - len(alphas))
        return all(
            _chance_unseen(edge, sign * alphas, betas, dim) <= self.chance
            for key, edge in request.edges(values)
            for sign in ((1.0, -1.0) if key is np.abs else (float(key(np.array(1.0))),))
        )


def _chance_unseen(edge: float, alphas: np.ndarray, betas: np.ndarray, dim: int) -> float:
    """Chance that a direction of eigenvalue ``edge`` is as weak in the start of the chain as it must be."""
    scale = float(max(np.abs(alphas).max(), betas.max(), abs(edge))) or 1.0
    b = np.maximum(betas / scale, np.finfo(float).tiny)
    share = math.exp(-log_christoffel(edge / scale, alphas / scale, b))
    return float(special.betainc(0.5, (dim - 1) / 2, share)) if dim > 1 and share < 1 else 1.0
