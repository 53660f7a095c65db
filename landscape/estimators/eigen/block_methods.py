"""Eigenpairs from a block of vectors: from a guess, from random vectors, and by LOBPCG."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from landscape.errors import UsageError
from landscape.estimators.eigen.convergence import Pairs, Request
from landscape.estimators.eigen.davidson import Schedule, davidson
from landscape.estimators.eigen.random_check import Watch
from landscape.estimators.krylov.search_space import SearchSpace
from landscape.estimators.matvecs import BLOCK_COLUMNS, Matvecs
from landscape.estimators.probes import probe
from landscape.estimators.vectors import Slices
from landscape.operators.base import LinearOperator
from landscape.results import Eigenpairs

#: Chance at which an eigenvalue that a guess does not hold may stay unseen, and the most steps spent on it.
UNSEEN, MOST_STEPS = 0.05, 12


def as_guess(H: LinearOperator, start: Any, slices: Slices) -> torch.Tensor | None:
    """The columns of ``start``, each at length 1: (P, K), in slices, or None where nothing was given.

    Raises
    ------
    UsageError
        For another shape, a column that is zero or not finite, or eigenpairs stored without vectors.
    """
    if isinstance(start, Eigenpairs):
        if len(start) and not start.vectors.shape[1]:
            raise UsageError("start holds eigenpairs stored without vectors; pass a record that has them, or leave it")
        start = start.vectors
    if start is None:
        return None
    if not isinstance(start, (torch.Tensor, np.ndarray)) or start.ndim not in (1, 2) or start.shape[0] != H.dim:
        got = tuple(start.shape) if hasattr(start, "shape") else type(start).__name__
        raise UsageError(
            f"start is {got}; expected Eigenpairs, or a tensor or array of shape ({H.dim},) or ({H.dim}, K)"
        )
    own = start[slices.place]
    columns = own.detach() if isinstance(own, torch.Tensor) else torch.from_numpy(np.array(own))
    columns = (columns[:, None] if columns.ndim == 1 else columns).to(H.device, H.dtype)
    if columns.shape[1] == 0:
        return None
    lengths = [slices.norm(columns[:, i]) for i in range(columns.shape[1])]
    if not all(math.isfinite(length) and length > 0 for length in lengths):
        raise UsageError("start holds a column that is zero or not finite; leave it out")
    return columns / torch.tensor(lengths, dtype=H.dtype, device=H.device)


def random_vectors(matvecs: Matvecs, seed: int) -> Callable[[int], torch.Tensor]:
    """``fresh(i)``: the i-th Gaussian vector (P,) of a seed, in slices."""
    H, slices = matvecs.operator, matvecs.slices

    def fresh(i: int) -> torch.Tensor:
        return slices.own(probe(i, H.dim, seed=seed, kind="gaussian", dtype=H.dtype, device=H.device))

    return fresh


def from_guess(matvecs: Matvecs, request: Request, guess: torch.Tensor, *, max_basis: int) -> tuple[Pairs, SearchSpace]:
    """From vectors (P, K) that are believed to be near: they are multiplied first, and then only what they lack.

    Then a random vector makes Krylov steps, see :mod:`landscape.estimators.eigen.random_check`.
    """
    # With more columns than the basis can hold, the first ones count.
    start = guess[:, : min(guess.shape[1], max(max_basis - request.count, 1))]
    schedule = Schedule(max_basis=max_basis, block=min(request.count, BLOCK_COLUMNS), watch=Watch(UNSEEN, MOST_STEPS))
    return davidson(matvecs, request, start=start, schedule=schedule, fresh=random_vectors(matvecs, request.seed))


def block_lanczos(matvecs: Matvecs, request: Request, *, block: int, max_basis: int) -> Pairs:
    """From ``block`` random vectors: eigenvalues of multiplicity up to ``block`` come with all their copies."""
    H = matvecs.operator
    block, fresh = min(block, H.dim), random_vectors(matvecs, request.seed)
    start = torch.stack([fresh(i) for i in range(block)], dim=1)
    schedule = Schedule(max_basis=max_basis, block=block, patience=max(4, 2 * block))
    return davidson(matvecs, request, start=start, schedule=schedule, fresh=lambda i: fresh(block + i))[0]


def lobpcg(matvecs: Matvecs, request: Request, guess: torch.Tensor | None) -> Pairs:
    """Locally optimal block iteration: three blocks of vectors and their products, whatever it takes.

    The block is larger than the number of pairs by a quarter, at least 2: convergence goes by the distance to the first
    eigenvalue outside the block.
    """
    H = matvecs.operator
    fresh = random_vectors(matvecs, request.seed)
    block = min(request.count + max(2, -(-request.count // 4)), H.dim)
    columns = [] if guess is None else list(guess.T[:block])
    columns += [fresh(i) for i in range(block - len(columns))]
    start = torch.stack(columns, dim=1)
    schedule = Schedule(max_basis=min(3 * block, H.dim), block=block, patience=2 * block, local=True)
    return davidson(matvecs, request, start=start, schedule=schedule, fresh=lambda i: fresh(block + i))[0]
