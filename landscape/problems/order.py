"""The order in which training sees the examples, as something that can be stored and taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class BatchOrder:
    """Batches of row numbers: a new permutation every epoch, the last batch as short as it comes out.

    It has a generator of its own, so nothing else that is random moves it.

    Examples
    --------
    >>> order = BatchOrder(5, 2, seed=0)
    >>> [len(order.next()) for _ in range(4)]
    [2, 2, 1, 2]
    """

    def __init__(self, num_examples: int, batch_size: int, *, seed: int) -> None:
        self.num_examples, self.batch_size = num_examples, batch_size
        self._generator = torch.Generator().manual_seed(seed)
        self._begin_epoch()

    @property
    def steps_per_epoch(self) -> int:
        """Batches until every example was seen once."""
        return -(-self.num_examples // self.batch_size)

    def _begin_epoch(self) -> None:
        self._epoch_start = self._generator.get_state()
        rows = torch.randperm(self.num_examples, generator=self._generator)
        self._batches = rows.split(self.batch_size)
        self._position = 0

    def next(self) -> Tensor:
        """Rows of the next batch."""
        if self._position == len(self._batches):
            self._begin_epoch()
        self._position += 1
        return self._batches[self._position - 1]

    def state(self) -> dict[str, Any]:
        """The generator as the epoch began, and how many of its batches are gone."""
        return {"epoch_start": self._epoch_start, "position": self._position}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state()`` was taken."""
        self._generator.set_state(state["epoch_start"])
        self._begin_epoch()
        self._position = state["position"]
