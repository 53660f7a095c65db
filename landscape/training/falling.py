"""Whether the training loss has fallen far since the last checkpoint, by the losses that steps have anyway."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

#: A smaller factor would save nearly every step.
LEAST_FALL = 1.01
#: Examples whose losses are averaged: of so many the mean is known to a few per cent.
EXAMPLES = 512


class FallingLoss:
    """The running training loss of a run, and the lowest at which a checkpoint was saved.

    The running loss is the mean of the last batch losses: of the last half of all steps so far, at most of as many as
    see ``EXAMPLES`` examples, or an epoch where that is less. It costs nothing, lags behind the loss by half of that
    window, and is noisy; so checkpoints come about, not exactly, a factor apart. Their number is bounded: each stands
    at a running loss lower by ``factor`` than all before it.

    Parameters
    ----------
    factor : float
        0: never.
    batch_size, num_examples : int
    """

    def __init__(self, factor: float, *, batch_size: int, num_examples: int) -> None:
        self.factor = factor
        self._window = max(1, min(EXAMPLES, num_examples) // batch_size)
        self._recent: deque[float] = deque(maxlen=self._window)
        self._steps, self._lowest = 0, math.inf

    @property
    def running(self) -> float:
        """NaN before the first step."""
        count = min(len(self._recent), max(1, self._steps // 2))
        return sum(list(self._recent)[-count:]) / count if self._recent else math.nan

    def add(self, loss: float) -> None:
        """The loss of one step's batch."""
        if self.factor:
            self._recent.append(loss)
            self._steps += 1

    @property
    def has_fallen(self) -> bool:
        """Whether the running loss is lower than at every checkpoint so far by the factor, or there is none to compare.

        A loss that is not positive has no factor, so it never has.
        """
        if not self.factor or not self._recent or not math.isfinite(self._lowest):
            return False
        return 0 < self.running * self.factor <= self._lowest

    def saved(self) -> None:
        """A checkpoint was saved here, for whatever reason."""
        if self._recent:
            self._lowest = min(self._lowest, self.running)

    def begin(self, loss: float) -> None:
        """The loss over all examples at a checkpoint from which it is watched: the first, or that of a resume."""
        self._lowest = loss

    def state(self) -> dict[str, Any]:
        """All that ``restore`` needs; empty where nothing is watched."""
        if not self.factor:
            return {}
        return {"recent": list(self._recent), "steps": self._steps, "lowest": self._lowest}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state()`` was taken; afresh where it was not watched then."""
        if self.factor and state:
            self._recent = deque((float(x) for x in state["recent"]), maxlen=self._window)
            self._steps, self._lowest = int(state["steps"]), float(state["lowest"])
