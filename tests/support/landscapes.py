"""Losses of known shape: least squares, functions of a few parameters, small networks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from landscape.objective import Objective

DOUBLE = torch.float64


def built(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


class Quadratic:
    """Least squares on batches of 8 + 2: L(w) = mean (xᵀw − y)², so H = 2XᵀX/N in closed form."""

    def __init__(self, dtype: torch.dtype = DOUBLE) -> None:
        self.x, self.y = draw(10, 4, seed=1), draw(10, 1, seed=2)
        batches = [(self.x[:8], self.y[:8]), (self.x[8:], self.y[8:])]
        model = built(lambda: nn.Linear(4, 1, bias=False))
        self.objective = Objective(model, nn.functional.mse_loss, batches, chunk=None, dtype=dtype)
        self.hessian = (2 / 10 * self.x.T @ self.x).numpy()

    def loss(self, w: np.ndarray) -> float:
        return float(((self.x.numpy() @ w - self.y.numpy()[:, 0]) ** 2).mean())


class Well(nn.Module):
    """One parameter; the loss of a batch is any function of it."""

    def __init__(self, start: float = 0.0, function: Callable[[torch.Tensor], torch.Tensor] = torch.square) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([start], dtype=DOUBLE))
        self.function = function

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.function(self.w[0])


def one_dimensional(function: Callable[[torch.Tensor], torch.Tensor], start: float = 0.0) -> Objective:
    return Objective.from_loss(Well(start, function), lambda m, b: m(b), torch.ones(1), check=False)


def network(activation: type[nn.Module], *, seed: int = 0, dtype: torch.dtype = DOUBLE) -> Objective:
    model = built(lambda: nn.Sequential(nn.Linear(5, 8), activation(), nn.Linear(8, 8), activation(), nn.Linear(8, 3)))
    y = torch.arange(40) % 3
    return Objective(model, nn.functional.cross_entropy, (draw(40, 5, seed=seed), y), dtype=dtype, check=False)


class LeastSquares:
    """L(w) = mean (xᵀw − y)² on batches of 8 + 5; everything about it is known."""

    def __init__(self, dim: int = 6, dtype: torch.dtype = DOUBLE, diagonal: bool = False) -> None:
        self.x = draw(13, dim, seed=1) * torch.linspace(0.5, 2.0, dim, dtype=DOUBLE)
        if diagonal:
            self.x = torch.zeros(13, dim, dtype=DOUBLE)
            self.x[:dim] = torch.diag(torch.linspace(0.5, 2.0, dim, dtype=DOUBLE))
        self.minimum = draw(dim, seed=2)
        y = self.x @ self.minimum[:, None]
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = nn.Linear(dim, 1, bias=False)
        batches = [(self.x[:8], y[:8]), (self.x[8:], y[8:])]
        self.objective = Objective(model, nn.functional.mse_loss, batches, chunk=None, dtype=dtype)
        self.hessian = (2 / 13 * self.x.T @ self.x).numpy()

    def top(self, scale: np.ndarray | float = 1.0) -> float:
        """Largest eigenvalue of CHC."""
        c = np.broadcast_to(scale, len(self.hessian))
        return float(np.linalg.eigvalsh(c[:, None] * self.hessian * c)[-1])


class Point(nn.Module):
    """The parameters themselves; the loss is any function of them."""

    def __init__(self, start: list[float]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(start, dtype=DOUBLE))


def of_point(function: Callable[[torch.Tensor], torch.Tensor], start: list[float]) -> Objective:
    return Objective.from_loss(Point(start), lambda m, b: function(m.w), torch.ones(1), check=False)


def two_layers(rescaled: float = 1.0, *, dtype: torch.dtype = DOUBLE) -> Objective:
    """A bias-free ReLU network after a few steps of training, its layers multiplied by a and 1/a."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 6, bias=False), nn.ReLU(), nn.Linear(6, 3, bias=False)).double()
    data = draw(20, 5, seed=4), torch.arange(20) % 3
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(data[0]), data[1]).backward()
        optimizer.step()
    optimizer.zero_grad()
    with torch.no_grad():
        model[0].weight *= rescaled
        model[2].weight /= rescaled
    return Objective(model, nn.functional.cross_entropy, data, dtype=dtype)
