"""SGD with gradients that are coarse, or old: what communication does to an optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from scipy.optimize import brentq
from torch import Tensor

from landscape.checks import check_choice
from landscape.errors import UsageError
from landscape.optimizers.base import Closure, WholeVectorOptimizer, evaluated

LAWS = ("fixed", "geometric")
#: Delays longer than so many means are not waited for.
LONGEST = 10


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
    r"""SGD with momentum and gradients from earlier steps, :math:`v ← βv + g(θ_{t−τ}),\; θ_{t+1} = θ_t − η\,v`.

    As a worker sees it that computes while others write. A gradient from before the beginning is none, so the first
    steps may not move. On a quadratic with curvature λ and a fixed delay it is stable for ηλ below
    :func:`delayed_limit`, without momentum :math:`2\sin\big(π/(4τ + 2)\big)`.

    Delays of the law ``"geometric"`` are drawn anew for each step, with ``delay`` as their mean: τ = l with
    :math:`(1 − μ) μ^l`, :math:`μ = τ̄/(1 + τ̄)`. In the mean over delays such a step is one of momentum μ,

    .. math:: E[θ_{t+1} − θ_t] = μ\,E[θ_t − θ_{t−1}] − (1 − μ)\,η\,E[g(θ_t)] \qquad (β = 0),

    which is what asynchronous workers see, n of them with μ = 1 − 1/n.

    Parameters
    ----------
    lr : float
    delay : int
        τ in steps, or its mean; 0 is SGD. Memory of as many gradients, of ``LONGEST`` times as many for
        ``"geometric"``: later ones, at most 1 in 1000, never arrive.
    momentum : float
        β, above −1 and below 1: below 0 it takes back what delays add.
    law : {"fixed", "geometric"}

    References
    ----------
    Agarwal & Duchi (2011), Distributed delayed stochastic optimization, NeurIPS. The bound is that of the
    characteristic polynomial :math:`z^{τ+1} − z^τ + ηλ` (Levin & May 1976, Theor. Popul. Biol. 9). Mitliagkas, Zhang,
    Hadjis & Ré (2016), Asynchrony begets momentum, with an application to deep learning, Allerton.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.05,
        *,
        delay: int = 4,
        momentum: float = 0.0,
        law: str = "fixed",
    ) -> None:
        _check_delayed(delay, momentum)
        check_choice("law", law, LAWS)
        super().__init__(params, {"lr": lr, "delay": int(delay), "momentum": momentum, "law": law, "t": 0})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; one gradient."""
        loss, group = evaluated(closure), self.group
        lag, momentum = self._lag(), group["momentum"]
        arrived = lag <= min(group["t"], self._slots())
        self.step_size = group["lr"] if arrived or momentum else 0.0
        for p, g in zip(self.tensors, self.gradients(), strict=True):
            late = self._exchanged(self.state[p], g, lag if arrived else None)
            if momentum:
                velocity = self.state[p].setdefault("velocity", torch.zeros_like(p))
                late = velocity.mul_(momentum).add_(late)
            p.sub_(group["lr"] * late)
        group["t"] += 1
        return loss

    def _slots(self) -> int:
        """Gradients that are kept."""
        delay: int = self.group["delay"]
        return delay if self.group["law"] == "fixed" else LONGEST * delay

    def _lag(self) -> int:
        """Of this step: how many steps ago its gradient was taken."""
        delay: int = self.group["delay"]
        if self.group["law"] == "fixed" or delay == 0:
            return delay
        below = 1 - float(torch.rand((), dtype=torch.float64))  # above 0, and 1 at most
        return math.floor(math.log(below) / math.log(delay / (1 + delay)))

    def _exchanged(self, state: dict[str, Any], g: Tensor, lag: int | None) -> Tensor:
        """The gradient of ``lag`` steps ago, zero where none arrives; this one is put in the place of the oldest."""
        slots, t = self._slots(), self.group["t"]
        if slots and "queue" not in state:
            state["queue"] = torch.zeros(slots, *g.shape, dtype=g.dtype, device=g.device)
        late = torch.zeros_like(g) if lag is None else g if lag == 0 else state["queue"][(t - lag) % slots].clone()
        if slots:
            state["queue"][t % slots] = g
        return late


def delayed_limit(delay: int, momentum: float = 0.0) -> float:
    r"""ηλ up to which gradient descent with delayed gradients and momentum is stable on a quadratic of curvature λ.

    The characteristic polynomial :math:`z^{τ+1} − (1 + β) z^τ + β z^{τ−1} + ηλ` gets roots of modulus 1, e^{iω}, where
    :math:`(τ − ½)ω + \arg(e^{iω} − β) = π/2 + 2πk`, at :math:`ηλ = 2 \sin(ω/2)\,|e^{iω} − β|`; this is the least of
    these. Without momentum it is :math:`2\sin\big(π/(4τ + 2)\big)`, without delay :math:`2(1 + β)`.

    Parameters
    ----------
    delay : int
        τ, the same for all steps.
    momentum : float
        β, above −1 and below 1.

    Examples
    --------
    >>> f"{delayed_limit(0):.3f} {delayed_limit(4):.3f} {delayed_limit(4, 0.9):.3f} {delayed_limit(4, -0.5):.3f}"
    '2.000 0.347 0.026 0.553'
    """
    try:
        _check_delayed(delay, momentum)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from None
    if delay == 0:
        return 2 * (1 + momentum)

    def turned(angle: float, turns: int) -> float:
        own = math.atan2(math.sin(angle), math.cos(angle) - momentum)
        return (delay - 0.5) * angle + own - math.pi / 2 - 2 * math.pi * turns

    # It rises with the angle, to τπ without turns; below 0 of momentum a later crossing may come at a smaller step.
    turns = [k for k in range(delay // 2 + 1) if 2 * k < delay]
    angles = [brentq(turned, 0.0, math.pi, args=(k,), xtol=1e-14) for k in turns]
    angles += [] if delay % 2 else [math.pi]
    return min(2 * math.sin(w / 2) * math.hypot(math.cos(w) - momentum, math.sin(w)) for w in angles)


def _check_delayed(delay: int, momentum: float) -> None:
    if not delay >= 0 or delay != int(delay):
        raise ValueError(f"delay={delay!r} must be a whole number of at least 0")
    if not -1 < momentum < 1:
        raise ValueError(f"momentum={momentum!r} must lie between -1 and 1")
