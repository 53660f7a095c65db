"""The ways in which people put one model into shards, beside other things that they do to it; each by its numbers.

Without a group all are the plain model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

import landscape as ls
from tests.support.sharded_models import inputs, perceptron, seeded


class OwnMethod(nn.Module):
    """Called by a method of its own; it holds its layers, and one of their tensors, a second time."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, 4), nn.Linear(4, 1)
        self.layers = [self.first]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.layers[0](x).tanh())

    def score(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * self(x)


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    unflat = nn.Sequential(nn.Linear(5, 8), nn.Unflatten(0, (-1, 1)), nn.TransformerEncoder(layer, 2))
    return nn.Sequential(unflat, nn.Flatten(), nn.Linear(8, 1))


def normalised_weights() -> nn.Module:
    return nn.Sequential(weight_norm(nn.Linear(5, 4)), nn.Tanh(), nn.Linear(4, 1))


def frozen() -> nn.Module:
    model = perceptron()
    model[0].requires_grad_(False)
    return model


def _rooted(model: nn.Module, *parts: Any, **how: Any) -> nn.Module:
    """FSDP around parts, and around all."""
    from torch.distributed.fsdp import fully_shard

    for part in parts:
        fully_shard(part, **how)
    return fully_shard(model, **how)


def _in_lower_precision(model: nn.Module) -> nn.Module:
    from torch.distributed.fsdp import MixedPrecisionPolicy

    return _rooted(model.float(), model[0], mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16))


def _compiled(model: nn.Module) -> nn.Module:
    model[0].compile()
    return torch.compile(_rooted(model, model[0]))


def _checkpointed(model: nn.Module) -> nn.Module:
    from torch.distributed._composable import checkpoint

    checkpoint(model[0])
    return _rooted(model, model[0])


def _with_a_method(model: nn.Module) -> nn.Module:
    from torch.distributed.fsdp import register_fsdp_forward_method

    register_fsdp_forward_method(_rooted(model), "score")
    return model


def _hybrid(model: nn.Module) -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh

    return _rooted(model, mesh=init_device_mesh("cpu", (2, 1), mesh_dim_names=("copies", "shards")))


#: The model, and what is done to it on ranks.
WRAPPINGS: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], nn.Module]]] = {
    "two layers in one group": (perceptron, lambda model: _rooted(model, [model[0], model[2]])),
    "in lower precision": (perceptron, _in_lower_precision),
    "compiled, a layer and all": (perceptron, _compiled),
    "a layer run again in backward": (perceptron, _checkpointed),
    "resharded after each forward": (perceptron, lambda model: _rooted(model, reshard_after_forward=True)),
    "kept whole after each forward": (perceptron, lambda model: _rooted(model, model[0], reshard_after_forward=False)),
    "a method of its own": (OwnMethod, _with_a_method),
    "weight normalisation": (normalised_weights, lambda model: _rooted(model, model[0])),
    "attention": (transformer, lambda model: _rooted(model, *model[0][2].layers)),
    "a frozen layer": (frozen, lambda model: _rooted(model, model[0])),
    "shards and copies": (perceptron, _hybrid),
}


def numbers() -> dict[str, list[float]]:
    """Loss, and the length of one product, of each; FSDP has been called once before, and taken one step backward."""
    found, x, y = {}, inputs(""), torch.zeros(12, 1, dtype=torch.float64)
    for name, (make, wrap) in WRAPPINGS.items():
        model = seeded(make)
        if torch.distributed.is_initialized():
            model = wrap(model)
        dtype = next(model.parameters()).dtype
        if name != "compiled, a layer and all":  # which takes long
            model(x.to(dtype)).mean().backward()
        if name == "a method of its own":
            objective = ls.Objective.from_loss(model, lambda m, b: functional.mse_loss(m.score(b[0]), b[1]), (x, y))
        else:
            objective = ls.Objective(model, functional.mse_loss, (x, y))
        v = torch.ones(objective.layout.size, dtype=objective.dtype)
        found[name] = [objective.loss(), float(objective.hvp(v).norm())]
    return found
