"""The nodes of one level on a line or a plane, and how what is known at them is carried elsewhere.

Levels have 7, 13 and 25 nodes along each axis; on a plane there are halves of levels between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.polynomial.chebyshev import chebvander
from torch import Tensor

from landscape.geometry.surfaces.half import is_dark, light_from_dark
from landscape.geometry.surfaces.nodes import barycentric, graded_nodes, place, unplaced


def carried(filled: Tensor, matrices: tuple[np.ndarray, np.ndarray]) -> Iterator[Tensor]:
    """What :meth:`Lattice.filled` says, row by row of other points, (X, ·): matrices along y and x lead there."""
    up, right = (torch.as_tensor(matrix).to(filled) for matrix in matrices)
    for weights in up:
        yield right @ torch.tensordot(weights, filled, dims=1)


@dataclass(frozen=True)
class Lattice:
    """Nodes of one level on a line or a plane.

    Attributes
    ----------
    count : int
        Nodes along each axis.
    axes : pair of arrays
        The display grid along y and x, in units of the radius; along y a line has the zero alone.
    is_half : bool
        Whether it is every second node of a plane, :mod:`~landscape.geometry.surfaces.half`.
    """

    count: int
    axes: tuple[np.ndarray, np.ndarray]
    is_half: bool = False

    @property
    def counts(self) -> tuple[int, int]:
        """Nodes along y and x; of half a level, of all of it."""
        return tuple(self.count if len(axis) > 1 else 1 for axis in self.axes)  # type: ignore[return-value]

    @property
    def size(self) -> int:
        """Nodes in all."""
        return len(self.places)

    @property
    def finer(self) -> Lattice:
        """The level that has every node of this one, and one between any two; of half a level all of it."""
        return Lattice(self.count if self.is_half else 2 * self.count - 1, self.axes)

    @property
    def halfway(self) -> Lattice | None:
        """Half of the finer one, which has every node of this one, too; None on a line."""
        return None if 1 in self.counts or self.is_half else Lattice(2 * self.count - 1, self.axes, is_half=True)

    @cached_property
    def places(self) -> np.ndarray:
        """Which nodes of the level are its own, row by row."""
        whole = int(np.prod(self.counts))
        return np.flatnonzero(is_dark(self.count)) if self.is_half else np.arange(whole)

    @cached_property
    def keys(self) -> list[tuple[float, float]]:
        """(y, x) of every node in units of the radius, row by row; equal floats where levels share a node."""
        up, right = (place(graded_nodes(count)).tolist() for count in self.counts)
        every = [(y, x) for y in up for x in right]
        return [every[node] for node in self.places]

    def index(self, j: int, i: int) -> int | None:
        """Which of its nodes is that in row j and column i of the level; None where it is not its own."""
        found = int(np.searchsorted(self.places, j * self.counts[1] + i))
        return found if found < self.size and self.places[found] == j * self.counts[1] + i else None

    def filled(self, outputs: Tensor) -> Tensor:
        """From its nodes, (n, …), to all of the level, (Y, X, ·): what half of them says of the others."""
        flat = outputs.reshape(self.size, -1)
        if self.is_half:
            dark = torch.as_tensor(is_dark(self.count), device=flat.device)
            every = flat.new_empty(len(dark), flat.shape[1])
            every[dark] = flat
            every[~dark] = torch.as_tensor(light_from_dark(self.count)).to(flat) @ flat
            flat = every
        return flat.reshape(*self.counts, -1)

    @cached_property
    def to_grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Along y and x, from nodes to the display grid."""
        pairs = zip(self.counts, self.axes, strict=True)
        return tuple(barycentric(count, unplaced(axis)) for count, axis in pairs)  # type: ignore[return-value]

    @cached_property
    def of_every_second(self) -> tuple[np.ndarray, np.ndarray]:
        """The same from every second node alone: what is known without this level."""
        found = []
        for count, axis in zip(self.counts, self.axes, strict=True):
            matrix = np.zeros((len(axis), count))
            matrix[:, ::2] = barycentric((count + 1) // 2, unplaced(axis))
            found.append(matrix)
        return tuple(found)  # type: ignore[return-value]

    @cached_property
    def checkerboard(self) -> np.ndarray | None:
        """(size, size): each node predicted from those of the other colour of a checkerboard; None on a line.

        By least squares of total degree 5 (n = 7), 10 (13) or 20 (25). Of half a level from the level before, whose
        own nodes say nothing.
        """
        if 1 in self.counts:
            return None
        if self.is_half:
            return self._from_before()
        up, right = (graded_nodes(count) for count in self.counts)
        degree = 5 * self.count // 6
        terms = [(j, i) for j in range(degree + 1) for i in range(degree + 1 - j)]
        rows, columns = chebvander(up, degree), chebvander(right, degree)
        basis = np.stack([np.outer(rows[:, j], columns[:, i]).ravel() for j, i in terms], axis=1)
        dark = is_dark(self.count)
        found = np.zeros((self.size, self.size))
        for seen in (dark, ~dark):
            found[np.ix_(~seen, seen)] = basis[~seen] @ np.linalg.pinv(basis[seen])
        return found

    def _from_before(self) -> np.ndarray:
        """(size, size), of half a level: its nodes as every second one along each axis predicts them."""
        half = np.zeros((self.count, self.count))
        half[:, ::2] = barycentric((self.count + 1) // 2, graded_nodes(self.count))
        return np.asarray(np.kron(half, half)[np.ix_(self.places, self.places)])
