"""Hessians from central differences of gradients that plain ``backward()`` leaves, one parameter after another."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn


def hessian_by_differences(model: nn.Module, loss: Callable[[nn.Module], Tensor], step: float = 1e-5) -> Tensor:
    """(P, P) in float64, of ``loss(model)`` at a double precision copy of the model in eval mode."""
    twin = copy.deepcopy(model).double().eval()
    tensors = [p for p in twin.parameters() if p.requires_grad]

    def gradient() -> Tensor:
        twin.zero_grad()
        loss(twin).backward()
        found = [torch.zeros_like(p) if p.grad is None else p.grad.to_dense() for p in tensors]
        return torch.cat([g.reshape(-1) for g in found])

    rows = []
    for tensor in tensors:
        flat = tensor.data.view(-1)
        for place in range(flat.numel()):
            kept = flat[place].item()
            flat[place] = kept + step
            ahead = gradient()
            flat[place] = kept - step
            behind = gradient()
            flat[place] = kept
            rows.append((ahead - behind) / (2 * step))
    matrix = torch.stack(rows)
    return (matrix + matrix.T) / 2


def off(found: Tensor, truth: Tensor) -> float:
    """Relative distance of two matrices."""
    return float((found.double() - truth).norm() / truth.norm())
