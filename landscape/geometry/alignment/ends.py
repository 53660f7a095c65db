"""The two networks that are matched: θ of each, and what belongs to it beside θ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from landscape.device import widened
from landscape.errors import UsageError
from landscape.geometry.batch_statistics import STATISTICS, same, statistics_of
from landscape.geometry.endpoints import End, constants_of, end_as_given
from landscape.objective import Objective


def objective_of(model: nn.Module | Objective, inputs: Any) -> Objective:
    """What can run the model: an objective as it is; of a module one without a loss, on the inputs given or tried.

    Raises
    ------
    UsageError
        If no inputs are given, and none of those that its first layer suggests can be run.
    """
    if isinstance(model, Objective):
        if inputs is not None:
            raise UsageError("an objective has its data; inputs= goes with a model alone")
        return model
    if not isinstance(model, nn.Module):
        raise UsageError(f"model must be a torch.nn.Module or an Objective, not {type(model).__name__}")
    if inputs is not None:
        return _on(model, inputs)
    for tried in _suggested(model):
        try:
            found = _on(model, tried)
            found.loss()
            return found
        except Exception:  # whatever a model does with inputs that are not for it
            continue
    raise UsageError(
        "what this model takes cannot be told from its first layer; pass inputs= as it is called, a few examples, or "
        "an Objective in place of the model"
    )


def _on(model: nn.Module, inputs: Any) -> Objective:
    return Objective.from_outputs(model, _called, _no_loss, [inputs], check=False, chunk=None, interacting=True)


def _called(model: Any, inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)


def _no_loss(outputs: Any, inputs: Any) -> Tensor:
    found = [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]
    floats = [widened(leaf).nan_to_num().mean() for leaf in found if leaf.is_floating_point()]
    return torch.stack(floats).mean()


def _suggested(model: nn.Module) -> list[Any]:
    """Inputs that fit the first layer: of any length or size in which a model may be read."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            return [torch.randint(module.num_embeddings, (4, size), generator=generator) for size in (8, 16, 4)]
        if isinstance(module, (nn.LSTM, nn.GRU, nn.RNN)):
            return [torch.randn(4, 6, module.input_size, generator=generator)]
        if isinstance(module, nn.Linear):
            features = module.in_features
            return [torch.randn(*shape, features, generator=generator) for shape in ((4,), (4, 6))]
        for rank, kind in enumerate((nn.Conv1d, nn.Conv2d, nn.Conv3d), start=1):
            if isinstance(module, kind):
                channels = module.in_channels
                sides = (32, 28, 64, 224, 8, 16) if rank < 3 else (16, 8)
                return [torch.randn(4, channels, *(side,) * rank, generator=generator) for side in sides]
    return []


def network_of(objective: Objective, given: Any, called: str) -> End:
    """One of the two networks, in its own dtype.

    Raises
    ------
    UsageError
        If it does not have the parameters of the objective, or they are no finite numbers.
    """
    end = end_as_given(objective, given, called=called)
    if not end.theta.is_floating_point():
        raise UsageError(f"{called} is of {end.theta.dtype}; θ is a vector of floating-point numbers")
    if not bool(end.theta.isfinite().all()):
        raise UsageError(f"{called} holds {int((~end.theta.isfinite()).sum())} entries that are NaN or infinite")
    return end


def state_of(objective: Objective, a: End, b: End) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """What belongs to one θ beside it, of a and of b, and what is the same in both.

    The former are running statistics of normalisation layers, and other floating-point buffers that differ between the
    ends. Where an end is a vector, those of the objective's model stand for its own.
    """
    model = objective.parts().model
    own = constants_of(objective)
    of_a, of_b = (own if end.constants is None else {**own, **end.constants} for end in (a, b))
    counters = {name for name in statistics_of(model) if name.endswith(STATISTICS[-1])}
    buffers = [name for name, _ in model.named_buffers() if name in own and own[name].is_floating_point()]
    moving = [
        name
        for name in buffers
        if name not in counters and (name in statistics_of(model) or not same(of_a[name], of_b[name].to(of_a[name])))
    ]
    others = [name for name in own if name not in moving and name not in counters]
    stuck = [name for name in others if not same(of_a[name], of_b[name].to(of_a[name]))]
    if stuck:
        raise UsageError(
            f"outside θ the two models differ in {stuck[0]!r}, which cannot be permuted with it. Give both the same "
            "values, or make it part of θ (params='*', requires_grad_(True))"
        )
    rest = {name: own[name] if b.constants is None else of_b[name] for name in own if name not in moving}
    return {name: of_a[name] for name in moving}, {name: of_b[name] for name in moving}, rest
