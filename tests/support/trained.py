"""Small networks on clouds of points, at the beginning, in the middle and at the end of training, in float64."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape.objective import Objective
from landscape.operators import HessianOperator

STEPS = {"start": 0, "middle": 40, "end": 600}
LOSSES = {"softmax": F.cross_entropy, "squared error": F.mse_loss}


def data(loss: str, count: int) -> tuple[Tensor, Tensor]:
    """Three clouds that overlap a little, and their labels, or two smooth functions of the points."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, count)
    centres = np.array([[2.0, 0, 0, 1], [-2, 1, 0, 0], [0, -2, 1, 0]])
    points = torch.from_numpy(centres[labels] + rng.standard_normal((count, 4)))
    if loss == "softmax":
        return points, torch.from_numpy(labels)
    return points, torch.stack([points.prod(1).tanh(), points.sum(1).sin()], dim=1)


@lru_cache(maxsize=16)
def trained(loss: str = "softmax", stage: str = "end", count: int = 240, chunk: int = 80) -> Objective:
    """The objective; made once, to be left as it is."""
    points, targets = data(loss, count)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 10), nn.Tanh(), nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, 3)).double()
        if loss != "softmax":
            model[-1] = nn.Linear(8, 2).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(STEPS[stage]):
        optimizer.zero_grad()
        LOSSES[loss](model(points), targets).backward()
        optimizer.step()
    optimizer.zero_grad()
    return Objective(model, LOSSES[loss], (points, targets), chunk=chunk, check=False)


@lru_cache(maxsize=16)
def dense(loss: str = "softmax", stage: str = "end", count: int = 240) -> Tensor:
    """Its Hessian, by double backward."""
    return HessianOperator(trained(loss, stage, count), route="fresh").dense()
