"""ReLU networks that compute the same function from other weights."""

from __future__ import annotations

import copy

import torch
from shared.training import trained
from torch import nn

import landscape as ls
from landscape.problems import Problem

CONFIG = {"hidden": [50, 50], "activation": "relu"}
LEARNING_RATE = 0.1


def relu_network(seed: int, *, epochs: int) -> tuple[Problem, nn.Module]:
    """An MLP trained by SGD on the digits, in float64, and its problem."""
    problem = ls.get_problem("mlp-digits", CONFIG)
    return problem, trained(problem, lr=LEARNING_RATE, epochs=epochs, seed=seed).double()


def rescaled(model: nn.Module, alpha: float) -> nn.Module:
    """The same function: what enters the first ReLU is multiplied by α > 0, what leaves it divided by α."""
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for p in twin.get_submodule("fc1").parameters():
            p.mul_(alpha)
        twin.get_parameter("fc2.weight").div_(alpha)
    return twin
