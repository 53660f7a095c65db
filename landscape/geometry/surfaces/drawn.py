"""A slice from some of the examples, drawn until what they leave open is within what is asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from landscape.geometry.metrics import Pass
from landscape.geometry.surfaces.each import Each, NotDrawn
from landscape.geometry.surfaces.identity import digest
from landscape.geometry.surfaces.lattice import Lattice
from landscape.geometry.surfaces.memory import Memory
from landscape.geometry.surfaces.network import Key, Moved
from landscape.geometry.surfaces.outputs import Outputs
from landscape.geometry.surfaces.sampling_error import FromGroups, from_groups, largest_errors
from landscape.geometry.surfaces.values import LevelValues

#: Strata along the loss that is known, and groups, each of which has as many of every stratum.
STRATA, GROUPS = 32, 32
#: Drawn at first; at most which share of all, else all are evaluated.
FIRST, _SHARE = 2 * STRATA * GROUPS, 0.5
#: In a chunk at most, for what a network computes with at a time.
_CHUNK = 512
#: More than by the root of their number drawn examples must promise to be enough, since the error is known from groups.
_MARGIN = 1.2
_CORNERS = 3  # nodes along an axis at which the spread is tried: its ends and the centre


@dataclass(frozen=True)
class Known:
    """Where the loss of all examples is evaluated.

    Attributes
    ----------
    means : dict from (y, x) to dict from name to float
        In units of the radius; the loss is called ``""``.
    sizes, kinds : (N,) arrays
        The loss of each example, summed over these places, and what it is of a kind at the first of them.
    """

    means: dict[Key, dict[str, float]]
    sizes: np.ndarray
    kinds: np.ndarray

    @classmethod
    def at(cls, outputs: Outputs, keys: Sequence[Key]) -> Known:
        """Costs an evaluation each, which the outputs keep."""
        means, found = dict[Key, dict[str, float]](), list[Each]()
        for key in keys:
            loss, each = outputs.of_each(key)
            means[key] = {"": loss, **outputs.metrics_at(key)}
            found.append(each)
        return cls(means, np.sum([each.losses for each in found], axis=0), found[0].kinds)


class Deck:
    """The order in which examples are drawn.

    Those whose known losses are so large that they alone matter are taken, all of them; the rest is cut into strata of
    equal size by kind and, within it, by the known loss, each shuffled. From every stratum one is dealt to each group
    in turn. Strata by kind are what counts away from the centre, where a network mistakes one class for another; those
    by loss around it.
    """

    def __init__(self, sizes: np.ndarray, kinds: np.ndarray, *, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(sizes))
        order = order[np.argsort(sizes[order], kind="stable")]
        large = int((sizes * FIRST > sizes.sum()).sum()) if (sizes >= 0).all() else 0
        large = min(large, FIRST // 8)
        large += (len(sizes) - large) % STRATA
        self.taken, rest = order[len(order) - large :], order[: len(order) - large]
        rest = rest[np.argsort(kinds[rest], kind="stable")]
        self._strata = np.stack([rng.permutation(stratum) for stratum in rest.reshape(STRATA, -1)])
        self.size = self._strata.size

    def dealt(self, begin: int, end: int) -> np.ndarray:
        """From the ``begin``-th to the ``end``-th of each stratum, (GROUPS, examples): a row for each group."""
        cards = self._strata[:, begin:end].reshape(STRATA, -1, GROUPS)
        return cards.transpose(2, 1, 0).reshape(GROUPS, -1)


class Drawn:
    """The outputs of drawn examples on a slice, in the place of those of all.

    Parameters
    ----------
    one : Pass
        Over all the data.
    moved : callable
        θ at (y, x), in units of the radius.
    known : Known
    most : int
        Nodes at a time, at most.
    shelf : Memory, optional
        As of :class:`Outputs`.

    Raises
    ------
    NotDrawn
        Where too much of an example must be held.
    """

    def __init__(self, one: Pass, moved: Moved, known: Known, *, most: int, shelf: Memory | None = None) -> None:
        self._pass, self._moved, self.known, self._most = one, moved, known, most
        self._shelf = shelf or Memory()
        self._num_examples = len(known.sizes)
        self._deck = Deck(known.sizes, known.kinds)
        self._taken = self._outputs(self._deck.taken, max(1, min(_CHUNK, len(self._deck.taken))))
        self._blocks: list[tuple[int, Outputs]] = []
        self._said: dict[int, tuple[Lattice, LevelValues]] = {}
        self._dealt, self._most_dealt = 0, _CHUNK // STRATA * GROUPS
        self.draw(FIRST)

    @property
    def num_drawn(self) -> int:
        """How many examples, with those that were taken."""
        return len(self._deck.taken) + self._dealt * STRATA

    @property
    def evaluations(self) -> float:
        """Of the network, in passes over all the data."""
        of_taken = self._taken.evaluations * len(self._deck.taken) if self._taken else 0.0
        return (of_taken + sum(rounds * STRATA * one.evaluations for rounds, one in self._blocks)) / self._num_examples

    def held(self, key: Key) -> Tensor | None:
        """Outputs of all examples are not."""
        return None

    def draw(self, count: int) -> None:
        """More, until there are at least so many that were not taken, or no more can be dealt."""
        goal = min(math.ceil(count / (STRATA * GROUPS)), self._deck.size // (STRATA * GROUPS)) * GROUPS
        while self._dealt < goal:
            end = min(goal, self._dealt + self._most_dealt)
            rows = self._deck.dealt(self._dealt, end)
            block = self._outputs(rows.ravel(), rows.shape[1])
            if block is None or block.num_chunks != GROUPS:  # cut more finely, for its size
                if self._most_dealt == GROUPS:
                    raise NotDrawn("the outputs of a few examples are too large")
                self._most_dealt = max(GROUPS, self._most_dealt // 2 // GROUPS * GROUPS)
                continue
            self._blocks.append((end - self._dealt, block))
            self._dealt = end

    def level(self, lattice: Lattice, *, before: bool, report: Callable[[], None]) -> LevelValues:
        """As of :class:`Outputs`, the mean of all as drawn examples have it."""
        return self._read(lattice, before=before, report=report)[0]

    def at_known(
        self, lattice: Lattice, *, report: Callable[[], None]
    ) -> tuple[LevelValues, dict[str, tuple[float, float]]]:
        """The same, exact where it is known, and by name the largest error, and that of log₁₀, at 95 %."""
        values, of_groups = self._read(lattice, before=False, report=report)
        return values, self._settle(values, of_groups, lattice)

    def try_out(self, axes: tuple[np.ndarray, np.ndarray], tol: float, *, report: Callable[[], None]) -> None:
        """As many as ends and corners of the slice say that it will take, at the nodes that all levels have.

        Raises
        ------
        NotDrawn
            Where these would be most of them.
        """
        corners = tuple(np.linspace(-1, 1, len(axis) if len(axis) == 1 else _CORNERS) for axis in axes)
        values, errors = self.at_known(Lattice(_CORNERS, corners), report=report)  # type: ignore[arg-type]
        count = self.needed(errors[""][0], tol * float(np.ptp(values.grid[""])))
        if count > _SHARE * self._num_examples:
            raise NotDrawn(f"{count} of {self._num_examples} examples would be most of them")
        self.draw(count)

    def needed(self, error: float, wanted: float) -> int:
        """How many would have that error, where those of now have this one; as many as now where it is met."""
        now = self._dealt * STRATA
        if error <= wanted:
            return now
        if not wanted > 0 or not np.isfinite(error):
            raise NotDrawn("there is nothing left for the error of drawn examples")
        every = self._deck.size
        over = 1 / now - 1 / every
        return math.ceil(_MARGIN / (1 / every + over * (wanted / error) ** 2))

    def _outputs(self, rows: np.ndarray, chunk: int) -> Outputs | None:
        if not len(rows):
            return None
        some = self._pass.objective.subset(rows).rechunked(chunk)
        shelf = self._shelf.inside(f"drawn {digest(rows)}")
        one = replace(self._pass, objective=some, shares=some.parts().shares)
        return Outputs(one, self._moved, most=self._most, shelf=shelf)

    def _read(
        self, lattice: Lattice, *, before: bool, report: Callable[[], None]
    ) -> tuple[LevelValues, dict[str, np.ndarray]]:
        """The level by its weighted mean, and each name's means of the groups, (GROUPS, Y·X)."""
        share = len(self._deck.taken) / self._num_examples
        blocks = [
            ((1 - share) * rounds / self._dealt, self._once(one, lattice, before=before, report=report))
            for rounds, one in self._blocks
        ]
        self._of_taken = {name: np.zeros_like(grid) for name, grid in blocks[0][1].grid.items()}
        weighted = blocks
        if self._taken is not None:
            taken = self._once(self._taken, lattice, before=before, report=report)
            self._of_taken, weighted = taken.grid, [*blocks, (share, taken)]
        of_groups = {
            name: np.sum([w * values.of_chunk[name].reshape(GROUPS, -1) for w, values in blocks], axis=0) / (1 - share)
            for name in self._of_taken
        }
        return LevelValues.weighted(weighted), of_groups

    def _once(self, one: Outputs, lattice: Lattice, *, before: bool, report: Callable[[], None]) -> LevelValues:
        """What it says at this level, which is remembered until it is asked for another."""
        of, values = self._said.get(id(one), (None, None))
        if of is not lattice or values is None:
            values = one.level(lattice, before=before, report=report, by_chunk=True)
            self._said[id(one)] = lattice, values
        return values

    def _settle(
        self, values: LevelValues, of_groups: dict[str, np.ndarray], lattice: Lattice
    ) -> dict[str, tuple[float, float]]:
        """Writes the estimates into the grid; their errors."""
        share = len(self._deck.taken) / self._num_examples
        places = {key: place for key in self.known.means if (place := _place_of(key, lattice)) is not None}
        errors = dict[str, tuple[float, float]]()
        for name, groups in of_groups.items():
            taken = share * self._of_taken[name].ravel()
            known = {p: (self.known.means[key][name] - taken[p]) / (1 - share) for key, p in places.items()}
            found = from_groups(groups, known, share=self._dealt * STRATA / self._deck.size)
            total = taken + (1 - share) * found.mean
            for key, place in places.items():
                total[place] = self.known.means[key][name]  # to the bit
            values.grid[name] = total.reshape(values.grid[name].shape)
            scaled = FromGroups(found.mean, (1 - share) * found.residuals, found.degrees)
            errors[name] = largest_errors(scaled, total)
        return errors


def _place_of(key: Key, lattice: Lattice) -> int | None:
    """The point of the grid that lies there, row by row."""
    up, right = (np.flatnonzero(axis == at) for axis, at in zip(lattice.axes, key, strict=True))
    return int(up[0]) * len(lattice.axes[1]) + int(right[0]) if len(up) and len(right) else None
