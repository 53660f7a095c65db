"""Steps as long as the loss is high: the Polyak family."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from landscape.optimizers.base import Closure, WholeVectorOptimizer, dot, evaluated


class Polyak(WholeVectorOptimizer):
    r"""Gradient descent with the Polyak step, :math:`η = (f(θ) − f^*) / (c\,‖∇f(θ)‖²)`.

    On a minibatch f is the loss of the batch. Where the data can be fitted, f* = 0 holds for every batch; where they
    cannot, the step stays long at the minimum, and a bound on it is what makes the iteration settle.

    Parameters
    ----------
    lr : float
        ``bounded``: no step is longer than this times the gradient (SPS_max). Else a factor on the step.
    lowest : float
        f*, the least value the loss can take.
    c : float
        1 is the step of Polyak; 1/2 that of the stochastic analysis.
    bounded : bool

    References
    ----------
    Polyak (1987), Introduction to Optimization, section 5.3.2. Loizou, Vaswani, Laradji & Lacoste-Julien (2021),
    Stochastic Polyak step-size for SGD, AISTATS, eq. (2) and (3) for the bounded one.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1.0, *, lowest: float = 0.0, c: float = 1.0, bounded: bool = False
    ) -> None:
        if not c > 0:
            raise ValueError(f"c={c!r} must be a positive number")
        super().__init__(params, {"lr": lr, "lowest": lowest, "c": c, "bounded": bounded})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; one gradient."""
        loss, group = evaluated(closure), self.group
        gradients = self.gradients()
        squared = dot(gradients, gradients)
        polyak = max(float(loss) - group["lowest"], 0.0) / (group["c"] * squared) if squared > 0 else 0.0
        self.step_size = min(polyak, group["lr"]) if group["bounded"] else group["lr"] * polyak
        self.move(gradients, -self.step_size)
        return loss


class PolyakAdam(WholeVectorOptimizer):
    r"""Adam whose step is bounded by a Polyak step for the averaged losses and gradients (MoMo-Adam).

    With the averages :math:`\bar f, d, γ` of losses, gradients and :math:`⟨g, θ⟩` under ``betas[0]``, and
    :math:`D = \mathrm{diag}(ε + \sqrt{v / (1 − β_2^t)})`,

    .. math:: θ ← θ − \min\Big(\frac{α}{1 − β_1^t},
        \frac{\max(\bar f + ⟨d, θ⟩ − γ − (1 − β_1^t) f^*,\, 0)}{‖d‖²_{D^{-1}}}\Big) D^{-1} d.

    Parameters
    ----------
    lr : float
        α: Adam's learning rate, and the upper bound.
    betas, eps
        As in Adam.
    lowest : float
        f*.

    References
    ----------
    Schaipp, Ohana, Eickenberg, Defazio & Gower (2024), MoMo: momentum models for adaptive learning rates, ICML,
    algorithm 2 without weight decay.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-2,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        lowest: float = 0.0,
    ) -> None:
        for index, beta in enumerate(betas):
            if not 0 <= beta < 1:
                raise ValueError(f"betas[{index}]={beta!r} must be at least 0 and below 1")
        defaults = {"lr": lr, "betas": tuple(betas), "eps": eps, "lowest": lowest, "t": 0, "mean_loss": 0.0}
        super().__init__(params, {**defaults, "mean_product": 0.0})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; one gradient."""
        loss, group = evaluated(closure), self.group
        (b1, b2), gradients = group["betas"], self.gradients()
        group["t"] += 1
        group["mean_loss"] = b1 * group["mean_loss"] + (1 - b1) * float(loss)
        group["mean_product"] = b1 * group["mean_product"] + (1 - b1) * dot(gradients, self.tensors)
        d, scaled = [], []
        for p, g in zip(self.tensors, gradients, strict=True):
            state = self.state[p]
            if not state:
                state["mean"], state["mean_square"] = torch.zeros_like(p), torch.zeros_like(p)
            state["mean"].mul_(b1).add_(g, alpha=1 - b1)
            state["mean_square"].mul_(b2).addcmul_(g, g, value=1 - b2)
            D = (state["mean_square"] / (1 - b2 ** group["t"])).sqrt_().add_(group["eps"])
            d.append(state["mean"])
            scaled.append(state["mean"] / D)
        seen = 1 - b1 ** group["t"]
        above = group["mean_loss"] + dot(d, self.tensors) - group["mean_product"] - seen * group["lowest"]
        length = dot(d, scaled)
        polyak = max(above, 0.0) / length if length > 0 else 0.0
        self.step_size = min(group["lr"] / seen, polyak)
        self.move(scaled, -self.step_size)
        return loss
