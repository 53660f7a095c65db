"""Step sizes that are learned along with the parameters, by the derivative of the loss by the step size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from landscape.optimizers.base import Closure, WholeVectorOptimizer, dot, evaluated

RULES = ("multiplicative", "additive")


class _Hypergradient(WholeVectorOptimizer):
    """What SGD and Adam with learned step sizes have in common: the step size follows −dL/dα of the step before."""

    def __init__(
        self, params: Iterable[Tensor], lr: float, hyper_lr: float, rule: str, more: dict[str, object] | None = None
    ) -> None:
        if not hyper_lr >= 0:
            raise ValueError(f"hyper_lr={hyper_lr!r} must not be negative")
        if rule not in RULES:
            raise ValueError(f"rule={rule!r} is not one of {', '.join(map(repr, RULES))}")
        defaults = {"lr": lr, "hyper_lr": hyper_lr, "rule": rule, "learned": None, "t": 0}
        super().__init__(params, {**defaults, **(more or {})})

    def learn(self, gradients: Sequence[Tensor], directions: Sequence[Tensor] | None) -> float:
        """The step size of this step: after the first, moved by the agreement of its gradient with the last step.

        With θ ← θ − α·direction, dL/dα is ``−⟨gradient, direction⟩``.
        """
        group = self.group
        size: float = group["lr"] if group["learned"] is None else group["learned"]
        if directions is not None:
            agreement = dot(gradients, directions)
            if group["rule"] == "additive":
                size += group["hyper_lr"] * agreement
            else:
                lengths = (dot(gradients, gradients) * dot(directions, directions)) ** 0.5
                size *= 1 + group["hyper_lr"] * (agreement / lengths if lengths > 0 else 0.0)
        group["learned"] = self.step_size = size
        group["t"] += 1
        return size

    def last_directions(self) -> list[Tensor] | None:
        """What the last step went along; None before the first."""
        return [self.state[p]["direction"] for p in self.tensors] if self.group["t"] else None

    def take(self, directions: Sequence[Tensor], size: float) -> None:
        """The step, remembered."""
        for p, d in zip(self.tensors, directions, strict=True):
            self.state[p]["direction"] = d.clone()
        self.move(directions, -size)


class HypergradientSGD(_Hypergradient):
    r"""SGD whose step size α is learned: it grows where a gradient agrees with the one before, and shrinks where not.

    ==================  ===============================================================================================
    ``rule``            α ←
    ==================  ===============================================================================================
    ``additive``        :math:`α + β\,⟨g_t, g_{t−1}⟩`: gradient descent on α, since that is :math:`−dL/dα` of the last
                        step; β has units
    ``multiplicative``  :math:`α\,\big(1 + β\,⟨g_t, g_{t−1}⟩ / (‖g_t‖ ‖g_{t−1}‖)\big)`, which stays above 0 for β < 1
    ==================  ===============================================================================================

    On a quadratic whose gradient is known exactly α swings about :math:`2/(λ_{\max} + λ_{\min})`, the best fixed step,
    just inside the limit :math:`2/λ_{\max}`: below it, the gradient is soon along the flattest direction and agrees
    with itself, above it along the sharpest, where it changes sign. It does not settle: while α grows, what is left
    along the sharpest direction has become small and takes its time to be seen, so α goes beyond the limit and then
    back, not far below :math:`1/λ_{\max}`, where nothing changes sign. The loss is not monotone.

    Parameters
    ----------
    lr : float
        α of the first step. A schedule does not move what is learned.
    hyper_lr : float
        β; 0 is SGD.
    rule : {"multiplicative", "additive"}

    References
    ----------
    Baydin, Cornish, Martínez Rubio, Schmidt & Wood (2018), Online learning rate adaptation with hypergradient descent,
    ICLR. Almeida, Langlois, Amaral & Plakhov (1998), Parameter adaptation in stochastic optimization, for the idea.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.1, *, hyper_lr: float = 0.02, rule: str = "multiplicative"
    ) -> None:
        super().__init__(params, lr, hyper_lr, rule)

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; one gradient."""
        loss, gradients = evaluated(closure), self.gradients()
        size = self.learn(gradients, self.last_directions())
        self.take(gradients, size)
        return loss


class HypergradientAdam(_Hypergradient):
    r"""Adam whose step size α is learned, by the agreement of a gradient with the direction of the last step.

    The direction is Adam's, :math:`u_t = \hat m_t / (\sqrt{\hat v_t} + ε)`, and the rules are those of
    :class:`HypergradientSGD` with :math:`⟨g_t, u_{t−1}⟩`.

    Parameters
    ----------
    lr : float
        α of the first step. A schedule does not move what is learned.
    hyper_lr : float
        β; 0 is Adam.
    rule : {"multiplicative", "additive"}
    betas, eps
        As in Adam.

    References
    ----------
    Baydin, Cornish, Martínez Rubio, Schmidt & Wood (2018), Online learning rate adaptation with hypergradient descent,
    ICLR.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        *,
        hyper_lr: float = 0.02,
        rule: str = "multiplicative",
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        for index, beta in enumerate(betas):
            if not 0 <= beta < 1:
                raise ValueError(f"betas[{index}]={beta!r} must be at least 0 and below 1")
        super().__init__(params, lr, hyper_lr, rule, {"betas": tuple(betas), "eps": eps})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; one gradient."""
        loss, gradients = evaluated(closure), self.gradients()
        size = self.learn(gradients, self.last_directions())
        (b1, b2), t = self.group["betas"], self.group["t"]
        directions = []
        for p, g in zip(self.tensors, gradients, strict=True):
            state = self.state[p]
            if "mean" not in state:
                state["mean"], state["mean_square"] = torch.zeros_like(p), torch.zeros_like(p)
            state["mean"].mul_(b1).add_(g, alpha=1 - b1)
            state["mean_square"].mul_(b2).addcmul_(g, g, value=1 - b2)
            scale = (state["mean_square"] / (1 - b2**t)).sqrt_().add_(self.group["eps"])
            directions.append(state["mean"] / (1 - b1**t) / scale)
        self.take(directions, size)
        return loss
