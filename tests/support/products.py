"""Vectors to multiply a Hessian by, the routes that need no compiler, and a function without a forward mode."""

from __future__ import annotations

import torch

EAGER = ("fresh", "retained", "linearized", "forward", "linearized/channels-last", "forward/channels-last")


def seeded_vector(dim, seed, dtype=torch.float64):
    return torch.randn(dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


ROUTES = ("fresh", "retained", "linearized", "forward")


class Cube(torch.autograd.Function):
    """x³ without a forward mode; its backward can be differentiated."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, slope):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * slope
