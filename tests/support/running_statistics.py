"""Models with running statistics or other buffers, trained a little, and their losses and statistics by hand."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

import landscape as ls

N = 60
NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def built(make, *, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


X, Y = drawn(N, 6), torch.arange(N) % 3
IMAGES = drawn(N, 2, 6, 6, seed=1)


class Residual(nn.Module):
    """A convolution whose normalised output goes on by two ways, of which one is normalised again by the same layer."""

    def __init__(self, norm=nn.BatchNorm2d, **options):
        super().__init__()
        self.conv, self.again, self.head = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Linear(4, 3)
        self.norm, self.other = norm(4, **options), norm(4, momentum=None, affine=False, **options)

    def forward(self, x):
        h = torch.relu(self.norm(self.conv(x)))
        return self.head((h + self.other(self.again(self.norm(3 * h + 1)))).mean((2, 3)))


def mlp(norm=None, width=8):
    return nn.Sequential(nn.Linear(6, width), norm or nn.BatchNorm1d(width), nn.Tanh(), nn.Linear(width, 3))


def trained(make, x=X, *, seed=0, lr=0.3, steps=25, dtype=torch.float64):
    """Some steps in training mode, so that each model has statistics of its own."""
    model = built(make, seed=seed).to(dtype)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr)
    model.train()
    for step in range(steps):
        rows = (torch.arange(20) + 7 * step) % N
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows].to(dtype)), Y[rows]).backward()
        optimizer.step()
    return model.eval()


def question(model, x=X, **options):
    dtype = next(model.parameters()).dtype
    return ls.Objective(model, F.cross_entropy, (x.to(dtype), Y), **options)


def pair(make=mlp, x=X, **options):
    """Two models trained from different weights at different rates, and their objectives."""
    models = trained(make, x, seed=0, lr=0.1), trained(make, x, seed=1, lr=0.5)
    return *models, *(question(model, x, **options) for model in models)


def loss_of(model, x=X):
    with torch.no_grad():
        return float(F.cross_entropy(model.eval()(x), Y))


def put(model, theta):
    """A copy of the model with these parameters."""
    twin = copy.deepcopy(model)
    nn.utils.vector_to_parameters(theta.clone(), twin.parameters())
    return twin


def with_statistics_of(model, x):
    """A copy whose running statistics are what torch gathers over the whole data in one batch."""
    twin = copy.deepcopy(model).eval()
    for layer in twin.modules():
        if isinstance(layer, NORMS) and layer.running_mean is not None:
            layer.reset_running_stats()
            # torch takes None for "never" in instance normalisation, and 1 for "the last alone"
            layer.momentum = None if isinstance(layer, NORMS[0]) else 1.0
            layer.train()
    with torch.no_grad():
        twin(x)
    return twin.eval()


class Held(nn.Module):
    """A linear map with something beside θ."""

    def __init__(self, **buffers):
        super().__init__()
        self.linear = nn.Linear(6, 3)
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def forward(self, x):
        scale = getattr(self, "scale", 1.0)
        mask = self.mask if hasattr(self, "mask") else 1
        return scale * self.linear(x * mask)


def held(seed, **buffers):
    return question(built(lambda: Held(**buffers), seed=seed).double())
