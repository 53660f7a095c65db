"""Physics-informed network: −u″ = π² sin(πx), u = 0 at both ends; derivatives by autograd."""

import torch
from torch import nn

import landscape as ls

points = {"inside": torch.linspace(0, 1, 42)[1:-1, None], "ends": torch.tensor([[0.0], [1.0]])}


def make_model():
    return nn.Sequential(
        nn.Linear(1, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 1)
    )


def loss(model, points):
    x = points["inside"].requires_grad_()
    u = model(x)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
    residual = bend / torch.pi**2 + torch.sin(torch.pi * x)
    return residual.square().mean() + model(points["ends"]).square().mean()


# For landscape
problem = ls.Problem(
    build=make_model, loss=loss, weight=lambda points: len(points["inside"]), train=points
)

# To check it
data = points


def whole(model, data):
    return loss(model, data)
