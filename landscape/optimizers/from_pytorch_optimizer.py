"""Optimizers of the package pytorch_optimizer, asked to step as all others are: ``step(closure)``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import pytorch_optimizer as published
import torch
from torch import Tensor

from landscape.optimizers.base import Closure, evaluated

#: What torch says of gradients that can be differentiated again; they are let go after each step.
_CYCLE = "Using backward\\(\\) with create_graph=True"


class SAM(published.SAM):
    """SGD, with the gradient taken where a step of length ρ up the gradient leads; two gradients a step."""

    def step(self, closure: Any) -> Any:  # type: ignore[override]
        """One step; the closure is asked for the first gradient too."""
        loss = evaluated(closure)
        super().step(closure)
        return loss


class AdaHessian(published.AdaHessian):
    """Adam with an estimate of the Hessian's diagonal in place of the squared gradient."""

    def step(self, closure: Any) -> Any:  # type: ignore[override]
        """One step; one gradient, and one product with the Hessian for each sample."""
        return _with_graph(self, super().step, closure)


class Sophia(published.SophiaH):
    """Momentum over an estimate of the Hessian's diagonal, each entry clipped."""

    def step(self, closure: Any) -> Any:  # type: ignore[override]
        """One step; one gradient, and every ``update_period`` steps a product with the Hessian."""
        return _with_graph(self, super().step, closure)


class SOAP(published.SOAP):
    """Adam in the eigenbasis of Shampoo's preconditioner."""

    def step(self, closure: Any) -> Any:  # type: ignore[override]
        """One step; one gradient."""
        loss = super().step(closure)
        # Products round by the strides of their factors, and a state that was stored has lost those.
        for state in self.state.values():
            for key, value in state.items():
                if isinstance(value, list):
                    state[key] = [part.contiguous() if isinstance(part, Tensor) else part for part in value]
        return loss


def _with_graph(optimizer: torch.optim.Optimizer, step: Any, closure: Closure) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_CYCLE)
        with torch.enable_grad():
            loss = closure.with_graph()
        step()
    optimizer.zero_grad(set_to_none=True)  # a gradient with a graph keeps all of it alive
    return loss.detach()


def build(name: str, params: Iterable[Tensor], lr: float, options: dict[str, Any]) -> torch.optim.Optimizer:
    """An optimizer by the name it has in ``OPTIMIZERS``."""
    if name in ("sam", "asam"):
        return SAM(params, torch.optim.SGD, lr=lr, adaptive=name == "asam", **options)
    if name == "muon":
        return _muon(list(params), lr, **options)
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adahessian": AdaHessian, "sophia": Sophia, "lion": published.Lion, "signsgd": published.SignSGD,
        "shampoo": published.Shampoo, "soap": SOAP,
    }  # fmt: skip
    return kinds[name](params, lr=lr, **options)


def _muon(tensors: list[Tensor], lr: float, *, adam_lr: float, **options: Any) -> torch.optim.Optimizer:
    """Matrices and filters by orthogonalised momentum; biases and gains, which are neither, by AdamW."""
    matrices, rest = [p for p in tensors if p.ndim >= 2], [p for p in tensors if p.ndim < 2]
    groups: list[dict[str, Any]] = [{"params": matrices, "use_muon": True}] if matrices else []
    groups += [{"params": rest, "use_muon": False}] if rest else []
    return published.Muon(groups, lr=lr, adamw_lr=adam_lr, **options)
