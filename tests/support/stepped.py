"""A small network of matrices with an optimizer of each kind some steps along, and a user's own Shampoo."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn, optim

import landscape as ls
from landscape.optimizers import make_optimizer
from tests.support.networks import seeded


class OwnShampoo(optim.Optimizer):
    """A class that only its user knows, with an attribute of its own and a step that takes no closure."""

    def __init__(self, params, lr=0.05, eps=1e-3):
        super().__init__(params, {"lr": lr, "eps": eps})
        self.exponent = -0.25

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                g, state = p.grad.reshape(len(p), -1), self.state[p]
                for side, square in (("left", g @ g.T), ("right", g.T @ g)):
                    state[side] = state.get(side, group["eps"] * torch.eye(len(square)).to(g)) + square
                moved = self._power(state["left"]) @ g @ self._power(state["right"])
                p.add_(moved.reshape(p.shape), alpha=-group["lr"])

    def _power(self, matrix):
        values, vectors = torch.linalg.eigh(matrix)
        return vectors @ torch.diag(values.clamp_min(1e-12) ** self.exponent) @ vectors.T


#: name → optimizer over parameters
OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, lr=0.3),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "Nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.003),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.03),
    "Lion": lambda p: make_optimizer("lion", p, lr=0.003, weight_decay=0.1),
    "Muon": lambda p: optim.Muon(p, lr=0.02, weight_decay=0.1),
    "Shampoo": OwnShampoo,
}


def network(dtype: torch.dtype = torch.float64, count: int = 24) -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    """Two matrices with a tanh between them, and labelled points."""
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 5, bias=False), nn.Tanh(), nn.Linear(5, 3, bias=False))).to(dtype)
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(count, 3, generator=generator, dtype=torch.float64).to(dtype)
    return model, (x, x.argmax(1))


def take_step(model: nn.Module, data, optimizer: optim.Optimizer) -> None:
    """One step of training on all data."""
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(data[0]), data[1])
    loss.backward()
    if isinstance(optimizer, OwnShampoo):
        optimizer.step()
    else:
        optimizer.step(loss.detach)


def stepped(name: str, steps: int = 6, dtype: torch.dtype = torch.float64):
    """(objective, model, data, optimizer) after some steps."""
    model, data = network(dtype)
    optimizer = OPTIMIZERS[name](list(model.parameters()))
    for _ in range(steps):
        take_step(model, data, optimizer)
    objective = ls.Objective(model, nn.functional.cross_entropy, data, check=False)
    return objective, model, data, optimizer
