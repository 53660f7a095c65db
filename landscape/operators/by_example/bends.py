"""Whether a model's outputs bend along any single tensor of θ: where none does, R has nothing on its diagonal."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from landscape.objective import Objective
from landscape.objective.functional import Parts
from landscape.operators.by_example.gradients import single_output

#: Examples on which it is looked at, spread evenly: at least and at most; between, a product's worth by all tensors.
FEWEST, MOST = 4, 32


def look_for_bends(objective: Objective, theta: Tensor) -> tuple[bool, float]:
    r"""Whether an output bends along a tensor, and the example-products that it took to see.

    It does not where :math:`\partial^2 z / \partial\theta_k^2 = 0` for each tensor :math:`\theta_k`:
    in networks of layers and kinks alone (ReLU, max-pooling, dropout in eval mode), which are linear in
    each. It is read from second derivatives along random directions, with random weights of outputs:
    autograd then passes zeros on, and the sum is zero to the last bit. Smooth activations, attention, normalisations
    and tensors that are used twice bend, and one example shows it.
    """
    count, width = objective.num_examples, len(objective.layout.names)
    spread = np.unique(np.linspace(0, count - 1, max(FEWEST, min(MOST, 2 * count // width))).astype(int))
    work = 0.0
    for rows in (spread[:1], spread):
        parts = objective.on_batches([objective.batches.pick(rows)]).parts()
        try:
            if not all(_is_affine(parts, index, theta) for index in range(len(parts.shares))):
                return True, work + len(rows)
        except (RuntimeError, NotImplementedError):  # what has no second derivative is not known
            return True, work + len(rows)
        work += len(rows) * (width + 1) / 2
    return False, work


def _is_affine(parts: Parts, index: int, theta: Tensor) -> bool:
    """On a chunk: every ``∂/∂θ_k ⟨∂⟨r, z⟩/∂θ_k, v_k⟩`` is zero."""
    generator = torch.Generator().manual_seed(index)
    with parts.borrowed(), torch.enable_grad():
        leaves = [t.detach().clone().requires_grad_() for t in parts.layout.split(theta)]
        output = single_output(parts.outputs(parts.chunk(index), leaves))
        weights = _random(output, generator)
        gradients = torch.autograd.grad(output, leaves, weights, create_graph=True, allow_unused=True)
        return all(_is_zero(g, leaf, generator) for g, leaf in zip(gradients, leaves, strict=True))


def _is_zero(gradient: Tensor | None, leaf: Tensor, generator: torch.Generator) -> bool:
    if gradient is None or not gradient.requires_grad:
        return True
    (second,) = torch.autograd.grad(gradient, leaf, _random(gradient, generator), retain_graph=True, allow_unused=True)
    return second is None or int(second.count_nonzero()) == 0


def _random(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)
