"""What a network returns at the nodes of a slice, a chunk of the data at a time, and losses of what lies between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from landscape.errors import LandscapeError
from landscape.geometry.metrics import Pass
from landscape.geometry.surfaces.each import ROUNDINGS, Each, of_each
from landscape.geometry.surfaces.identity import digest
from landscape.geometry.surfaces.lattice import Lattice, carried
from landscape.geometry.surfaces.memory import Memory
from landscape.geometry.surfaces.network import Key, Moved, Network, NotInterpolated
from landscape.geometry.surfaces.readings import Reading, size_of
from landscape.geometry.surfaces.values import LevelValues, Named
from landscape.objective import Objective
from landscape.objective.batches import count_examples

#: Bytes of outputs that are held at a time.
MEMORY = 256 * 2**20
Known = dict[Key, tuple[Tensor, float]]


class Outputs:
    """The outputs of one pass over its data, on a slice.

    Parameters
    ----------
    one : Pass
        An objective, and functions of its outputs beside the loss.
    moved : callable
        θ at (y, x), in units of the radius.
    most : int
        Nodes at a time, at most: data are cut so finely that the outputs of a chunk at all of them fit into memory.
    known : dict from (y, x) to (outputs, loss), optional
        Where the network has been evaluated: a row for each example, and the loss of all.
    shelf : Memory, optional
        Where what is evaluated is kept on disk, and found again.

    Raises
    ------
    NotInterpolated
        Where outputs cannot be had apart from the loss; so does :meth:`level`.
    """

    def __init__(
        self, one: Pass, moved: Moved, *, most: int, known: Known | None = None, shelf: Memory | None = None
    ) -> None:
        objective = one.objective
        self._pass, self._moved, self._most, self._known = one, moved, most, known or {}
        self._shelf = self._whole_shelf = shelf or Memory()
        self._kept: dict[tuple[int, Key], tuple[Tensor, float]] = {}
        self.evaluations = 0.0
        self._prepare(objective)
        self._bytes_of_chunk = bytes_of_chunk = self._size_up()
        if bytes_of_chunk * most > MEMORY and objective.chunk is not None and not objective.interacting:
            share = max(1, int(objective.chunk * MEMORY / (bytes_of_chunk * most)))
            self._prepare(objective.rechunked(share))
            self._bytes_of_chunk = self._size_up()

    def _prepare(self, objective: Objective) -> None:
        self._objective, self._network = objective, Network(objective, self._moved)
        self._parts, self._num_examples = self._network.parts, objective.num_examples
        self._reading = Reading(self._pass, self._network)
        self._kept.clear()
        self._shelf = self._whole_shelf.inside(f"by {objective.chunk}")  # pieces of another size are other pieces
        self._sizes = list[int]()
        if self._known:
            self._sizes += [count_examples(self._parts.chunk(index)) or 0 for index in range(self.num_chunks)]

    def _size_up(self) -> int:
        """Bytes of the outputs of the first chunk at the centre, which is a node of every level."""
        with self._parts.borrowed():
            return size_of(self._at(0, (0.0, 0.0))[0])

    @property
    def num_chunks(self) -> int:
        """How many pieces the data are evaluated in."""
        return len(self._parts.shares)

    @property
    def is_led(self) -> bool:
        """Whether it is what :meth:`led_by` gives: the examples of a trial come first."""
        return bool(self._known)

    @property
    def shares(self) -> Sequence[float]:
        """What the loss of each piece counts in that of all."""
        return self._parts.shares

    def borrowed(self) -> AbstractContextManager[None]:
        """The state in which :meth:`values_of` may be asked for."""
        return self._parts.borrowed()

    def values_of(self, outputs: Tensor, index: int) -> Named:
        """Loss and metrics of each of several outputs (G, …) of a chunk, within :meth:`borrowed`."""
        return self._reading.values(outputs, index)

    def at(self, key: Key) -> Tensor:
        """Outputs of all examples at a node."""
        with self._parts.borrowed():
            return torch.cat([self._at(index, key)[0] for index in range(self.num_chunks)])

    def held(self, key: Key) -> Tensor | None:
        """The same where they are held from an earlier level, and there is one row for each example; else None."""
        found = [self._kept.get((index, key)) for index in range(self.num_chunks)]
        outputs = [one[0] for one in found if one is not None]
        if len(outputs) < len(found) or sum(map(len, outputs)) != self._num_examples:
            return None
        return torch.cat(outputs)

    def of_first(self, count: int, key: Key) -> Tensor:
        """Outputs of the first examples at a node; no more chunks are evaluated than hold them."""
        found: list[Tensor] = []
        with self._parts.borrowed():
            for index in range(self.num_chunks):
                found.append(self._at(index, key)[0])
                if sum(map(len, found)) >= count:
                    break
        return torch.cat(found)[:count]

    def led_by(self, rows: np.ndarray, counts: Sequence[int], keys: Sequence[Key]) -> Outputs:
        """The same data with some examples in front, so that what is evaluated of these serves all.

        Of the first so many as each of ``counts`` says, in ascending order, no more chunks are evaluated than those.
        At the keys the loss stays what it is here, to the bit. Itself where outputs have no row for each example, or
        where some examples weigh nothing.
        """
        if self._pass.objective.weighs_examples:
            return self
        with self._parts.borrowed():
            pairs = {key: [self._at(index, key) for index in range(self.num_chunks)] for key in keys}
        order = np.concatenate([rows, np.setdiff1d(np.arange(self._num_examples), rows)])
        known: Known = {}
        for key, found in pairs.items():
            outputs, losses = torch.cat([z for z, _ in found]), [loss for _, loss in found]
            if len(outputs) != self._num_examples:
                return self
            known[key] = outputs[torch.from_numpy(order).to(outputs.device)], float(np.dot(self._parts.shares, losses))
        sizes = _pieces([*counts, self._num_examples], self._objective.chunk or self._num_examples)
        objective = self._pass.objective.subset(order).in_pieces(sizes)
        one = replace(self._pass, objective=objective, shares=objective.parts().shares)
        shelf = self._whole_shelf.inside(f"led by {digest(rows)} in {digest(*sizes)}")
        return Outputs(one, self._moved, most=self._most, known=known, shelf=shelf)

    def of_each(self, key: Key) -> tuple[float, Each]:
        """The loss at a node, and that of each example; raises NotDrawn where it is no mean over examples."""
        found, loss = [], 0.0
        with self._parts.borrowed():
            for index, share in enumerate(self._parts.shares):
                outputs, of_chunk = self._at(index, key)
                found.append(of_each(self._parts, index, outputs, of_chunk))
                loss += share * of_chunk
                self._forget(index, outputs)
        return loss, Each.joined(found)

    def metrics_at(self, key: Key) -> dict[str, float]:
        """Each metric at a node."""
        found = dict.fromkeys(self._reading.names[1:], 0.0)
        with self._parts.borrowed():
            for index, share in enumerate(self._parts.shares if found else ()):
                for name, value in self._reading.metrics(self._at(index, key)[0], index).items():
                    found[name] += share * value
        return found

    def level(
        self, lattice: Lattice, *, before: bool, report: Callable[[], None], by_chunk: bool = False
    ) -> LevelValues:
        """The network at all nodes, those of earlier levels from memory, and what lies between.

        Parameters
        ----------
        before : bool
            Whether every second node alone is to be read, too.
        report : callable
            Called after each evaluation.
        by_chunk : bool
            Whether ``of_chunk`` is kept.
        """
        values = LevelValues(self._reading.names, lattice, chunks=self.num_chunks if by_chunk else 0)
        if self._bytes_of_chunk * self._like(0) * lattice.size <= MEMORY:
            self._bring(range(self.num_chunks), lattice.keys)
        with self._parts.borrowed():
            for index, share in enumerate(self._parts.shares):
                found = []
                self._bring([index], lattice.keys)
                for key in lattice.keys:
                    found.append(self._at(index, key))
                    report()
                outputs, losses = torch.stack([z for z, _ in found]), np.array([loss for _, loss in found])
                self._check(index, outputs[0], losses[0])
                values.at_nodes[""] += share * losses
                with torch.no_grad():
                    self._add(values, index, share, outputs, lattice, before=before)
                self._forget(index, outputs)
        for key, (_, loss) in self._known.items():
            if key in lattice.keys:
                values.at_nodes[""][lattice.keys.index(key)] = loss
        values.settle(lattice)
        return values

    def bring(self, keys: Sequence[Key], *, first: int | None = None) -> None:
        """Have nodes evaluated elsewhere, where anybody is there: of the chunks that hold the first examples, or of
        all."""
        count = self.num_chunks if first is None else 1 + int(np.searchsorted(np.cumsum(self._sizes), first))
        self._bring(range(min(count, self.num_chunks)), keys)

    def _bring(self, indices: Sequence[int], keys: Sequence[Key]) -> None:
        places = [(i, key) for i in indices for key in keys if (i, key) not in self._kept and key not in self._known]
        self._shelf.bring_nodes(self._objective, self._moved, places)

    def _at(self, index: int, key: Key) -> tuple[Tensor, float]:
        """Outputs and loss of a chunk at a node."""
        if (index, key) in self._kept:
            return self._kept[index, key]
        if key in self._known:
            own = self._known[key][0].split(self._sizes)[index]
            self._kept[index, key] = own, self._reading.loss(own, index)
            return self._kept[index, key]
        found = self._shelf.take(index, key, self._pass.objective.device)
        self.evaluations += self._parts.shares[index]  # found, too: so it counts as if nothing had come between
        if found is None:
            found = self._network.at(index, key)
            self._shelf.keep(index, key, *found)
        if found[0].shape != self._shape_of(index, found[0]):
            raise NotInterpolated("the shape of the outputs depends on the parameters")
        self._kept[index, key] = found
        return found

    def _like(self, index: int) -> float:
        """How many chunks as large as this one all the data make."""
        return sum(self._sizes) / self._sizes[index] if self._sizes else self.num_chunks

    def _shape_of(self, index: int, default: Tensor) -> torch.Size:
        return next((z.shape for (chunk, _), (z, _) in self._kept.items() if chunk == index), default.shape)

    def _forget(self, index: int, outputs: Tensor) -> None:
        """Where those of all chunks at these nodes are too large, none is kept for the next level."""
        if size_of(outputs) * self._like(index) > MEMORY:
            for key in [key for key in self._kept if key[0] == index]:
                del self._kept[key]

    def _check(self, index: int, outputs: Tensor, loss: float) -> None:
        """Whether the loss is one of outputs alone: at a corner, where parameters are not those of the model."""
        try:
            alone = self._reading.loss(outputs, index)
        except (LandscapeError, RuntimeError) as error:
            raise NotInterpolated(f"the loss cannot be had from the outputs alone ({error})") from error
        eps = torch.finfo(outputs.dtype).eps
        if not abs(alone - loss) <= ROUNDINGS * eps * (abs(loss) + abs(alone)):
            raise NotInterpolated(f"the loss reads more than the outputs: {loss:.6g}, and {alone:.6g} of them alone")

    def _add(
        self, values: LevelValues, index: int, share: float, outputs: Tensor, lattice: Lattice, *, before: bool
    ) -> None:
        """What a chunk adds on the grid, row by row, and at the nodes as others predict them."""
        shape, dtype = outputs.shape[1:], outputs.dtype
        exact = outputs if dtype in (torch.float32, torch.float64) else outputs.float()
        flat = lattice.filled(exact)

        def on_grid(matrices: tuple[np.ndarray, np.ndarray]) -> Iterator[Named]:
            for row in carried(flat, matrices):
                yield self._reading.values(row.reshape(-1, *shape).to(dtype), index)

        for place, found in enumerate(on_grid(lattice.to_grid)):
            for name, value in found.items():
                values.grid[name][place] += share * value
                if values.of_chunk:
                    values.of_chunk[name][index, place] = value
        for place, found in enumerate(on_grid(lattice.of_every_second) if before else ()):
            for name, value in found.items():
                values.before[name][place] += share * value
        others = lattice.checkerboard
        if others is None:
            return
        for place, one in enumerate(outputs if self._pass.functions else ()):
            for name, metric in self._reading.metrics(one, index).items():
                values.at_nodes[name][place] += share * metric
        flat = exact.reshape(lattice.size, -1)
        for rows in np.array_split(np.arange(lattice.size), lattice.count):
            there = (torch.as_tensor(others[rows]).to(flat) @ flat).reshape(-1, *shape).to(dtype)
            for name, predicted in self._reading.values(there, index).items():
                values.predicted[name][rows] += share * predicted


def _pieces(ends: Sequence[int], most: int) -> list[int]:
    """Sizes that end at each of these, none larger than ``most``, as even as may be.

    >>> _pieces([4, 6, 15], 5)
    [4, 2, 5, 4]
    """
    sizes = list[int]()
    for begin, end in pairwise([0, *ends]):
        count = max(1, -(-(end - begin) // most))
        sizes += [len(part) for part in np.array_split(np.arange(begin, end), count) if len(part)]
    return sizes
