"""Regressions on a line: few parameters, closed-form Hessians, and noise that can be turned up."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from landscape.checks import check_count, check_not_negative, check_seed
from landscape.problems.base import Examples, Problem
from landscape.problems.recipe import Recipe


class Regression(nn.Module):
    """``x ↦ xᵀw + b`` on given features; starts away from the minimum."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.fc = nn.Linear(features, 1)
        nn.init.normal_(self.fc.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, F) → predictions (N, 1)."""
        predictions: Tensor = self.fc(x)
        return predictions


def poly_regression(*, num_examples: int = 100, noise: float = 0.0, data_seed: int = 0) -> Problem:
    """``y = 2x² + 1`` by a linear layer with bias on the features (x, x²), x uniform in [−1, 1]; squared error.

    Without noise the minimum is 0, at the weights (0, 2) and the bias 1. ``problem.hessian`` is ``2·mean(φφᵀ)`` with
    φ = (x, x², 1).
    """
    _check(num_examples, data_seed, noise=noise)
    generator = torch.Generator().manual_seed(data_seed)

    def draw() -> Examples:
        x = 2 * torch.rand(num_examples, generator=generator) - 1
        y = 2 * x**2 + 1 + noise * torch.randn(num_examples, generator=generator)
        return torch.stack([x, x**2], dim=1), y[:, None]

    return _least_squares(
        draw(), draw(), Recipe("sgd", batch_size=10, epochs=100, learning_rates={"gd": 0.5, "sgd": 0.1})
    )


def noisy_linear(*, sigma: float = 1.0, dim: int = 1, num_examples: int = 200, data_seed: int = 0) -> Problem:
    """``y = 3·Σx + 1 + N(0, σ²)`` with x uniform in [−1, 1]^dim; squared error.

    ``dim=1`` is ``y = 3x + 1``; ``dim=4`` has five parameters. With σ > 0 no parameters fit all examples: the minimum
    is about σ² and minibatches disagree about where it lies. ``problem.hessian`` is ``2·mean(φφᵀ)`` with φ = (x, 1).
    """
    _check(num_examples, data_seed, sigma=sigma)
    check_count("dim", dim)
    generator = torch.Generator().manual_seed(data_seed)

    def draw() -> Examples:
        x = 2 * torch.rand(num_examples, dim, generator=generator) - 1
        y = 3 * x.sum(1) + 1 + sigma * torch.randn(num_examples, generator=generator)
        return x, y[:, None]

    return _least_squares(
        draw(), draw(), Recipe("sgd", batch_size=10, epochs=50, learning_rates={"gd": 0.3, "sgd": 0.05})
    )


def _check(num_examples: int, data_seed: int, **noise: float) -> None:
    check_count("num_examples", num_examples)
    check_seed(data_seed, name="data_seed")
    for name, value in noise.items():
        check_not_negative(name, value)


def _least_squares(train: Examples, test: Examples, recipe: Recipe) -> Problem:
    features = train[0].shape[1]
    return Problem(
        build=lambda: Regression(features),
        loss_fn=functional.mse_loss,
        loss_name="mse",
        train=train,
        test=test,
        hessian=_hessian(train[0]),
        recipe=recipe,
    )


def _hessian(features: Tensor) -> Tensor:
    rows = torch.cat([features.double(), torch.ones(len(features), 1, dtype=torch.float64)], dim=1)
    return 2 * rows.T @ rows / len(rows)
