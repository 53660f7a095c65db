"""The order in which training sees the examples, as something that can be stored and taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from landscape.errors import UsageError
from landscape.problems.base import is_pair

#: name → options. ``start`` of the examples come first in ``"curriculum"``, all from ``full_by`` of the epochs on; in
#: ``"blocks"`` the epochs are shared out among so many ``blocks`` of the examples, beginning with the ``first``.
ORDERS: dict[str, dict[str, Any]] = {
    "shuffled": {},
    "fixed": {},
    "sorted": {},
    "curriculum": {"start": 0.2, "full_by": 0.5},
    "blocks": {"blocks": 2, "first": 1},
}
#: name → options. The batch grows by ``factor`` over the epochs, or over the first half of them and back.
BATCH_SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {},
    "growing": {"factor": 8.0},
    "grow-shrink": {"factor": 8.0},
}


class Order(Protocol):
    """Where a training loop takes its batches from."""

    @property
    def total_steps(self) -> int:
        """Batches of the whole training."""

    @property
    def changes(self) -> tuple[int, ...]:
        """Steps after which another block of the examples begins."""

    def epochs_after(self, steps: int) -> float:
        """How often every example was seen, on average, after ``steps`` steps."""

    def next(self) -> list[Tensor]:
        """Rows of the next batch, for each client; one client where there is only one."""

    def state(self) -> dict[str, Any]:
        """All that ``restore`` needs."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state()`` was taken."""


class BatchOrder:
    """Batches of row numbers, epoch after epoch, the last one of an epoch as short as it comes out.

    It has a generator of its own, so nothing else that is random moves it.

    Parameters
    ----------
    num_examples, batch_size, epochs : int
    seed : int
    kind : {"shuffled", "fixed", "sorted", "curriculum", "blocks"}
        A new permutation every epoch; one for all epochs; by ``ranks`` from low to high; drawn from the examples of
        lowest rank, which become more from epoch to epoch; a new permutation of one block of the examples, as tasks
        that come one after another: an epoch is then a pass over a block.
    ranks : (N,) tensor, optional
        What ``"sorted"`` and ``"curriculum"`` go by.
    schedule : {"constant", "growing", "grow-shrink"}
        Of the batch size, in geometric steps from epoch to epoch.

    Examples
    --------
    >>> order = BatchOrder(5, 2, epochs=2, seed=0)
    >>> [len(order.next()[0]) for _ in range(order.total_steps)]
    [2, 2, 1, 2, 2, 1]
    """

    def __init__(
        self,
        num_examples: int,
        batch_size: int,
        *,
        epochs: int,
        seed: int,
        kind: str = "shuffled",
        ranks: Tensor | None = None,
        schedule: str = "constant",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.num_examples, self.batch_size, self.epochs = num_examples, batch_size, epochs
        self.kind, self.schedule = kind, schedule
        self.options = {**ORDERS[kind], **BATCH_SCHEDULES[schedule], **(options or {})}
        self._ranked = None if ranks is None else ranks.argsort(stable=True)
        self._check_blocks()
        self._steps = [-(-self._size(epoch) // self.batch_size_in(epoch)) for epoch in range(epochs)]
        blocks = [self.block_in(epoch) for epoch in range(epochs)]
        ends = list(accumulate(self._steps))
        #: Steps after which another block begins.
        self.changes = tuple(end for end, now, then in zip(ends, blocks, blocks[1:], strict=False) if now != then)
        self._seed, self._generator = seed, torch.Generator().manual_seed(seed)
        self._begin_epoch(0)

    def _check_blocks(self) -> None:
        if self.kind != "blocks":
            return
        count, first = self.options["blocks"], self.options["first"]
        if count > min(self.num_examples, self.epochs):
            raise UsageError(
                f"blocks={count} is more than the {self.num_examples} examples or the {self.epochs} epochs there are"
            )
        if first > count:
            raise UsageError(f"first={first} must be one of the {count} blocks, which are numbered from 1")

    def block_in(self, epoch: int) -> int | None:
        """The block of that epoch, from 0; None where there are none."""
        if self.kind != "blocks":
            return None
        count, first = int(self.options["blocks"]), int(self.options["first"])
        return (first - 1 + epoch * count // self.epochs) % count

    def _size(self, epoch: int) -> int:
        block = self.block_in(epoch)
        return self.num_examples if block is None else len(block_rows(self.num_examples, self.options["blocks"], block))

    def batch_size_in(self, epoch: int) -> int:
        """Examples in a batch of that epoch."""
        if self.schedule == "constant":
            return self.batch_size
        done = epoch / max(self.epochs - 1, 1)
        rise = done if self.schedule == "growing" else 1 - abs(2 * done - 1)
        wanted: float = self.batch_size * self.options["factor"] ** rise
        return min(self.num_examples, max(1, round(wanted)))

    @property
    def total_steps(self) -> int:
        """Batches of the whole training."""
        return sum(self._steps)

    def epochs_after(self, steps: int) -> float:
        """How often every example was seen, on average, after ``steps`` steps."""
        for epoch, count in enumerate(self._steps):
            if steps <= count:
                return epoch + steps / count
            steps -= count
        return self.epochs + steps / self._steps[-1]

    def next(self) -> list[Tensor]:
        """Rows of the next batch."""
        if self._position == len(self._batches):
            self._begin_epoch(self._epoch + 1)
        self._position += 1
        return [self._batches[self._position - 1]]

    def state(self) -> dict[str, Any]:
        """The epoch, the generator as it began, and how many of its batches are gone."""
        return {"epoch": self._epoch, "epoch_start": self._epoch_start, "position": self._position}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state()`` was taken."""
        self._generator.set_state(state["epoch_start"])
        self._begin_epoch(state["epoch"])
        self._position = state["position"]

    def _begin_epoch(self, epoch: int) -> None:
        self._epoch, self._position = epoch, 0
        self._epoch_start = self._generator.get_state()
        self._batches = self._rows(epoch).split(self.batch_size_in(epoch))

    def _rows(self, epoch: int) -> Tensor:
        if self.kind == "sorted" and self._ranked is not None:
            return self._ranked
        if self.kind == "fixed":
            # The same draw every epoch.
            return torch.randperm(self.num_examples, generator=torch.Generator().manual_seed(self._seed))
        if (block := self.block_in(epoch)) is not None:
            rows = block_rows(self.num_examples, self.options["blocks"], block)
            return rows[torch.randperm(len(rows), generator=self._generator)]
        if self.kind == "shuffled" or self._ranked is None:
            return torch.randperm(self.num_examples, generator=self._generator)
        start, by = self.options["start"], self.options["full_by"]
        share = min(1.0, start + (1 - start) * epoch / max(by * self.epochs, 1e-9))
        easy = self._ranked[: max(1, round(share * self.num_examples))]
        draws = [
            easy[torch.randperm(len(easy), generator=self._generator)]
            for _ in range(-(-self.num_examples // len(easy)))
        ]
        return torch.cat(draws)[: self.num_examples]


def block_rows(num_examples: int, blocks: int, block: int) -> Tensor:
    """Rows of one of so many equal blocks, from 0."""
    return torch.arange(num_examples).tensor_split(blocks)[block]


class ClientOrder:
    """A part of the examples and an order of its own for each of several clients.

    Parameters
    ----------
    labels : (N,) tensor
        What the parts differ by where ``skew`` > 0: that share of the examples is dealt out in the order of the labels,
        the rest at random.
    """

    def __init__(self, labels: Tensor, batch_size: int, *, clients: int, skew: float, epochs: int, seed: int) -> None:
        if clients > len(labels):
            raise UsageError(f"clients={clients} is more than the {len(labels)} examples there are")
        self.parts = dealt(labels, clients, skew, seed)
        self._orders = [
            BatchOrder(len(rows), min(batch_size, len(rows)), epochs=epochs, seed=seed + 1 + index)
            for index, rows in enumerate(self.parts)
        ]

    @property
    def total_steps(self) -> int:
        """Local steps of each client, until the one with most examples has seen all of its own."""
        return max(order.total_steps for order in self._orders)

    @property
    def changes(self) -> tuple[int, ...]:
        """None: clients have no blocks."""
        return ()

    def epochs_after(self, steps: int) -> float:
        """Epochs of the client with most examples."""
        return max(self._orders, key=lambda order: order.total_steps).epochs_after(steps)

    def next(self) -> list[Tensor]:
        """Rows of the next batch of each client."""
        return [rows[order.next()[0]] for rows, order in zip(self.parts, self._orders, strict=True)]

    def state(self) -> dict[str, Any]:
        """That of every client."""
        return {"clients": [order.state() for order in self._orders]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state()`` was taken."""
        for order, part in zip(self._orders, state["clients"], strict=True):
            order.restore(part)


def dealt(labels: Tensor, clients: int, skew: float, seed: int) -> list[Tensor]:
    """Rows for each client, as equal in number as they come out."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(labels), generator=generator)
    by_label, mixed = rows[: round(skew * len(rows))], rows[round(skew * len(rows)) :]
    by_label = by_label[labels[by_label].argsort(stable=True)]
    return [
        torch.cat(pieces) for pieces in zip(by_label.tensor_split(clients), mixed.tensor_split(clients), strict=True)
    ]


def ranks(examples: Any, kind: str) -> Tensor | None:
    """What an order goes by: the label for ``"sorted"``; for ``"curriculum"`` how unusual an example is among its own.

    Unusual is far from the mean input of its class, or, where the targets are numbers, far from the median target.

    Raises
    ------
    UsageError
        If it goes by inputs or targets, and the examples are no pair of such tensors.
    """
    if kind not in ("sorted", "curriculum"):
        return None
    if not is_pair(examples):
        raise UsageError(f"the order {kind!r} goes by inputs and targets, and the data are no pair of such tensors")
    inputs, targets = cast(tuple[Tensor, Tensor], examples)
    if kind == "sorted":
        return targets if targets.ndim == 1 else targets.flatten(1).double().sum(1)
    if targets.is_floating_point() or targets.ndim > 1:
        flat = targets.reshape(len(targets), -1).double()
        away: Tensor = (flat - flat.median(0).values).norm(dim=1)
        return away
    flat = inputs.reshape(len(inputs), -1).double()
    away = torch.zeros(len(flat), dtype=torch.float64)
    for label in targets.unique():
        mine = targets == label
        away[mine] = (flat[mine] - flat[mine].mean(0)).norm(dim=1)
    return away
