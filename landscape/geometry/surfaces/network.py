"""The network at a node: what it returns for a chunk of the data, and the loss of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from landscape.objective import Objective
from landscape.objective.losses import LossModule

#: (y, x) in units of the radius.
Key = tuple[float, float]
#: θ there.
Moved = Callable[[float, float], Tensor]


@dataclass(frozen=True)
class Scaled:
    """θ at (y, x) in units of the radius, from what knows it in lengths of the directions.

    Attributes
    ----------
    at : callable
        ``at(y, x) -> (Objective, θ)``.
    radii : pair of floats
        Along y and x.
    """

    at: Callable[[float, float], tuple[Objective, Tensor]]
    radii: tuple[float, float]

    def __call__(self, up: float, right: float) -> Tensor:
        return self.at(up * self.radii[0], right * self.radii[1])[1]


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


class Network:
    """An objective on a slice, whose outputs are seen.

    Parameters
    ----------
    objective : Objective
    moved : callable
        θ at (y, x), in units of the radius.

    Raises
    ------
    NotInterpolated
        Where outputs cannot be had apart from the loss.
    """

    def __init__(self, objective: Objective, moved: Moved) -> None:
        if not objective.module.is_separable:
            raise NotInterpolated("the loss does not say where the network ends")
        if objective.mode == "train":
            raise NotInterpolated("in training mode the outputs of an example depend on all the others")
        watched = objective.with_constants({})
        self._noting = watched.module = Noting(objective.module)
        self._layout, self._moved, self.parts = objective.layout, moved, watched.parts()

    def at(self, index: int, key: Key) -> tuple[Tensor, float]:
        """Outputs and loss of a chunk at a node, within ``parts.borrowed()``.

        Raises
        ------
        NotInterpolated
            Where outputs are no tensor of numbers, or not finite.
        """
        loss = self.parts.value(index, self._layout.split(self._moved(*key)))
        outputs, self._noting.noted = self._noting.noted, None
        if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
            raise NotInterpolated(f"the network returns a {type(outputs).__name__}, not one tensor of numbers")
        if not bool(outputs.isfinite().all()) or not np.isfinite(loss):
            raise NotInterpolated(f"loss or outputs are not finite at ({key[1]:.3g}, {key[0]:.3g}) of the radius")
        return outputs, loss

    def read(self, outputs: Any) -> Any:
        """Outputs as the loss reads them."""
        return self._noting.read(outputs)
