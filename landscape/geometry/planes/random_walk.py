"""What principal components say of a path that knows nothing: random walks with the same steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse.linalg import svds

#: Positions from which on two singular values are had by iteration.
_MANY = 150


def walk_shares(steps: Sequence[np.ndarray], starts: np.ndarray, dim: int, *, num_walks: int, seed: int) -> np.ndarray:
    r"""Shares of the variance on the first two principal components of random walks, ``(num_walks, 2)``.

    Each walk has the saved positions of the runs, the distance from each to the next as the run has it, and directions
    that are uniform on the sphere of ``dim`` dimensions, independent of each other. Runs begin as far from the first
    one's beginning as they do.

    Parameters
    ----------
    steps : sequence of (T - 1,) arrays
        Of each run.
    starts : (L - 1,) array
        Distances of the later runs' beginnings from that of the first.

    Notes
    -----
    No vector of ``dim`` numbers is drawn: M Gaussian rows have the inner products of the rows of Bartlett's M × M
    triangular factor, whose diagonal is :math:`\chi` with dim, dim − 1, … degrees of freedom. An infinite walk of
    equal steps has the shares :math:`6 / (\pi k)^2`, 61 % and 15 % (Antognini & Sohl-Dickstein 2018).

    References
    ----------
    Antognini & Sohl-Dickstein (2018), PCA of high dimensional random walks with comparison to neural network training,
    NeurIPS. Bartlett (1933), Proc. R. Soc. Edinburgh 53, 260–283, for the factor.
    """
    rng = np.random.default_rng(seed)
    return np.array([_shares(_walk(steps, starts, dim, rng)) for _ in range(num_walks)])


def _walk(steps: Sequence[np.ndarray], starts: np.ndarray, dim: int, rng: np.random.Generator) -> np.ndarray:
    """Positions (S, m) with the inner products of positions in ``dim`` dimensions."""
    lengths = np.concatenate([starts, *steps])
    moves = lengths[:, None] * _directions(len(lengths), dim, rng)
    places, begin = [], len(starts)
    for index, own in enumerate(steps):
        first = moves[index - 1] if index else np.zeros(moves.shape[1])
        way = np.concatenate([first[None], moves[begin : begin + len(own)]])
        places.append(np.cumsum(way, axis=0))
        begin += len(own)
    return np.concatenate(places)


def _directions(count: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` unit vectors whose inner products are those of uniform ones in ``dim`` dimensions."""
    if dim <= count:
        rows = rng.standard_normal((count, dim))
    else:
        rows = np.tril(rng.standard_normal((count, count)), -1)
        np.fill_diagonal(rows, np.sqrt(rng.chisquare(dim - np.arange(count))))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0))


def _shares(positions: np.ndarray) -> np.ndarray:
    centred = positions - positions.mean(axis=0)
    total = float((centred**2).sum())
    if total == 0:
        return np.zeros(2)
    if min(centred.shape) > _MANY:
        start = np.random.default_rng(0).standard_normal(min(centred.shape))
        values: np.ndarray = np.asarray(svds(centred, k=2, return_singular_vectors=False, v0=start))
    else:
        gram = centred @ centred.T if centred.shape[0] <= centred.shape[1] else centred.T @ centred
        values = np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[-2:], 0.0))
    squares = np.sort(np.concatenate([np.zeros(2), values**2]))[:-3:-1]
    return np.asarray(squares / total)
