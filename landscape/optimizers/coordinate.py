"""Descent along some of the parameters at a time."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from landscape.optimizers.base import Closure, WholeVectorOptimizer, evaluated


class CoordinateDescent(WholeVectorOptimizer):
    r"""A gradient step for ``block`` parameters, the others held still.

    Parameters
    ----------
    lr : float
        ``1/Lᵢ`` is the exact minimum along coordinate i of a quadratic with second derivative Lᵢ.
    block : int
        Parameters moved in a step; at most all.
    rule : {"random", "cyclic", "greedy"}
        Drawn anew each step; one block after the other in the order of θ; those with the largest derivatives
        (Gauss–Southwell).

    References
    ----------
    Nesterov (2012), SIAM J. Optim. 22(2), for the random rule. Nutini, Schmidt, Laradji, Friedlander & Koepke (2015),
    ICML, for the greedy one.

    Notes
    -----
    Automatic differentiation gives all derivatives at the price of one, so a step costs a whole gradient: compare by
    steps, or by parameters moved, not by time.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 0.1, *, block: int = 1, rule: str = "random") -> None:
        if not block >= 1 or block != int(block):
            raise ValueError(f"block={block!r} must be a whole number of at least 1")
        super().__init__(params, {"lr": lr, "block": int(block), "rule": rule, "next": 0})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step; one gradient."""
        loss, group = evaluated(closure), self.group
        flat = torch.cat([g.reshape(-1) for g in self.gradients()])
        chosen = self._chosen(flat)
        step = torch.zeros_like(flat)
        step[chosen] = flat[chosen]
        self.step_size = group["lr"]
        for p, part in zip(self.tensors, step.split([p.numel() for p in self.tensors]), strict=True):
            p.sub_(group["lr"] * part.view_as(p))
        return loss

    def _chosen(self, gradient: Tensor) -> Tensor:
        group, count = self.group, len(gradient)
        size = min(group["block"], count)
        if group["rule"] == "greedy":
            return gradient.abs().topk(size).indices
        if group["rule"] == "random":
            return torch.randperm(count)[:size].to(gradient.device)
        chosen: Tensor = (group["next"] + torch.arange(size)) % count
        group["next"] = (group["next"] + size) % count
        return chosen.to(gradient.device)
