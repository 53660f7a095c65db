"""Vectors to multiply a Hessian by, and the routes that need no compiler."""

from __future__ import annotations

import torch

EAGER = ("fresh", "retained", "linearized", "forward", "linearized/channels-last", "forward/channels-last")


def seeded_vector(dim, seed, dtype=torch.float64):
    return torch.randn(dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


ROUTES = ("fresh", "retained", "linearized", "forward")
