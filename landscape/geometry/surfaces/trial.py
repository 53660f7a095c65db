"""How far a level is from the next, seen on a few of the examples at a fraction of the next level's cost."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from scipy import special
from torch import Tensor

from landscape.geometry.metrics import Function, Pass
from landscape.geometry.surfaces.drawn import Drawn
from landscape.geometry.surfaces.memory import Memory
from landscape.geometry.surfaces.network import Key, Moved, NotInterpolated
from landscape.geometry.surfaces.nodes import Lattice, graded_nodes, place
from landscape.geometry.surfaces.outputs import Outputs
from landscape.objective import Objective

#: Examples that are tried, and at most which share of all; fewer than ``_LEAST`` say too little.
_EXAMPLES, _SHARE, _LEAST = 256, 0.25, 64
#: Into which these are divided: the spread of their means says how far that of all may be.
_GROUPS = 16
#: By how much the error exceeds the distance to the next level, at most.
_CAUTION = 1.5
_LEVEL = 0.95
#: Of n examples none is seen to be what less than a share of 3/n are, one time in twenty.
_UNSEEN = 3.0
_CENTRE = (0.0, 0.0)


class Trial:
    """Some of the examples, drawn once and for all, in groups.

    Parameters
    ----------
    objective : Objective
        Whose examples can be picked.
    moved : callable
        θ at (y, x), in units of the radius.
    shelf : Memory, optional
        As of :class:`Outputs`.

    Attributes
    ----------
    rows : (n,) array
        Which they are.

    Raises
    ------
    NotInterpolated
        Where there are too few examples, or outputs do not have one row for each.
    """

    def __init__(self, objective: Objective, moved: Moved, *, shelf: Memory | None = None) -> None:
        count = min(_EXAMPLES, int(_SHARE * objective.num_examples)) // _GROUPS * _GROUPS
        if not objective.can_pick or count < _LEAST:
            raise NotInterpolated("too few examples to try some of them")
        self.rows = np.random.default_rng(0).permutation(objective.num_examples)[:count]
        self._some, self._moved = objective.subset(self.rows), moved
        self._groups = self._some.rechunked(count // _GROUPS)
        if len(self._groups.parts().shares) != _GROUPS:
            raise NotInterpolated("some examples have no weight")
        self.share = count / objective.num_examples
        self._shelf = (shelf or Memory()).inside("tried")

    @cached_property
    def _all_of_them(self) -> Outputs:
        return Outputs(Pass(self._some, {}, self._some.parts().shares), self._moved, most=1, shelf=self._shelf)

    def _in_groups(self, of_centre: Tensor, functions: dict[str, Function]) -> Outputs:
        """To read losses and metrics by groups: the network is not evaluated for it."""
        one = Pass(self._groups, functions, self._groups.parts().shares)
        return Outputs(one, self._moved, most=1, known={_CENTRE: (of_centre, np.nan)})

    @property
    def evaluations(self) -> float:
        """Of the network, in passes over all the data."""
        return self.share * self._all_of_them.evaluations if "_all_of_them" in vars(self) else 0.0

    def bounds(
        self, own: Outputs | Drawn, lattice: Lattice, functions: dict[str, Function]
    ) -> dict[str, tuple[float, float]]:
        """The largest error, and that of log₁₀, of loss and metrics at the nodes of the next level, by their names.

        At each node the mean distance over the groups, times 1.5 for what the next level itself is off and for what
        lies between its nodes, and half of the 95 % interval of that mean for the examples that were not tried. Of a
        metric, which may jump where an example changes its class, 3/n of its range more: so many may do that and none
        of the n that were tried.
        """
        finer = Lattice(2 * lattice.count - 1, lattice.axes)
        there = tuple(place(graded_nodes(count)) for count in finer.counts)
        if isinstance(own, Outputs) and own.is_led:
            own.bring(finer.keys, first=len(self.rows))
        else:
            self._all_of_them.bring([key for key in finer.keys if own.held(key) is None])
        known = torch.stack([self._at(own, key) for key in lattice.keys])
        true = torch.stack([self._at(own, key) for key in finer.keys])
        carried = _carried(known, Lattice(lattice.count, there))  # type: ignore[arg-type]
        size = len(self.rows) // _GROUPS
        groups = self._in_groups(self._at(own, _CENTRE), functions)
        pieces = [slice(index * size, (index + 1) * size) for index in range(_GROUPS)]
        with groups.borrowed():
            of_true = [groups.values_of(true[:, rows], index) for index, rows in enumerate(pieces)]
            of_carried = [groups.values_of(carried[:, rows], index) for index, rows in enumerate(pieces)]
        found = dict[str, tuple[float, float]]()
        for name in of_true[0]:
            values, others = (np.stack([one[name] for one in of]) for of in (of_true, of_carried))
            found[name] = self._bound(name, values, others, np.array(groups.shares))
        return found

    def _bound(self, name: str, true: np.ndarray, carried: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
        """From values of the groups at the nodes, (G, n)."""
        apart = carried - true
        mean, value = weights @ apart, weights @ true
        squares = (weights**2) @ (apart - mean) ** 2 * _GROUPS / (_GROUPS - 1)
        reach = float(special.stdtrit(_GROUPS - 1, (1 + _LEVEL) / 2)) * np.sqrt((1 - self.share) * squares)
        error = _CAUTION * np.abs(mean) + reach
        if name:
            error = error + (1 - self.share) * _UNSEEN / len(self.rows) * np.ptp(true)
        with np.errstate(all="ignore"):
            return float(error.max()), float(np.log10(1 + error / np.abs(value)).max())

    def _at(self, own: Outputs | Drawn, key: Key) -> Tensor:
        """Outputs of the examples at a node: from those of all where they are held, or will be."""
        if isinstance(own, Outputs) and own.is_led:
            return own.of_first(len(self.rows), key)
        held = own.held(key)
        found = self._all_of_them.at(key) if held is None else held[torch.as_tensor(self.rows).to(held.device)]
        if len(found) != len(self.rows):
            raise NotInterpolated("outputs do not have one row for each example")
        return found


def _carried(outputs: Tensor, lattice: Lattice) -> Tensor:
    """Outputs at nodes, (n, N, …), carried to the points of the axes, (Y·X, N, …)."""
    up, right = (torch.as_tensor(m).to(outputs.device, outputs.dtype) for m in lattice.to_grid)
    flat = outputs.reshape(*lattice.counts, -1)
    return torch.einsum("yj,xi,jim->yxm", up, right, flat).reshape(-1, *outputs.shape[1:])
