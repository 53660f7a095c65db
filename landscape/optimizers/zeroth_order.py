"""Optimizers that never see a gradient."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from landscape.optimizers.base import Closure, WholeVectorOptimizer


class SPSA(WholeVectorOptimizer):
    r"""Simultaneous perturbation: one random direction of signs Δ, two losses,
    :math:`\hat g = \frac{f(θ + cΔ) − f(θ − cΔ)}{2c}\,Δ`, and :math:`θ ← θ − η\,\hat g`.

    The mean of ĝ over Δ is the gradient up to c² times third derivatives; its variance grows with the number of
    parameters. Gains decay as :math:`η_t = \mathrm{lr}/(t + A)^{α}`, :math:`c_t = c/t^{γ}`.

    Parameters
    ----------
    lr : float
    c : float
        Length of the perturbation of each parameter.
    alpha, gamma : float
        0.602 and 0.101 are Spall's; 0 leaves lr to the schedule, and c as it is.
    stability : float
        A; a tenth of the steps is usual.

    References
    ----------
    Spall (1992), IEEE Trans. Automatic Control 37(3), eq. (2.1), and (1998), Johns Hopkins APL Technical Digest 19(4)
    for the gains. Δ are drawn from torch's generator.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1e-2, *, c: float = 1e-3, alpha: float = 0.0, gamma: float = 0.0,
        stability: float = 0.0,
    ) -> None:  # fmt: skip
        if not c > 0:
            raise ValueError(f"c={c!r} must be a positive number")
        for name, value in (("alpha", alpha), ("gamma", gamma), ("stability", stability)):
            if not value >= 0:
                raise ValueError(f"{name}={value!r} must not be negative")
        super().__init__(params, {"lr": lr, "c": c, "alpha": alpha, "gamma": gamma, "stability": stability, "t": 0})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; two losses, no gradient. Returns their mean."""
        group = self.group
        group["t"] += 1
        signs = [torch.randint(0, 2, p.shape).to(p) * 2 - 1 for p in self.tensors]
        c = group["c"] / group["t"] ** group["gamma"]
        start = self.stand()
        self.move(signs, c)
        above = closure.value()
        self.go_to(start)
        self.move(signs, -c)
        below = closure.value()
        self.go_to(start)
        self.step_size = group["lr"] / (group["t"] + group["stability"]) ** group["alpha"]
        self.move(signs, -self.step_size * (above - below) / (2 * c))
        return torch.tensor((above + below) / 2)


class RandomSearch(WholeVectorOptimizer):
    r"""A Gaussian step of expected squared length ``lr²``, kept where the loss is lower.

    ``adapt`` lengthens the step by ``e^{1/3}`` after a success and shortens it by ``e^{−1/12}`` after a failure, so
    that it settles where one in five succeeds.

    References
    ----------
    Matyas (1965), Automation and Remote Control 26(2). Rechenberg (1973), Evolutionsstrategie, for the rule of one
    fifth.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 0.1, *, adapt: bool = True) -> None:
        super().__init__(params, {"lr": lr, "adapt": adapt, "factor": 1.0})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; two losses, no gradient. Returns the lower one."""
        group, start = self.group, self.stand()
        before = closure.value()
        count = sum(p.numel() for p in self.tensors)
        length = group["lr"] * group["factor"] / count**0.5
        self.move([torch.randn(p.shape).to(p) for p in self.tensors], length)
        after = closure.value()
        better = after < before  # of NaN neither way
        if not better:
            self.go_to(start)
        if group["adapt"]:
            group["factor"] *= math.exp(1 / 3 if better else -1 / 12)
        self.step_size = length if better else 0.0
        return torch.tensor(after if better else before)
