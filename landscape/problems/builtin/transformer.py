"""A small decoder-only transformer over characters, and how it writes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class CharTransformer(nn.Module):
    """Causal language model: pre-norm blocks, learned positions, output layer tied to the embedding.

    Radford et al. (2019), Language models are unsupervised multitask learners, §2.3; 6 layers of 6 heads and width 384
    make 10.8 million parameters at 65 characters and a context of 256.
    """

    def __init__(
        self, *, vocabulary: int, context: int, width: int, layers: int, heads: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.context = context
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        for name, p in self.named_parameters():
            if p.ndim == 2:
                # What is added to the residual stream, so that its variance does not grow with depth.
                shrink = (2 * layers) ** -0.5 if name.endswith(("out.weight", "down.weight")) else 1.0
                nn.init.normal_(p, std=0.02 * shrink)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (N, T) → logits (N, V, T), the classes in the second dimension as torch's losses expect them."""
        x = self.drop(self.tokens(tokens) + self.positions.weight[: tokens.shape[1]])
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x)).transpose(1, 2)
        return logits


class Block(nn.Module):
    """Causal attention and a two-layer network, each on the normalised stream and added to it."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self._heads, self._dropout = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, width) → (N, T, width)."""
        parts = self.qkv(self.norm1(x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self._heads, -1)).transpose(1, 2) for part in parts)
        dropout = self._dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout)
        x = x + self.drop(self.out(mixed.transpose(1, 2).flatten(2)))
        out: Tensor = x + self.drop(self.down(functional.gelu(self.up(self.norm2(x)))))
        return out


@torch.no_grad()
def continued(
    model: CharTransformer, tokens: Tensor, length: int, *, temperature: float = 1.0, seed: int = 0
) -> Tensor:
    """``length`` tokens more, each drawn from what the model expects after the last ``context`` of them.

    Parameters
    ----------
    tokens : (T,) tensor, T ≥ 1
    temperature : float
        Divides the logits; 0 takes the likeliest.

    Returns
    -------
    (T + length,) tensor
    """
    generator = torch.Generator().manual_seed(seed)
    was_training = model.training
    model.eval()
    try:
        for _ in range(length):
            logits = model(tokens[None, -model.context :])[0, :, -1].double()
            if temperature > 0:
                chosen = torch.multinomial((logits / temperature).softmax(0), 1, generator=generator)
            else:
                chosen = logits.argmax()[None]
            tokens = torch.cat([tokens, chosen])
    finally:
        model.train(was_training)
    return tokens
