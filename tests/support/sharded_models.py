"""Models whose parameters are in shards on several ranks, and what is found of them there, as plain arrays.

Without a group each is the plain model that it is made of, so that one process answers the same questions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import landscape as ls
from tests.support.ranked_questions import TiedLanguageModel, direction, of_tokens

Sharded = Callable[[nn.Module], nn.Module]


def perceptron() -> nn.Module:
    """Sizes that two ranks do not divide, and a bias that one rank has none of."""
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 1))


def even() -> nn.Module:
    """Sizes that tensor parallelism on two ranks can divide."""
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 1))


def normalised() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 16, 2))


def by_layer(model: nn.Module) -> nn.Module:
    """FSDP around each layer that has parameters, and around all."""
    from torch.distributed.fsdp import fully_shard

    for layer in model.children():
        if next(layer.parameters(), None) is not None:
            fully_shard(layer)
    return fully_shard(model)


def at_the_root(model: nn.Module) -> nn.Module:
    from torch.distributed.fsdp import fully_shard

    return fully_shard(model)


def by_columns_and_rows(model: nn.Module, mesh: Any = None) -> nn.Module:
    """Tensor parallelism of the first two linear layers."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    mesh = init_device_mesh("cpu", (2,)) if mesh is None else mesh
    return parallelize_module(model, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})


def by_both(model: nn.Module) -> nn.Module:
    """FSDP around tensor parallelism, on a mesh of two dimensions."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (1, 2), mesh_dim_names=("data", "tensor"))
    return fully_shard(by_columns_and_rows(model, mesh["tensor"]), mesh=mesh["data"])


def by_rows(model: nn.Module, *, times: float = 1.0) -> nn.Module:
    """Every parameter cut along its first dimension by hand; ``times`` what comes out."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_module, distribute_tensor

    def cut(name: str, module: nn.Module, mesh: Any) -> None:
        for key, parameter in list(module._parameters.items()):
            if parameter is not None:
                module.register_parameter(key, nn.Parameter(distribute_tensor(parameter.detach(), mesh, [Shard(0)])))

    return distribute_module(
        model, init_device_mesh("cpu", (2,)), cut,
        lambda module, inputs, mesh: tuple(distribute_tensor(x, mesh, [Replicate()]) for x in inputs),
        lambda module, outputs, mesh: times * outputs.full_tensor(),
    )  # fmt: skip


#: What is measured of which model, and how that is put into shards.
MODELS: dict[str, tuple[Callable[[], nn.Module], Sharded]] = {
    "FSDP by layer": (perceptron, by_layer),
    "FSDP at the root": (perceptron, at_the_root),
    "FSDP of tied weights": (TiedLanguageModel, at_the_root),
    "FSDP with BatchNorm": (normalised, by_layer),
    "DTensor by rows": (perceptron, by_rows),
    "tensor parallelism": (even, by_columns_and_rows),
    "FSDP and tensor parallelism": (even, by_both),
}


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """In float64, the same on every rank."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return make().double()


def built(name: str) -> nn.Module:
    """The model in shards, or plain where this is the only process."""
    make, shard = MODELS[name]
    model = seeded(make)
    if name == "FSDP with BatchNorm":
        model(inputs(name, 20) + 0.3)
    return shard(model) if torch.distributed.is_initialized() else model


def asked(model: nn.Module, name: str, **options: Any) -> ls.Objective:
    """An uneven question of it: 103 examples in chunks of 16, or 29 texts with various numbers of tokens that count."""
    draw = torch.Generator().manual_seed(3)
    if name == "FSDP of tied weights":
        tokens = torch.randint(11, (29, 6), generator=draw)
        target = tokens.roll(-1, 1).masked_fill(torch.rand(29, 6, generator=draw) < 0.3, -100)
        options = {"weight": lambda batch: (batch[1] != -100).sum(), "chunk": 4, **options}
        return ls.Objective(model, of_tokens, (tokens, target), **options)
    if name == "FSDP with BatchNorm":
        x, y = torch.randn(37, 1, 6, 6, generator=draw), torch.randint(2, (37,), generator=draw)
        return ls.Objective(model, functional.cross_entropy, (x.double(), y), **{"chunk": 8, **options})
    x, y = (torch.randn(103, n, generator=draw, dtype=torch.float64) for n in (5, 1))
    batches = list(zip(x.split(40), y.split(40), strict=True))
    return ls.Objective(model, functional.mse_loss, batches, **{"chunk": 16, **options})


def measured(name: str) -> dict[str, np.ndarray]:
    """What is asked of a Hessian, and of others."""
    objective = asked(built(name), name)
    V = direction(objective.layout.size, torch.float64)
    loss, gradient = objective.loss_and_gradient()
    H = ls.HessianOperator(objective)
    eigs = ls.top_eigenpairs(H, 3, which="both", tol=1e-8)
    found = {
        "theta": objective.theta, "loss": loss, "gradient": gradient, "product": objective.hvp(V[:, 0]),
        "eigenvalues": eigs.values, "trace": ls.trace(H, method="hutchinson", num_probes=5).value,
        "one layer": H.block([objective.layout.names[0]]).dense(),
        "Gauss-Newton": ls.GaussNewtonOperator(objective) @ V[:, 0],
        "line": ls.evaluate_line(objective, V[:, 0], radius=0.2, points=5).loss,
    }  # fmt: skip
    for route in ("fresh", "retained", "linearized", "forward"):
        found[f"by {route}"] = ls.HessianOperator(objective, route=route) @ V
    return {key: torch.as_tensor(value).detach().double().numpy().copy() for key, value in found.items()}


def all_measured() -> dict[str, dict[str, np.ndarray]]:
    return {name: measured(name) for name in MODELS}


def stood(model: nn.Module) -> dict[str, Any]:
    """What must not change: classes, hooks, modes, which tensors are registered, with which bits and gradients."""
    tensors: list[Any] = [*model.parameters(), *model.buffers()]
    grads: list[Any] = [t.grad for t in tensors]
    return {
        "classes": [type(part).__name__ for part in model.modules()],
        "modes": [part.training for part in model.modules()],
        "attributes": [sorted(map(str, vars(part))) for part in model.modules()],
        "hooks": [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules()],
        "kinds": [type(t).__name__ for t in tensors],
        "tensors": [id(t) for t in tensors],
        "gradients": [id(g) for g in grads if g is not None],
        "bits of gradients": [_own(g).tolist() for g in grads if g is not None],
        "bits": [_own(t).tolist() for t in tensors],
        "random": torch.get_rng_state().tolist(),
    }


def _own(tensor: Any) -> torch.Tensor:
    """What this rank has of it."""
    return (tensor.to_local() if hasattr(tensor, "to_local") else tensor).detach()


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [name for name in before if before[name] != after[name]]


def inputs(name: str, count: int = 12) -> torch.Tensor:
    draw = torch.Generator().manual_seed(5)
    if name == "FSDP of tied weights":
        return torch.randint(11, (count, 6), generator=draw)
    shape = (count, 1, 6, 6) if name == "FSDP with BatchNorm" else (count, 5)
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def in_full(tensor: Any) -> torch.Tensor:
    return (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).detach()
