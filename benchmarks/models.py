"""Networks that are here only to be measured: plain torch, as a user would write them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape.problems.builtin.residual import Block as Residual
from landscape.problems.builtin.transformer import Block


class CharTransformer(nn.Module):
    """Causal language model over characters: fused attention, LayerNorm, head tied to the embedding."""

    def __init__(self, *, vocabulary: int, context: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([Block(width, heads, dropout=0.0) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T) → logits (B, T, V)."""
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits


class ResNet(nn.Module):
    """ResNet for 32 × 32 images (He et al. 2016, §4.2): 16-32-64 channels; 3 blocks a stage make ResNet-20."""

    def __init__(self, *, blocks_per_stage: int = 3, base: int = 16, num_classes: int = 10) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, base, 3, padding=1, bias=False), nn.BatchNorm2d(base)
        widths = [base] * blocks_per_stage + [2 * base] * blocks_per_stage + [4 * base] * blocks_per_stage
        pairs = zip([base, *widths[:-1]], widths, strict=True)
        self.blocks = nn.Sequential(*[Residual(a, b, skip=True, norm="batch") for a, b in pairs])
        self.head = nn.Linear(4 * base, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, 32, 32) → logits (N, C)."""
        x = self.blocks(F.relu(self.norm(self.stem(images))))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


class TokenLoss(nn.CrossEntropyLoss):
    """Mean cross-entropy over tokens: logits (B, T, V), targets (B, T)."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """One number."""
        return super().forward(logits.flatten(0, 1), targets.flatten())


def random_text(length: int, vocabulary: int, *, seed: int = 0) -> Tensor:
    """Characters (length,) of a sparse Markov chain, so that there is something to learn and nothing to download."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(vocabulary, vocabulary, generator=generator)
    steps = logits.softmax(1).cumsum(1)
    draws = torch.rand(length, generator=generator)
    text = torch.empty(length, dtype=torch.int64)
    last = 0
    for i in range(length):
        last = min(int(torch.searchsorted(steps[last], draws[i])), vocabulary - 1)
        text[i] = last
    return text
