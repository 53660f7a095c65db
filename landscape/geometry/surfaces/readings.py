"""Losses and metrics of outputs that are known, of many points at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.device import widened
from landscape.geometry.metrics import Pass
from landscape.geometry.surfaces.each import ROUNDINGS
from landscape.geometry.surfaces.network import Network
from landscape.objective.batches import unpack
from landscape.objective.functional import Parts

#: Bytes of outputs whose losses are computed together.
_TOGETHER = 16 * 2**20


class Reading:
    """Reads outputs of the chunks of a pass, within ``parts.borrowed()``.

    Parameters
    ----------
    one : Pass
    network : Network
        Of the same objective.
    """

    def __init__(self, one: Pass, network: Network) -> None:
        self._pass, self._network, self._together = one, network, True
        self.names = ("", *one.functions)

    @property
    def _parts(self) -> Parts:
        return self._network.parts

    def values(self, outputs: Tensor, index: int) -> dict[str, np.ndarray]:
        """Loss, which is called ``""``, and metrics of each of several outputs (G, …) of a chunk."""
        found = {name: np.zeros(len(outputs)) for name in self.names} | {"": self.losses(outputs, index)}
        for place, one in enumerate(outputs if len(self.names) > 1 else ()):
            for name, value in self.metrics(one, index).items():
                found[name][place] = value
        return found

    @torch.no_grad()
    def metrics(self, outputs: Tensor, index: int) -> dict[str, float]:
        """Each metric of the outputs of a chunk."""
        return self._pass.of_outputs(self._network.read(outputs), unpack(self._parts.chunk(index)))

    def loss(self, outputs: Tensor, index: int) -> float:
        """The loss of the outputs of a chunk, which stay as they are."""
        with torch.no_grad():
            return float(self._parts.loss_of(outputs.clone(), self._parts.chunk(index)))

    @torch.no_grad()
    def losses(self, outputs: Tensor, index: int) -> np.ndarray:
        """The loss of each of several outputs (G, …) of a chunk."""
        few = max(1, _TOGETHER // max(size_of(outputs[0]), 1))
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
            losses = widened(torch.func.vmap(lambda z: self._parts.loss_of(z, chunk))(outputs)).cpu().numpy()
            plain = float(self._parts.loss_of(outputs[0], chunk))
        except Exception:  # whatever a loss does that has no batched form
            losses, plain = np.full(len(outputs), np.nan), 0.0
        eps = torch.finfo(outputs.dtype).eps
        if np.isfinite(plain) and not abs(losses[0] - plain) <= ROUNDINGS * eps * abs(plain):
            self._together = False
            return None
        return np.asarray(losses)


def size_of(tensor: Tensor) -> int:
    """Bytes."""
    return tensor.numel() * tensor.element_size()
