"""What one level of nodes says of a slice: loss and metrics on the grid, and what it knows of its own error."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from landscape.geometry.surfaces.lattice import Lattice

Named = dict[str, np.ndarray]


class LevelValues:
    """What one level says, as means over the data: of the loss, called ``""``, and of every metric.

    Attributes
    ----------
    grid : dict of str to (Y, X) array
        On the display grid.
    before : dict of str to (Y, X) array
        There from every second node alone, where that was asked for.
    at_nodes, predicted : dict of str to (n,) array
        At the nodes: of the network, and as the other half of a checkerboard of them predicts it.
    of_chunk : dict of str to (chunks, Y, X) array
        ``grid`` of each chunk alone, where that was asked for.
    """

    def __init__(self, names: Sequence[str], lattice: Lattice, *, chunks: int = 0) -> None:
        shape = tuple(len(axis) for axis in lattice.axes)
        self.grid, self.before = ({name: np.zeros(shape) for name in names} for _ in range(2))
        self.at_nodes, self.predicted = ({name: np.zeros(lattice.size) for name in names} for _ in range(2))
        self.of_chunk = {name: np.zeros((chunks, *shape)) for name in names} if chunks else {}

    @classmethod
    def weighted(cls, several: Sequence[tuple[float, LevelValues]]) -> LevelValues:
        """The mean of several, with their weights."""
        mean = copy.copy(several[0][1])
        mean.of_chunk = {}
        for of in ("grid", "before", "at_nodes", "predicted"):
            summed = {
                name: np.sum([w * getattr(one, of)[name] for w, one in several], axis=0) for name in getattr(mean, of)
            }
            setattr(mean, of, summed)
        return mean

    def settle(self, lattice: Lattice) -> None:
        """Where a point of the grid is a node, such as θ itself, the loss is that of the network, to the bit.

        On a line nothing is predicted: the level before says all that every second node could.
        """
        if lattice.checkerboard is None:
            self.predicted = self.at_nodes
        up, right = ((matrix == 1.0) for matrix in lattice.to_grid)
        for y, j in np.argwhere(up):
            for x, i in np.argwhere(right):
                if (node := lattice.index(j, i)) is not None:
                    self.grid[""][y, x] = self.at_nodes[""][node]
