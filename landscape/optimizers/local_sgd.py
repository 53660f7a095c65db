"""SGD at several clients that meet now and then: federated averaging, simulated in one process."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from landscape.optimizers.base import Closure
from landscape.optimizers.clients import ClientsOptimizer


class LocalSGD(ClientsOptimizer):
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
        if not period >= 1 or period != int(period):
            raise ValueError(f"period={period!r} must be a whole number of at least 1")
        super().__init__(params, {"lr": lr, "clients": clients, "period": int(period), "skew": skew})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One local step of every client; one gradient each. Returns the mean of their losses."""
        loss = self.local_steps(closure)
        self.show_mean()
        if self.group["t"] % self.group["period"] == 0:
            for place, p in zip(self.places, self.tensors, strict=True):
                place.copy_(p.detach().expand_as(place))
        return loss
