"""Models and optimizers to be saved: tied weights, several types, buffers of which one is not saved."""

from __future__ import annotations

import torch
from torch import nn


class Tied(nn.Module):
    """Tied weights, two types, buffers of which one is not saved, a frozen layer."""

    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.embed = nn.Linear(width, width, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.short = nn.Linear(width, 3, dtype=torch.bfloat16)
        self.head = nn.Linear(width, width)
        self.head.weight = self.embed.weight
        self.scale = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
        self.register_buffer("mask", torch.tensor([True, False]))
        self.register_buffer("scratch", torch.ones(2), persistent=False)
        self.short.bias.requires_grad_(False)


def make(seed: int = 0, kind=Tied, **kwargs) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind(**kwargs)
        for buffer in model.buffers():
            if buffer.is_floating_point():
                buffer.normal_()
    return model


def linear(fan_in: int = 1, fan_out: int = 1) -> nn.Module:
    return make(kind=nn.Linear, in_features=fan_in, out_features=fan_out)


def stepped(name: str, model: nn.Module, steps: int = 3, **options) -> torch.optim.Optimizer:
    optimizer = getattr(torch.optim, name)([p for p in model.parameters() if p.requires_grad], **options)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for p in model.parameters():
            p.grad = torch.randn(p.shape, generator=generator).to(p.dtype) if p.requires_grad else None
        optimizer.step()
    return optimizer
