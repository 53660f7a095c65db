"""Mixture of experts: two of four for each example, and a loss that evens out their load."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_wine
from torch import nn

import landscape as ls

x, y = (torch.as_tensor(part) for part in load_wine(return_X_y=True))
x = ((x - x.mean(0)) / x.std(0)).float()
batches = list(zip(x[::2].split(50), y[::2].split(50)))


class Experts(nn.Module):
    def __init__(self, experts=4, width=8):
        super().__init__()
        self.router = nn.Linear(13, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(13, width), nn.SiLU(), nn.Linear(width, 3))
            for _ in range(experts)
        )

    def forward(self, x):
        shares = self.router(x).softmax(1)
        best, chosen = shares.topk(2, 1)
        gates = torch.zeros_like(shares).scatter(1, chosen, best / best.sum(1, keepdim=True))
        found = sum(gates[:, i, None] * expert(x) for i, expert in enumerate(self.experts))
        load = (gates > 0).to(x.dtype).mean(0)
        return found, len(self.experts) * (load * shares.mean(0)).sum()


def loss(model, batch):
    scores, imbalance = model(batch[0])
    return F.cross_entropy(scores, batch[1]) + 0.01 * imbalance


# For landscape
problem = ls.Problem(build=Experts, loss=loss, train=batches, interacting=True)

# To check it
make_model, data, STEPS = Experts, batches, 400


def whole(model, data):
    return sum(len(batch[1]) * loss(model, batch) for batch in data) / sum(len(b[1]) for b in data)
