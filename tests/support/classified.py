"""A small classifier of clustered points, with as many examples as asked for, before, during and after training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls

STAGES = {"init": 0, "middle": 20, "end": 400}


def half_squared_error(f, y):
    return 0.5 * ((f - F.one_hot(y, f.shape[1])) ** 2).sum(1).mean()


LOSSES = {"softmax": F.cross_entropy, "squares": half_squared_error}


def classified(stage, loss="softmax", *, N=1500, width=16, classes=5, chunk="auto", seed=0):
    """Objective of a tanh network in float64, trained by full-batch Adam for as long as the stage says."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        centres, y = 1.6 * torch.randn(classes, 10, dtype=torch.float64), torch.randint(classes, (N,))
        x = centres[y] + torch.randn(N, 10, dtype=torch.float64)
        model = nn.Sequential(
            nn.Linear(10, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, classes)
        )
    model = model.double()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(STAGES[stage]):
        optimizer.zero_grad()
        LOSSES[loss](model(x), y).backward()
        optimizer.step()
    return ls.Objective(model, LOSSES[loss], (x, y), chunk=chunk)
