"""Problems for tests: points of three classes, and all cached data forgotten."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

import landscape.problems.builtin.digits as digits_module
import landscape.problems.builtin.mnist as mnist_module
from landscape.problems import Problem


def classifier(seed=0, *, classes=3, count=60, **more):
    """Three classes of points in the plane, with a third of them for testing."""
    x = torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    cut = 2 * count // 3
    facts = {
        "build": lambda: nn.Linear(2, classes), "loss_fn": functional.cross_entropy, "loss_name": "cross_entropy",
        "train": (x[:cut], y[:cut]), "test": (x[cut:], y[cut:]), "num_classes": classes,
    }  # fmt: skip
    return Problem(**{**facts, **more})


def forget_cached_data():
    digits_module.digits_split.cache_clear()
    mnist_module.mnist_split.cache_clear()
