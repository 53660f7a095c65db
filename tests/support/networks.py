"""Small networks with data in uneven batches, each with every feature that a Hessian can trip over."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import nn


class TanhMLP(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4))


class ReluCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 3, 3)
        self.bn = nn.BatchNorm2d(3)
        self.conv2 = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(16, 4)
        with torch.no_grad():
            self.bn.running_mean.normal_()
            self.bn.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = torch.relu(self.bn(self.conv1(x)))
        return self.fc(torch.relu(self.conv2(x)).flatten(1))


class TiedTransformer(nn.Module):
    """Embedding tied to the output head, causal attention through the fused kernel, LayerNorm."""

    def __init__(self, vocabulary=5, width=6, heads=2):
        super().__init__()
        self.heads = heads
        self.wte = nn.Embedding(vocabulary, width)
        self.ln = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.mlp = nn.Sequential(nn.Linear(width, 8), nn.GELU(), nn.Linear(8, width))
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, tokens):
        x = self.wte(tokens)
        q, k, v = self.qkv(self.ln(x)).chunk(3, dim=-1)
        split = [t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v)]
        mixed = F.scaled_dot_product_attention(*split, is_causal=True).transpose(1, 2).flatten(2)
        x = x + mixed
        return self.lm_head(x + self.mlp(x))


class Siamese(nn.Module):
    """One submodule at two paths."""

    def __init__(self):
        super().__init__()
        self.left = nn.Linear(3, 5)
        self.right = self.left
        self.head = nn.Linear(5, 4)

    def forward(self, x):
        return self.head(torch.tanh(self.left(x)) * torch.tanh(self.right(-x)))


def token_loss(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def make(kind: str, *, sizes=(7, 4, 2), dtype=torch.float64):
    """(model, loss_fn, batches) of a kind, the same on each call."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        if kind == "frozen":
            model = TanhMLP()
            model[0].weight.requires_grad_(False)
        else:
            model = {"mlp": TanhMLP, "cnn": ReluCNN, "tied": TiedTransformer, "siamese": Siamese}[kind]()
        if kind == "cnn":
            batches = [(torch.randn(n, 1, 6, 6, dtype=dtype), torch.randint(4, (n,))) for n in sizes]
        elif kind == "tied":
            batches = [(torch.randint(5, (n, 6)), torch.randint(5, (n, 6))) for n in sizes]
        else:
            batches = [(torch.randn(n, 3, dtype=dtype), torch.randint(4, (n,))) for n in sizes]
    return model.to(dtype), token_loss if kind == "tied" else F.cross_entropy, batches


KINDS = ("mlp", "cnn", "tied", "siamese", "frozen")


def dense_hessian(model: nn.Module, loss_fn, batches) -> torch.Tensor:
    """By torch's own torch.autograd.functional.hessian on a copy, on all examples at once: a second route.

    Each distinct trainable tensor is written into every place that holds it.
    """
    model = copy.deepcopy(model).double().eval()
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    originals = dict(model.named_parameters())
    homes = {
        n: [(m, a) for m in model.modules() for a, p in list(m._parameters.items()) if p is originals[n]] for n in names
    }
    inputs = torch.cat([b[0] for b in batches])
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    targets = torch.cat([b[1] for b in batches])
    shapes = [originals[n].shape for n in names]
    theta = torch.cat([originals[n].detach().reshape(-1) for n in names])
    for n in names:
        for module, attr in homes[n]:
            del module._parameters[attr]

    def loss(vector):
        pieces = vector.split([s.numel() for s in shapes])
        for n, piece, shape in zip(names, pieces, shapes, strict=True):
            for module, attr in homes[n]:
                setattr(module, attr, piece.view(shape))
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return loss_fn(model(inputs), targets)

    return torch.autograd.functional.hessian(loss, theta)


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()
