"""Gradient steps that look ahead, for games, in whose turning fields plain steps spiral outwards."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from landscape.optimizers.base import Closure, WholeVectorOptimizer, evaluated


class Extragradient(WholeVectorOptimizer):
    r"""A step by the gradient of where a step would lead: :math:`θ ← θ − η\, v(θ − η\, v(θ))`.

    Two gradients a step, of one batch.

    References
    ----------
    Korpelevich (1976), Ekonomika i Matematicheskie Metody 12(4). Gidel, Berard, Vignoud, Vincent & Lacoste-Julien
    (2019), ICLR, arXiv:1802.10551, without averaging.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; two gradients. The loss is that where the step began."""
        here, rate = self.stand(), self.group["lr"]
        loss = evaluated(closure)
        self.move(self.gradients(), -rate)
        evaluated(closure)
        ahead = self.gradients()
        self.go_to(here)
        self.move(ahead, -rate)
        self.step_size = rate
        return loss


class Optimistic(WholeVectorOptimizer):
    r"""Twice this gradient, less the last: :math:`θ_{t+1} = θ_t − 2η\,v_t + η\,v_{t-1}`; the first step is plain.

    One gradient a step; the last one is remembered.

    References
    ----------
    Daskalakis, Ilyas, Syrgkanis & Zeng (2018), ICLR, arXiv:1711.00141, equation 5 and below.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; one gradient."""
        loss, rate = evaluated(closure), self.group["lr"]
        for p, g in zip(self.tensors, self.gradients(), strict=True):
            state = self.state[p]
            p.add_(2 * g - state.get("gradient", g), alpha=-rate)
            state["gradient"] = g.clone()
        self.step_size = rate
        return loss
