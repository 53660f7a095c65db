"""SGD with gradients that are coarse, or old: what communication does to an optimizer."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from landscape.optimizers.base import Closure, WholeVectorOptimizer, evaluated


class QuantizedSGD(WholeVectorOptimizer):
    r"""SGD whose gradients are rounded to ``bits`` bits per number, one of them the sign.

    With :math:`s = 2^{\mathrm{bits} − 1} − 1` levels and the scale m of a tensor, :math:`|g_i|` becomes a multiple of
    :math:`m/s`: the nearest, or one of the two around it at random such that the mean is :math:`|g_i|`.

    Parameters
    ----------
    lr : float
    bits : int
        At least 2.
    stochastic : bool
        Unbiased rounding, with draws from torch's generator; else to the nearest.
    scale : {"max", "l2"}
        m, of each tensor: its largest entry, or its length as in QSGD, which is coarser.

    References
    ----------
    Alistarh, Grubic, Li, Tomioka & Vojnovic (2017), QSGD, NeurIPS, section 3.1.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.1, *, bits: int = 4, stochastic: bool = True, scale: str = "max"
    ) -> None:
        if not 2 <= bits <= 24 or bits != int(bits):
            raise ValueError(f"bits={bits!r} must be a whole number from 2 to 24")
        super().__init__(params, {"lr": lr, "bits": int(bits), "stochastic": stochastic, "scale": scale})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; one gradient."""
        loss, group = evaluated(closure), self.group
        levels = 2 ** (group["bits"] - 1) - 1
        rounded = [quantized(g, levels, stochastic=group["stochastic"], scale=group["scale"]) for g in self.gradients()]
        self.step_size = group["lr"]
        self.move(rounded, -group["lr"])
        return loss


def quantized(gradient: Tensor, levels: int, *, stochastic: bool, scale: str) -> Tensor:
    """Multiples of ``scale/levels``, with the signs of the gradient."""
    size = gradient.abs().max() if scale == "max" else torch.linalg.vector_norm(gradient)
    if not size > 0:
        return torch.zeros_like(gradient)
    steps = gradient.abs() / size * levels
    whole = (steps + torch.rand(gradient.shape).to(gradient)).floor() if stochastic else steps.round()
    return gradient.sign() * whole * (size / levels)


class DelayedSGD(WholeVectorOptimizer):
    r"""SGD with gradients from ``delay`` steps ago, :math:`θ_{t+1} = θ_t − η\,g(θ_{t−\mathrm{delay}})`.

    As a worker sees it that computes while others write. The first ``delay`` steps only fill the queue. On a quadratic
    with curvature λ it is stable for :math:`ηλ < 2\sin\big(π/(4·\mathrm{delay} + 2)\big)`.

    Parameters
    ----------
    lr : float
    delay : int
        Steps; 0 is SGD. Memory of as many gradients.

    References
    ----------
    Agarwal & Duchi (2011), Distributed delayed stochastic optimization, NeurIPS. The bound is that of the
    characteristic polynomial :math:`z^{τ+1} − z^τ + ηλ` (Levin & May 1976, Theor. Popul. Biol. 9).
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 0.05, *, delay: int = 4) -> None:
        if not delay >= 0 or delay != int(delay):
            raise ValueError(f"delay={delay!r} must be a whole number of at least 0")
        super().__init__(params, {"lr": lr, "delay": int(delay), "t": 0})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; one gradient."""
        loss, group = evaluated(closure), self.group
        delay, place = group["delay"], group["t"] % max(group["delay"], 1)
        arrived = group["t"] >= delay
        self.step_size = group["lr"] if arrived else 0.0
        for p, g in zip(self.tensors, self.gradients(), strict=True):
            if delay == 0:
                p.sub_(group["lr"] * g)
                continue
            state = self.state[p]
            if not state:
                state["queue"] = torch.zeros(delay, *p.shape, dtype=p.dtype, device=p.device)
            if arrived:
                p.sub_(group["lr"] * state["queue"][place])
            state["queue"][place] = g
        group["t"] += 1
        return loss
