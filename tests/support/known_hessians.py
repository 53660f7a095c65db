"""Objectives of small models whose Hessian is a closed form."""

from __future__ import annotations

import torch
from torch import nn

import landscape as ls


def uneven_least_squares(dim: int = 6) -> tuple[ls.Objective, torch.Tensor]:
    """(2/N) XᵀX, from batches of 4, 4 and 2: a mean of batch means is another matrix."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(10, dim, generator=generator, dtype=torch.float64)
    y = torch.randn(10, 1, generator=generator, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Linear(dim, 1, bias=False).double()
    batches = [(x[:4], y[:4]), (x[4:8], y[4:8]), (x[8:], y[8:])]
    return ls.Objective(model, nn.functional.mse_loss, batches, chunk=None), 0.2 * x.T @ x


class Bowl(nn.Module):
    """``x ↦ x ∘ Qw`` with Q orthogonal."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.w = nn.Parameter(torch.randn(dim, generator=generator, dtype=torch.float64))
        rotation = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
        self.register_buffer("Q", torch.linalg.qr(rotation)[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (self.Q @ self.w)


def half_weighted_square(output: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return 0.5 * (weights * output**2).sum(1).mean()


def with_eigenvalues(values: list[float]) -> tuple[ls.Objective, torch.Tensor]:
    """Qᵀ diag(values) Q, of any signs."""
    spectrum = torch.tensor(values, dtype=torch.float64)
    model = Bowl(len(values))
    data = torch.ones(8, len(values), dtype=torch.float64), spectrum.expand(8, -1).clone()
    return ls.Objective(model, half_weighted_square, data), model.Q.T @ torch.diag(spectrum) @ model.Q


def of_tokens() -> ls.Objective:
    """A mean over the tokens that count, of which the batches have 5 and 2, in 3 and 2 examples."""
    generator = torch.Generator().manual_seed(4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Linear(4, 3).double()
    labels = [torch.tensor([[0, 1], [2, 0], [1, -100]]), torch.tensor([[1, -100], [2, -100]])]
    batches = [(torch.randn(len(y), 2, 4, generator=generator, dtype=torch.float64), y) for y in labels]
    return ls.Objective(model, token_loss, batches, weight=lambda batch: float((batch[1] != -100).sum()), chunk=None)


def token_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(output.flatten(0, 1), target.flatten())


def normalised_network() -> ls.Objective:
    """A network with LayerNorm and one with BatchNorm's running statistics, in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 3), nn.BatchNorm1d(3)).double()
        model[4].running_mean.normal_()
        model[4].running_var.uniform_(0.5, 2)
        x, y = torch.randn(12, 3, dtype=torch.float64), torch.randint(3, (12,))
    return ls.Objective(model.eval(), nn.functional.cross_entropy, (x, y))
