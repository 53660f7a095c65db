"""SGD that hides each example: its gradient is cut to a length, and noise is added to the sum."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from landscape.optimizers.base import Closure, WholeVectorOptimizer


class PrivateSGD(WholeVectorOptimizer):
    r"""SGD on clipped gradients of single examples, with Gaussian noise on their sum (DP-SGD),

    .. math:: θ ← θ − \frac{η}{B} \Big(\sum_i g_i \min(1, C/‖g_i‖) + σC\,z\Big), \qquad z ∼ N(0, I),

    with the length of a gradient taken over all parameters. On a quadratic whose gradients are all shorter than C the
    noise alone makes θ spread, along curvature λ with variance :math:`(ησC/B)² / (1 − (1 − ηλ)²)`.

    The share of the examples that were clipped is in the history of a run, as ``share_clipped``.

    Parameters
    ----------
    lr : float
    clip : float
        C.
    noise_multiplier : float
        σ; 0 clips alone.

    Notes
    -----
    No ε is given. The accounting of privacy is for batches that are drawn anew, each example by itself; these are a
    partition of the data, epoch by epoch.

    References
    ----------
    Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar & Zhang (2016), Deep learning with differential privacy, CCS.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.1, *, clip: float = 1.0, noise_multiplier: float = 1.0
    ) -> None:
        if not clip > 0:
            raise ValueError(f"clip={clip!r} must be a positive number")
        if not noise_multiplier >= 0:
            raise ValueError(f"noise_multiplier={noise_multiplier!r} must not be negative")
        super().__init__(params, {"lr": lr, "clip": clip, "noise_multiplier": noise_multiplier, "share_clipped": 0.0})

    @property
    def noted(self) -> dict[str, float]:
        """``share_clipped`` of the examples of the last step."""
        return {"share_clipped": self.group["share_clipped"]}

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; one gradient for each example of the batch, all held at once."""
        losses, gradients = closure.by_example()
        group, count = self.group, len(losses)
        lengths = torch.stack([g.flatten(1).double().square().sum(1) for g in gradients]).sum(0).sqrt()
        factors = (group["clip"] / lengths).clamp(max=1.0)
        group["share_clipped"] = float((lengths > group["clip"]).double().mean())
        spread = group["noise_multiplier"] * group["clip"]
        for p, g in zip(self.tensors, gradients, strict=True):
            total = torch.tensordot(factors.to(g), g, dims=1)
            if spread:
                total += spread * torch.randn(p.shape).to(p)
            p.sub_(group["lr"] / count * total)
        self.step_size = group["lr"]
        return losses.mean()
