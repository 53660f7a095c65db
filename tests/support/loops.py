"""A small training with all that an observer could disturb: dropout, batch statistics, momentum, a schedule."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class ByHand:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def small_data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(60, 6, generator=generator)
    return x, x[:, :3].argmax(1)


def linear(*sizes: int, **options) -> nn.Linear:
    """A layer of seeded weights; the global generator stays where it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return nn.Linear(*sizes, **options)


def small_model(*, noisy: bool = True) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        layers = [nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3)]
        return nn.Sequential(*(layers if noisy else [layers[0], layers[2], layers[4]]))


OPTIMIZERS: dict[str, Callable] = {
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=1e-3),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01),
}


def take_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """One step on a batch from the global generator."""
    x, y = small_data()
    index = torch.randint(len(x), (16,))
    model.train()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x[index]), y[index])
    loss.backward()
    optimizer.step()
    return loss.item()


def everything_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[bytes | str]:
    """Parameters, buffers, gradients, modes, optimizer state and all generators, to the last bit."""
    tensors = [*model.state_dict().values(), *(p.grad for p in model.parameters() if p.grad is not None)]
    state = optimizer.state_dict()
    for part in state["state"].values():
        tensors += [t for t in part.values() if isinstance(t, torch.Tensor)]
    modes = [str([m.training for m in model.modules()]), str([p.requires_grad for p in model.parameters()])]
    generators = [str(random.getstate()), str(np.random.get_state()), str(torch.get_rng_state().tolist())]  # noqa: NPY002
    return [t.detach().numpy().tobytes() for t in tensors] + modes + generators + [str(state["param_groups"])]
