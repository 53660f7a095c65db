"""The plane that positions of trainings span best."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from landscape.checks import check_choice, check_count, check_seed
from landscape.errors import UsageError
from landscape.geometry.planes.positions import runs_of, vector_of
from landscape.geometry.planes.random_walk import walk_shares
from landscape.results import PcaPlane

#: Numbers that are held in float64 at a time.
_AT_ONCE = 1 << 22
#: Times the number of positions and the rounding of float64: what is below this share of the variance is rounding, and
#: no second direction.
_ROUNDINGS = 16.0
_ORIGINS = ("mean", "first", "last")


def pca_plane(runs: Any, *, origin: Any = "mean", num_walks: int = 100, seed: int = 0) -> PcaPlane:
    r"""The two principal components of the positions of one or several trainings, about their mean.

    ``plane, coordinates, explained = pca_plane(run)``. :func:`evaluate_plane` takes the plane as it is, and
    :func:`evaluate_paths` draws the paths on it.

    A path that knows nothing of the loss has most of its variance in two dimensions, too: on infinitely many equal
    steps at random, 61 % and 15 %. So the shares stand beside those of ``num_walks`` walks with the steps of these runs
    (:func:`~landscape.geometry.planes.random_walk.walk_shares`); what exceeds them is the training's own.

    Parameters
    ----------
    runs : CheckpointDir, (T, P) array or sequence of vectors (P,); a sequence of these, or a mapping from name to one
        The positions of each run, in order. Checkpoints and objectives stand for their θ.
    origin : {"mean", "first", "last"}, or a position
        The point of the plane at x = y = 0: the mean of all positions, the first or last of the first run, or any θ.
        Shares are about the mean whatever it is.
    num_walks, seed : int
        Of the simulated walks.

    Returns
    -------
    PcaPlane
        ``coordinates`` (S, 2), ``explained`` (2,), ``outside`` (S,): how far each position is from the plane. Exact up
        to rounding; in float64, whatever the positions are. Components point from the beginning of the first run to its
        end, or to the farthest position. Where positions lie on a line the second is any direction orthogonal to it.

    Raises
    ------
    UsageError
        For fewer than two positions, positions that never move or are not finite, or of one parameter.

    Notes
    -----
    No evaluation. From the inner products of the S positions, so that it costs S²·P operations and, beside the
    positions, four vectors of memory.

    References
    ----------
    Li, Xu, Taylor, Studer & Goldstein (2018), Visualizing the loss landscape of neural nets, NeurIPS, section 7, who
    take differences to the last position. Antognini & Sohl-Dickstein (2018), PCA of high dimensional random walks with
    comparison to neural network training, NeurIPS, for the mean and the walks.

    Examples
    --------
    >>> turn = np.linspace(0, 2 * np.pi, 9)[:-1]
    >>> ellipse = np.stack([4 * np.cos(turn), 2 * np.sin(turn), 0 * turn], axis=1)
    >>> plane, coordinates, explained = pca_plane(ellipse)
    >>> explained.round(3), float(plane.outside.max()) < 1e-12
    (array([0.8, 0.2]), True)
    """
    num_walks, seed = check_count("num_walks", num_walks), check_seed(seed)
    named = runs_of(runs)
    theta = next(iter(named.values())) if len(named) == 1 else np.concatenate(list(named.values()))
    _check_they_span(theta)
    lengths = np.array([len(rows) for rows in named.values()])
    mean, gram = _inner_products(theta)
    values, left = np.linalg.eigh(gram)
    total = float(np.trace(gram))
    squares = np.maximum(values[::-1][:2], 0.0)
    least = _ROUNDINGS * len(theta) * np.finfo(float).eps * total
    vectors = _components(theta, mean, left[:, ::-1][:, : 2 if squares[1] > least else 1])
    vectors *= _signs(theta, mean, vectors, int(lengths[0]))
    name, start = _origin(origin, theta, mean, int(lengths[0]))
    coordinates = _projected(theta, start, vectors)
    steps, starts = _steps(theta, lengths)
    return PcaPlane(
        origin=start, vectors=vectors, coordinates=coordinates, outside=_outside(theta, start, vectors, coordinates),
        explained=np.minimum(squares / total, 1.0), names=tuple(named), lengths=lengths,
        walks=walk_shares(steps, starts, theta.shape[1], num_walks=num_walks, seed=seed), origin_name=name, seed=seed,
    )  # fmt: skip


def _check_they_span(theta: np.ndarray) -> None:
    if theta.shape[1] == 1:
        raise UsageError("one parameter makes a line, not a plane; use evaluate_line")
    if len(theta) == 1:
        raise UsageError("one position spans no plane; give the positions of several steps")
    if not (theta != theta[0]).any():
        raise UsageError("the positions never move; give those of more than one step")


def _blocks(theta: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Columns of the positions in float64, few at a time."""
    width = max(1, _AT_ONCE // len(theta))
    for begin in range(0, theta.shape[1], width):
        some = slice(begin, begin + width)
        yield some, theta[:, some].astype(np.float64)


def _inner_products(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean (P,), and the inner products (S, S) of what positions differ from it."""
    mean, gram = np.empty(theta.shape[1]), np.zeros((len(theta),) * 2)
    for some, block in _blocks(theta):
        mean[some] = block.mean(axis=0)
        block -= mean[some]
        gram += block @ block.T
    return mean, gram


def _components(theta: np.ndarray, mean: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Orthonormal (P, 2) from one or two left singular vectors (S, K)."""
    found = np.empty((theta.shape[1], 2))
    for some, block in _blocks(theta):
        found[some, : left.shape[1]] = (block - mean[some]).T @ left
    found[:, 0] /= np.linalg.norm(found[:, 0])
    if left.shape[1] == 1:  # a line: the axis to which it is the most orthogonal, so that the same comes out each time
        found[:, 1] = 0.0
        found[int(np.abs(found[:, 0]).argmin()), 1] = 1.0
    for _ in range(2):
        found[:, 1] -= found[:, 0] * (found[:, 0] @ found[:, 1])
        found[:, 1] /= np.linalg.norm(found[:, 1])
    return found


def _signs(theta: np.ndarray, mean: np.ndarray, vectors: np.ndarray, length: int) -> np.ndarray:
    """+1 or -1 for each component."""
    about = _projected(theta, mean, vectors)
    reach = np.abs(about).max(axis=0)
    towards_end = about[length - 1] - about[0]
    farthest = about[np.abs(about).argmax(axis=0), [0, 1]]
    sign = np.where(np.abs(towards_end) > 0.1 * reach, towards_end, farthest)
    return np.where(sign < 0, -1.0, 1.0)


def _origin(origin: Any, theta: np.ndarray, mean: np.ndarray, length: int) -> tuple[str, np.ndarray]:
    if isinstance(origin, str):
        check_choice("origin", origin, _ORIGINS)
        rows = {"first": 0, "last": length - 1}
        place = mean if origin == "mean" else theta[rows[origin]].astype(np.float64)
        return {"mean": "mean", "first": "first position", "last": "last position"}[origin], place
    place = vector_of(origin).astype(np.float64)
    if place.shape != mean.shape:
        raise UsageError(f"origin has shape {place.shape}; these positions are ({len(mean)},)")
    return "a position that was given", place


def _projected(theta: np.ndarray, origin: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    found = np.zeros((len(theta), 2))
    for some, block in _blocks(theta):
        found += (block - origin[some]) @ vectors[some]
    return found


def _outside(theta: np.ndarray, origin: np.ndarray, vectors: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """From what is left of each position: the difference of two squares would lose what is small."""
    squares = np.zeros(len(theta))
    for some, block in _blocks(theta):
        squares += ((block - origin[some] - coordinates @ vectors[some].T) ** 2).sum(axis=1)
    return np.sqrt(squares)


def _steps(theta: np.ndarray, lengths: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Distances from position to position of each run, and of the later beginnings from the first."""
    begins = np.concatenate([[0], np.cumsum(lengths)])
    moves, starts = np.zeros(len(theta) - 1), np.zeros(len(lengths) - 1)
    for _, block in _blocks(theta):
        moves += (np.diff(block, axis=0) ** 2).sum(axis=1)
        starts += ((block[begins[1:-1]] - block[0]) ** 2).sum(axis=1)
    steps = np.sqrt(moves)
    return [steps[a : b - 1] for a, b in pairwise(begins)], np.sqrt(starts)
