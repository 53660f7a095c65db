"""Contrastive loss (InfoNCE): each example against the others of its batch."""

import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls

draw = torch.Generator().manual_seed(0)
one = torch.randn(60, 6, generator=draw)
two = one + 0.3 * torch.randn(60, 6, generator=draw)
batches = list(zip(one.split(25), two.split(25)))


def make_model():
    return nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Linear(16, 4))


def infonce(model, views):
    a, b = (F.normalize(model(view), dim=1) for view in views)
    return F.cross_entropy(a @ b.T / 0.5, torch.arange(len(a)))


# For landscape
problem = ls.Problem(build=make_model, loss=infonce, train=batches, interacting=True)

# To check it
data, STEPS = batches, 400


def whole(model, data):
    return sum(len(views[0]) * infonce(model, views) for views in data) / 60
