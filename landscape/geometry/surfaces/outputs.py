"""What a network returns at the nodes of a slice, a chunk of the data at a time, and losses of what lies between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.errors import LandscapeError
from landscape.geometry.metrics import Pass
from landscape.geometry.surfaces.each import ROUNDINGS, Each, of_each
from landscape.geometry.surfaces.nodes import Lattice
from landscape.geometry.surfaces.values import LevelValues
from landscape.objective import Objective
from landscape.objective.batches import count_examples, unpack
from landscape.objective.losses import LossModule

#: Bytes of outputs that are held at a time.
MEMORY = 256 * 2**20
#: Bytes of outputs between the nodes whose losses are computed together.
_TOGETHER = 16 * 2**20
#: θ at (y, x), in units of the radius.
Moved = Callable[[float, float], Tensor]
Known = dict[tuple[float, float], tuple[Tensor, float]]


class NotInterpolated(Exception):
    """Outputs cannot be had apart from the loss, or are not fit to be interpolated; the text says why."""


class Noting(LossModule):
    """A loss that notes the outputs of which it is the loss, before anything is done with them."""

    def __init__(self, inner: LossModule) -> None:
        super().__init__()
        self.model, self.inner = inner.model, inner
        self.noted: Any = None

    def mean_loss(self, batch: Any) -> Tensor:
        outputs = self.inner.plain_outputs(batch)
        # A copy: a loss may change what it is handed.
        self.noted = outputs.detach().clone() if isinstance(outputs, Tensor) else outputs
        return self.loss_of(outputs, batch)

    def loss_of(self, outputs: Any, batch: Any) -> Tensor:
        return self.inner.loss_of(self.read(outputs), batch)

    def read(self, outputs: Any) -> Any:
        """Outputs as the loss reads them."""
        return outputs if self.inner.transform is None else self.inner.transform(outputs)


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

    Raises
    ------
    NotInterpolated
        Where outputs cannot be had apart from the loss; so does :meth:`level`.
    """

    def __init__(self, one: Pass, moved: Moved, *, most: int, known: Known | None = None) -> None:
        objective = one.objective
        if not objective.module.is_separable:
            raise NotInterpolated("the loss does not say where the network ends")
        if objective.mode == "train":
            raise NotInterpolated("in training mode the outputs of an example depend on all the others")
        self._pass, self._moved, self._most, self._known = one, moved, most, known or {}
        self._names = ("", *one.functions)
        self._kept: dict[tuple[int, tuple[float, float]], tuple[Tensor, float]] = {}
        self._together, self.evaluations = True, 0.0
        self._prepare(objective)
        bytes_of_chunk = self._size_up()
        if bytes_of_chunk * most > MEMORY and objective.chunk is not None and not objective.interacting:
            share = max(1, int(objective.chunk * MEMORY / (bytes_of_chunk * most)))
            self._prepare(objective.rechunked(share))
            self._size_up()

    def _prepare(self, objective: Objective) -> None:
        watched = objective.with_constants({})
        self._noting = watched.module = Noting(objective.module)
        self._layout, self._parts, self._num_examples = objective.layout, watched.parts(), objective.num_examples
        self._kept.clear()
        if self._known:
            self._sizes = [count_examples(self._parts.chunk(index)) or 0 for index in range(self.num_chunks)]

    def _size_up(self) -> int:
        """Bytes of the outputs of the first chunk at the centre, which is a node of every level."""
        with self._parts.borrowed():
            return _bytes(self._at(0, (0.0, 0.0))[0])

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
        """The state in which :meth:`losses` may be asked for."""
        return self._parts.borrowed()

    def at(self, key: tuple[float, float]) -> Tensor:
        """Outputs of all examples at a node."""
        with self._parts.borrowed():
            return torch.cat([self._at(index, key)[0] for index in range(self.num_chunks)])

    def held(self, key: tuple[float, float]) -> Tensor | None:
        """The same where they are held from an earlier level, and there is one row for each example; else None."""
        found = [self._kept.get((index, key)) for index in range(self.num_chunks)]
        outputs = [one[0] for one in found if one is not None]
        if len(outputs) < len(found) or sum(map(len, outputs)) != self._num_examples:
            return None
        return torch.cat(outputs)

    def of_first(self, count: int, key: tuple[float, float]) -> Tensor:
        """Outputs of the first examples at a node; no more chunks are evaluated than hold them."""
        found: list[Tensor] = []
        with self._parts.borrowed():
            for index in range(self.num_chunks):
                found.append(self._at(index, key)[0])
                if sum(map(len, found)) >= count:
                    break
        return torch.cat(found)[:count]

    def led_by(self, rows: np.ndarray, keys: Sequence[tuple[float, float]]) -> Outputs:
        """The same data with some examples in front, so that what is evaluated of these serves all.

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
        most = min(self._pass.objective.chunk or len(rows), len(rows))
        chunk = max(size for size in range(1, most + 1) if len(rows) % size == 0)
        objective = self._pass.objective.subset(order).rechunked(chunk)
        one = replace(self._pass, objective=objective, shares=objective.parts().shares)
        return Outputs(one, self._moved, most=self._most, known=known)

    def of_each(self, key: tuple[float, float]) -> tuple[float, Each]:
        """The loss at a node, and that of each example; raises NotDrawn where it is no mean over examples."""
        found, loss = [], 0.0
        with self._parts.borrowed():
            for index, share in enumerate(self._parts.shares):
                outputs, of_chunk = self._at(index, key)
                found.append(of_each(self._parts, index, outputs, of_chunk))
                loss += share * of_chunk
                self._forget(index, outputs)
        return loss, Each.joined(found)

    def metrics_at(self, key: tuple[float, float]) -> dict[str, float]:
        """Each metric at a node."""
        found = dict.fromkeys(self._names[1:], 0.0)
        with self._parts.borrowed(), torch.no_grad():
            for index, share in enumerate(self._parts.shares if found else ()):
                outputs = self._noting.read(self._at(index, key)[0])
                for name, value in self._pass.of_outputs(outputs, unpack(self._parts.chunk(index))).items():
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
        values = LevelValues(self._names, lattice, chunks=self.num_chunks if by_chunk else 0)
        with self._parts.borrowed():
            for index, share in enumerate(self._parts.shares):
                found = []
                for key in lattice.keys:
                    found.append(self._at(index, key))
                    report()
                outputs, losses = torch.stack([z for z, _ in found]), np.array([loss for _, loss in found])
                self._check(index, outputs[0], losses[0])
                values.at_nodes += share * losses
                with torch.no_grad():
                    self._add(values, index, share, outputs, lattice, before=before)
                self._forget(index, outputs)
        for key, (_, loss) in self._known.items():
            if key in lattice.keys:
                values.at_nodes[lattice.keys.index(key)] = loss
        values.settle(lattice)
        return values

    def _at(self, index: int, key: tuple[float, float]) -> tuple[Tensor, float]:
        """Outputs and loss of a chunk at a node."""
        if (index, key) in self._kept:
            return self._kept[index, key]
        if key in self._known:
            own = self._known[key][0].split(self._sizes)[index]
            with torch.no_grad():
                self._kept[index, key] = own, float(self._parts.loss_of(own.clone(), self._parts.chunk(index)))
            return self._kept[index, key]
        loss = self._parts.value(index, self._layout.split(self._moved(*key)))
        outputs = self._noting.noted
        if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
            raise NotInterpolated(f"the network returns a {type(outputs).__name__}, not one tensor of numbers")
        self.evaluations += self._parts.shares[index]
        if not bool(outputs.isfinite().all()) or not np.isfinite(loss):
            raise NotInterpolated(f"loss or outputs are not finite at ({key[1]:.3g}, {key[0]:.3g}) of the radius")
        if outputs.shape != self._shape_of(index, outputs):
            raise NotInterpolated("the shape of the outputs depends on the parameters")
        self._kept[index, key] = outputs, loss
        return outputs, loss

    def _shape_of(self, index: int, default: Tensor) -> torch.Size:
        return next((z.shape for (chunk, _), (z, _) in self._kept.items() if chunk == index), default.shape)

    def _forget(self, index: int, outputs: Tensor) -> None:
        """Where those of all chunks at these nodes are too large, none is kept for the next level."""
        if _bytes(outputs) * self.num_chunks > MEMORY:
            for key in [key for key in self._kept if key[0] == index]:
                del self._kept[key]

    def _check(self, index: int, outputs: Tensor, loss: float) -> None:
        """Whether the loss is one of outputs alone: at a corner, where parameters are not those of the model."""
        try:
            with torch.no_grad():
                alone = float(self._parts.loss_of(outputs.clone(), self._parts.chunk(index)))
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
        flat = exact.reshape(*lattice.counts, -1)

        def rows_of(matrices: tuple[np.ndarray, np.ndarray]) -> Any:
            up, right = (torch.as_tensor(m).to(flat) for m in matrices)
            for weights in up:
                mixed = torch.tensordot(weights, flat, dims=1)
                yield (right @ mixed).reshape(-1, *shape).to(dtype)

        for row, there in enumerate(rows_of(lattice.to_grid)):
            found = {name: np.zeros(len(there)) for name in self._names} | {"": self.losses(there, index)}
            for column, point in enumerate(there if len(self._names) > 1 else ()):
                metrics = self._pass.of_outputs(self._noting.read(point), unpack(self._parts.chunk(index)))
                for name, value in metrics.items():
                    found[name][column] = value
            for name, value in found.items():
                values.grid[name][row] += share * value
                if values.of_chunk:
                    values.of_chunk[name][index, row] = value
        if before:
            for row, there in enumerate(rows_of(lattice.of_every_second)):
                values.before[row] += share * self.losses(there, index)
        others = lattice.checkerboard
        if others is not None:
            flat = flat.reshape(lattice.size, -1)
            for rows in np.array_split(np.arange(lattice.size), lattice.count):
                there = (torch.as_tensor(others[rows]).to(flat) @ flat).reshape(-1, *shape).to(dtype)
                values.predicted[rows] += share * self.losses(there, index)

    @torch.no_grad()
    def losses(self, outputs: Tensor, index: int) -> np.ndarray:
        """The loss of each of several outputs (G, …) of a chunk, within :meth:`borrowed`."""
        few = max(1, _TOGETHER // max(_bytes(outputs[0]), 1))
        chunk = self._parts.chunk(index)
        found = []
        for some in outputs.split(few):
            together = self._all_at_once(some, chunk) if self._together and len(some) > 1 else None
            if together is None:
                together = np.array([float(self._parts.loss_of(z, chunk)) for z in some])
            found.append(together)
        return np.concatenate(found)

    def _all_at_once(self, outputs: Tensor, chunk: Any) -> np.ndarray | None:
        """The same by one batched call, where the loss can be batched; its first value is held against a plain one."""
        try:
            losses = torch.func.vmap(lambda z: self._parts.loss_of(z, chunk))(outputs).double().cpu().numpy()
            plain = float(self._parts.loss_of(outputs[0], chunk))
        except Exception:  # whatever a loss does that has no batched form
            losses, plain = np.full(len(outputs), np.nan), 0.0
        eps = torch.finfo(outputs.dtype).eps
        if np.isfinite(plain) and not abs(losses[0] - plain) <= ROUNDINGS * eps * abs(plain):
            self._together = False
            return None
        return np.asarray(losses)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
