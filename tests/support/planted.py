"""Networks with neurons exchanged by hand: the dimension of each tensor, and the order it is put in."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: tensor → dimension → order.
Orders = Mapping[str, Mapping[int, Tensor]]


def drawn(size: int, seed: int) -> Tensor:
    """A permutation that leaves the generators of the process alone."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def exchanged(model: nn.Module, orders: Orders) -> nn.Module:
    """A copy in which each of these tensors is ``tensor.index_select(dimension, order)``."""
    twin = copy.deepcopy(model)
    named = {**dict(twin.named_parameters()), **dict(twin.named_buffers())}
    for name, by_dimension in orders.items():
        for dimension, order in by_dimension.items():
            named[name].copy_(named[name].index_select(dimension, order))
    return twin


def blocks(order: Tensor, width: int) -> Tensor:
    """The order of ``width`` neighbours each, as a channel's pixels are after flattening."""
    return (order[:, None] * width + torch.arange(width)).reshape(-1)


def flat(model: nn.Module) -> Tensor:
    """θ, (P,)."""
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def seeded(build, seed: int = 0) -> nn.Module:
    """A model of a seed, in evaluation mode, its biases and statistics no longer at one value."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build().eval()
        with torch.no_grad():
            for name, p in [*model.named_parameters(), *model.named_buffers()]:
                if p.is_floating_point() and float(p.std(correction=0)) == 0:
                    p.copy_(p + (0.1 + p.abs()) * 0.3 * torch.randn_like(p).clamp(-2, 2))
                    assert "var" not in name or bool((p > 0).all())
    return model


class VGG(nn.Module):
    """Convolutions, some normalised, pooling, and two dense layers behind the flattened image."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(8, 5, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Linear(20, 12), nn.ReLU(), nn.Dropout(), nn.Linear(12, 4))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.features(images), 1))


class Gated(nn.Module):
    """Rotary queries and keys, and gates: what cannot be exchanged stands beside what can."""

    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width, bias=False)
        self.gate, self.up, self.down = nn.Linear(width, 12), nn.Linear(width, 12), nn.Linear(12, 3)
        inner = width // heads
        angles = torch.outer(torch.arange(16.0), 10.0 ** -torch.arange(inner // 2))
        self.register_buffer("cos", torch.cat([angles.cos()] * 2, -1))
        self.register_buffer("sin", torch.cat([angles.sin()] * 2, -1))

    def _turned(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, -1)
        length = x.shape[-2]
        return x * self.cos[:length] + torch.cat([-second, first], -1) * self.sin[:length]

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(self._turned(q), self._turned(k), v)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return self.down(F.silu(self.gate(x)) * self.up(x))
