"""SGD at several clients that meet now and then: federated averaging, simulated in one process."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from landscape.optimizers.base import Closure, WholeVectorOptimizer, evaluated


class LocalSGD(WholeVectorOptimizer):
    r"""Each of ``clients`` takes SGD steps on examples of its own; every ``period`` steps all go on from their mean.

    The parameters of the model are the mean over clients after every step, so what a checkpoint holds is what the
    clients would agree on then. ``period=1`` is SGD on the union of their batches.

    Parameters
    ----------
    lr : float
    clients : int
        Memory of as many copies of θ.
    period : int
        Local steps between two meetings.
    skew : float
        Read by the order of the data: from 0, examples dealt out at random, to 1, each client has classes of its own.

    References
    ----------
    McMahan, Moore, Ramage, Hampson & Agüera y Arcas (2017), AISTATS, algorithm 1 with all clients taking part.
    Stich (2019), Local SGD converges fast and communicates little, ICLR.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.1, *, clients: int = 4, period: int = 8, skew: float = 0.0
    ) -> None:
        for name, value in (("clients", clients), ("period", period)):
            if not value >= 1 or value != int(value):
                raise ValueError(f"{name}={value!r} must be a whole number of at least 1")
        if not 0 <= skew <= 1:
            raise ValueError(f"skew={skew!r} must lie between 0 and 1")
        super().__init__(params, {"lr": lr, "clients": int(clients), "period": int(period), "skew": skew, "t": 0})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One local step of every client; one gradient each. Returns the mean of their losses."""
        group = self.group
        count = group["clients"]
        for p in self.tensors:
            if not self.state[p]:
                self.state[p]["clients"] = p.detach().expand(count, *p.shape).clone()
        losses = []
        for client in range(count):
            self.go_to([self.state[p]["clients"][client] for p in self.tensors])
            losses.append(evaluated(closure.of_client(client)))
            for p, g in zip(self.tensors, self.gradients(), strict=True):
                self.state[p]["clients"][client].sub_(group["lr"] * g)
        group["t"] += 1
        for p in self.tensors:
            mean = self.state[p]["clients"].mean(0)
            if group["t"] % group["period"] == 0:
                self.state[p]["clients"].copy_(mean.expand_as(self.state[p]["clients"]))
            p.copy_(mean)
        self.step_size = group["lr"]
        return torch.stack(losses).mean()
