"""Average sharpness of small perceptrons by another route: many displacements at once, all data, plain torch."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

import landscape as ls

LOSSES = {"cross-entropy": functional.cross_entropy, "squared error": functional.mse_loss}


def perceptron(loss: str, steps: int, *, count: int = 2000) -> ls.Objective:
    """6-10-4, tanh, after so many steps of Adam on data of a larger one of its kind; sorted by class."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, teacher = (nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 4)) for _ in range(2))
        x = torch.randn(count, 6)
    with torch.no_grad():
        outputs = 3 * teacher(x)
    order = outputs.argmax(1).argsort(stable=True)
    x, outputs = x[order], outputs[order]
    y = outputs.argmax(1) if loss == "cross-entropy" else outputs
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        LOSSES[loss](model(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return ls.Objective(model, LOSSES[loss], (x, y), check=False)


def average_rise(objective: ls.Objective, scale: torch.Tensor, *, draws: int = 4000) -> tuple[float, float]:
    """Mean over pairs ±δ, δ ~ N(0, scale²), and its standard error; a pair at a time, without the package."""
    x, y = objective.batches.joined
    loss = functional.cross_entropy if not y.is_floating_point() else functional.mse_loss
    generator = torch.Generator().manual_seed(99)
    theta, found = objective.theta, []

    def at(point: torch.Tensor) -> torch.Tensor:
        w1, b1, w2, b2 = point.split([60, 10, 40, 4])
        return loss(torch.tanh(x @ w1.view(10, 6).T + b1) @ w2.view(4, 10).T + b2, y)

    for _ in range(draws):
        delta = torch.randn(len(theta), generator=generator) * scale
        found.append((at(theta + delta) + at(theta - delta)) / 2 - at(theta))
    rises = torch.stack(found).double()
    return float(rises.mean()), float(rises.std() / draws**0.5)
