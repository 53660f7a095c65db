"""How far a level is from finer ones, seen on a few of the examples at a fraction of their cost, which correct it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from scipy import special
from torch import Tensor

from landscape.geometry.metrics import Function, Pass
from landscape.geometry.surfaces.drawn import Drawn
from landscape.geometry.surfaces.lattice import Lattice, carried
from landscape.geometry.surfaces.memory import Memory
from landscape.geometry.surfaces.network import Key, Moved, NotInterpolated
from landscape.geometry.surfaces.nodes import graded_nodes, place
from landscape.geometry.surfaces.outputs import Outputs
from landscape.geometry.surfaces.values import Named
from landscape.objective import Objective

#: Examples that are tried, and at most which share of all; fewer than ``_LEAST`` say too little. Where so many more
#: seem to do, they are tried.
_EXAMPLES, _SHARE, _LEAST, _MORE = 256, 0.25, 64, 1.75
#: Into which these are divided: the spread of their means says how far that of all may be.
_GROUPS = 16
#: By how much the error exceeds the distance to a finer level, at most.
_CAUTION = 1.5
#: Of a level that is corrected: times chance, whose tails are longer than those of a normal one, and times what the
#: level before the finer one is off.
_CHANCE, _OWN = 1.25, 1.0
_LEVEL = 0.95
#: Of n examples none is seen to be what less than a share of 3/n are, one time in twenty.
_UNSEEN = 3.0
_CENTRE = (0.0, 0.0)


@dataclass(frozen=True)
class Shown:
    """A level, and by what its error is shown.

    Attributes
    ----------
    lattice, there : Lattice
        The level, and at whose nodes it is held against the network.
    judge : Lattice or None
        The level before ``there``, from which it is seen how far what the examples tell there is off by itself: then
        the level is corrected by them. None: it is as far off as they tell.
    by_more : bool
        Whether by more examples than are tried at first.
    """

    lattice: Lattice
    there: Lattice
    judge: Lattice | None = None
    by_more: bool = False


@dataclass(frozen=True)
class Said:
    """What a trial says of a level.

    Attributes
    ----------
    error, log10 : float
        The largest error, and that of log₁₀.
    corrects : bool
        Whether :meth:`Trial.corrections` makes it smaller, rather than chance.
    by_more : float
        What the error would be if more were tried and they were like these; infinite where that is not worth it.
    """

    error: float
    log10: float
    corrects: bool
    by_more: float


class Trial:
    r"""Some of the examples, drawn once and for all, in groups.

    With :math:`\ell_c` and :math:`\ell_f` the loss as a coarse and a finer level have it, T the examples tried,

    .. math:: L \approx \frac1N \sum_{i \le N} \ell_{c,i} + \frac{1}{|T|} \sum_{i \in T} (\ell_{f,i} - \ell_{c,i}),

    whose error is by chance 1.25 times half of the 95 % interval of the second mean, from groups of T, and what the
    finer level is off: at each of its nodes no more than the level before it misses there. A level that is left as it
    is is off by 1.5 times the second mean, for what the finer one is off and lies between its nodes, and half of that
    interval. Of a metric, which may jump where an example changes its class, 3/n of its range more: so many may do that
    and none of the n that were tried.

    Parameters
    ----------
    objective : Objective
        Whose examples can be picked.
    moved : callable
        θ at (y, x), in units of the radius.
    shelf : Memory, optional
        As of :class:`Outputs`.
    more : bool
        Whether there are more of them, those that are usual among them.

    Attributes
    ----------
    rows : (n,) array
        Which they are.
    leading : (m,) array
        These, and then what there are more of them.

    Raises
    ------
    NotInterpolated
        Where there are too few examples, or outputs do not have one row for each.

    References
    ----------
    Giles (2008), Multilevel Monte Carlo path simulation, Operations Research 56(3): levels on ever fewer samples.
    """

    def __init__(self, objective: Objective, moved: Moved, *, shelf: Memory | None = None, more: bool = False) -> None:
        usual = min(_EXAMPLES, int(_SHARE * objective.num_examples)) // _GROUPS * _GROUPS
        if not objective.can_pick or usual < _LEAST:
            raise NotInterpolated("too few examples to try some of them")
        most = int(_MORE * usual) // _GROUPS * _GROUPS
        self.leading = np.random.default_rng(0).permutation(objective.num_examples)[:most]
        count = most if more else usual
        self.rows = self.leading[:count]
        self._objective, self._some, self._moved = objective, objective.subset(self.rows), moved
        if len(self._some.rechunked(count // _GROUPS).parts().shares) != _GROUPS:
            raise NotInterpolated("some examples have no weight")
        self.share = count / objective.num_examples
        self._most_share = most / objective.num_examples
        self._given_shelf, self._shelf = shelf, (shelf or Memory()).inside("more tried" if more else "tried")

    @cached_property
    def _of_more(self) -> Trial:
        return Trial(self._objective, self._moved, shelf=self._given_shelf, more=True)

    @cached_property
    def _all_of_them(self) -> Outputs:
        return Outputs(Pass(self._some, {}, self._some.parts().shares), self._moved, most=1, shelf=self._shelf)

    def _read_by(self, of_centre: Tensor, functions: dict[str, Function], size: int) -> Outputs:
        """To read losses and metrics of so many examples at a time: the network is not evaluated for it."""
        pieces = self._some.rechunked(size)
        one = Pass(pieces, functions, pieces.parts().shares)
        return Outputs(one, self._moved, most=1, known={_CENTRE: (of_centre, np.nan)})

    @property
    def evaluations(self) -> float:
        """Of the network, in passes over all the data."""
        own = self.share * self._all_of_them.evaluations if "_all_of_them" in vars(self) else 0.0
        return own + (self._of_more.evaluations if "_of_more" in vars(self) else 0.0)

    def said(self, own: Outputs | Drawn, shown: Shown, functions: dict[str, Function]) -> dict[str, Said]:
        """How large the errors of loss and metrics are, by their names, and whether these are to be corrected.

        Outputs of the examples are evaluated at the nodes of ``shown.there`` where they are not known.
        """
        if shown.by_more:
            return self._of_more.said(own, replace(shown, by_more=False), functions)
        if isinstance(own, Outputs) and own.is_led:
            own.bring(shown.there.keys, first=len(self.rows))
        else:
            self._all_of_them.bring([key for key in shown.there.keys if own.held(key) is None])
        reading = self._read_by(self._at(own, _CENTRE), functions, len(self.rows) // _GROUPS)
        true = self._means(reading, self._outputs(own, shown.there))
        seen = self._means(reading, self._at_nodes(own, shown.lattice, shown.there))
        judged = None if shown.judge is None else self._means(reading, self._at_nodes(own, shown.judge, shown.there))
        weights, found = np.array(reading.shares), dict[str, Said]()
        for name in true:
            by_judge = None if judged is None else np.abs(weights @ (judged[name] - true[name]))
            found[name] = self._error(name, true[name], seen[name], weights, by_judge)
        return found

    def corrections(self, own: Outputs, shown: Shown, functions: dict[str, Function]) -> Named:
        """What to add to loss and metrics on the display grid, by their names, after :meth:`said`."""
        if shown.by_more:
            return self._of_more.corrections(own, replace(shown, by_more=False), functions)
        reading = self._read_by(self._at(own, _CENTRE), functions, len(self.rows))
        fine, coarse = (self._on_grid(reading, own, lattice) for lattice in (shown.there, shown.lattice))
        return {name: fine[name] - coarse[name] for name in fine}

    def _means(self, reading: Outputs, outputs: Tensor) -> Named:
        """Losses and metrics of each group, (G, n), of outputs at n places."""
        size = len(self.rows) // _GROUPS
        with reading.borrowed():
            found = [
                reading.values_of(outputs[:, index * size : (index + 1) * size], index) for index in range(_GROUPS)
            ]
        return {name: np.stack([one[name] for one in found]) for name in found[0]}

    def _on_grid(self, reading: Outputs, own: Outputs | Drawn, lattice: Lattice) -> Named:
        """Losses and metrics of all the examples on the display grid, as the nodes of a level have them."""
        with reading.borrowed():
            rows = [reading.values_of(row, 0) for row in self._carried(own, lattice, lattice.to_grid)]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def _outputs(self, own: Outputs | Drawn, lattice: Lattice) -> Tensor:
        """At the nodes of a level, (n, N, …)."""
        return torch.stack([self._at(own, key) for key in lattice.keys])

    def _at_nodes(self, own: Outputs | Drawn, lattice: Lattice, there: Lattice) -> Tensor:
        """From the nodes of a level to those of another, (m, N, …)."""
        points = tuple(place(graded_nodes(count)) for count in there.counts)
        matrices = replace(lattice, axes=points).to_grid  # type: ignore[arg-type]
        every = torch.cat(list(self._carried(own, lattice, matrices)))
        return every[torch.as_tensor(there.places, device=every.device)]

    def _carried(
        self, own: Outputs | Drawn, lattice: Lattice, matrices: tuple[np.ndarray, np.ndarray]
    ) -> Iterator[Tensor]:
        """From the nodes of a level to other points, row by row, (X, N, …)."""
        outputs = self._outputs(own, lattice)
        exact = outputs if outputs.dtype in (torch.float32, torch.float64) else outputs.float()
        for row in carried(lattice.filled(exact), matrices):
            yield row.reshape(-1, *outputs.shape[1:]).to(outputs.dtype)

    def _error(
        self, name: str, true: np.ndarray, seen: np.ndarray, weights: np.ndarray, by_judge: np.ndarray | None
    ) -> Said:
        """From values of the groups at the nodes, (G, n)."""
        apart = seen - true
        mean, value = weights @ apart, weights @ true
        squares = (weights**2) @ (apart - mean) ** 2 * _GROUPS / (_GROUPS - 1)
        reach = float(special.stdtrit(_GROUPS - 1, (1 + _LEVEL) / 2)) * np.sqrt((1 - self.share) * squares)
        more = np.sqrt((1 - self._most_share) / (1 - self.share) * len(self.rows) / len(self.leading))
        chance, rest = (reach, _CAUTION * np.abs(mean)) if by_judge is None else (_CHANCE * reach, _OWN * by_judge)
        error, by_more = chance + rest, np.inf if by_judge is None else float((more * chance + rest).max())
        if name:
            error = error + (1 - self.share) * _UNSEEN / len(self.rows) * np.ptp(true)
        with np.errstate(all="ignore"):
            log10 = float(np.log10(1 + error / np.abs(value)).max())
        corrects = by_judge is not None or bool(np.abs(mean).max() > reach.max())
        return Said(float(error.max()), log10, corrects, by_more)

    def _at(self, own: Outputs | Drawn, key: Key) -> Tensor:
        """Outputs of the examples at a node: from those of all where they are held, or will be."""
        if isinstance(own, Outputs) and own.is_led:
            return own.of_first(len(self.rows), key)
        held = own.held(key)
        found = self._all_of_them.at(key) if held is None else held[torch.as_tensor(self.rows).to(held.device)]
        if len(found) != len(self.rows):
            raise NotInterpolated("outputs do not have one row for each example")
        return found
