"""What optimizers of several clients have in common: parameters of their own for each, and what all agree on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from landscape.optimizers.base import Closure, WholeVectorOptimizer, evaluated


class ClientsOptimizer(WholeVectorOptimizer):
    """SGD steps of several clients, each on examples of its own, simulated in one process.

    The parameters of the model are the mean over clients after every step, so what a checkpoint holds is what the
    clients would agree on then. θ of each client is in the state, ``(clients, *shape)`` for each tensor.
    """

    def __init__(self, params: Iterable[Tensor], defaults: dict[str, Any]) -> None:
        clients, skew = defaults["clients"], defaults["skew"]
        if not clients >= 1 or clients != int(clients):
            raise ValueError(f"clients={clients!r} must be a whole number of at least 1")
        if not 0 <= skew <= 1:
            raise ValueError(f"skew={skew!r} must lie between 0 and 1")
        super().__init__(params, {**defaults, "clients": int(clients), "t": 0})

    @property
    def places(self) -> list[Tensor]:
        """``(clients, *shape)`` of each tensor: where the clients stand; all on the model before the first step."""
        for p in self.tensors:
            if not self.state[p]:
                self.state[p]["clients"] = p.detach().expand(self.group["clients"], *p.shape).clone()
        return [self.state[p]["clients"] for p in self.tensors]

    @property
    def noted(self) -> dict[str, float]:
        """``distance_to_consensus``: root mean square over clients of their distance from the mean of all."""
        # In float64 before the mean is taken: clients on one point are at no distance from it.
        places = [state["clients"].double() for p in self.tensors if (state := self.state.get(p))]
        squared = sum(float((place - place.mean(0)).square().sum()) for place in places)
        return {"distance_to_consensus": (squared / self.group["clients"]) ** 0.5}

    def local_steps(self, closure: Closure) -> Tensor:
        """A step of every client from where it stands; the mean of their losses."""
        losses, places = [], self.places
        for client in range(self.group["clients"]):
            self.go_to([place[client] for place in places])
            losses.append(evaluated(closure.of_client(client)))
            for place, g in zip(places, self.gradients(), strict=True):
                place[client].sub_(self.group["lr"] * g)
        self.group["t"] += 1
        self.step_size = self.group["lr"]
        return torch.stack(losses).mean()

    def show_mean(self) -> None:
        """Put the model where the mean of the clients is."""
        self.go_to([place.mean(0) for place in self.places])
