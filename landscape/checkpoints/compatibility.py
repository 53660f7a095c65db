"""Whether what a checkpoint holds goes into a model and its optimizer, said before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landscape.checkpoints.writer import named_tensors, parameter_names, persistent_buffers
from landscape.errors import CheckpointError


def check_architecture(path: Path, model: nn.Module, found: Mapping[str, Tensor], tied: Mapping[str, str]) -> None:
    """Refuse a file whose tensors are not those of the model, by name, shape and ties."""
    wanted = {**named_tensors(model), **persistent_buffers(model)}
    aliases = {other: name for name, others in parameter_names(model).items() for other in others}
    shapes = [
        f"{name} is {_shape(found[name])} in the file and {_shape(wanted[name])} in the model"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    differences = [
        ("missing from the file", [name for name in wanted if name not in found]),
        ("not in the model", [name for name in found if name not in wanted]),
        ("of another shape", shapes),
        ("tied in one and not in the other", sorted(aliases.keys() ^ tied.keys())),
    ]
    listed = [f"{what}: {_few(names)}" for what, names in differences if names]
    if listed:
        raise CheckpointError(
            f"{path} is of another architecture than this {type(model).__name__}. {'; '.join(listed)}"
        )


def check_kinds(path: Path, model: nn.Module, found: Mapping[str, Tensor]) -> None:
    """Refuse copies that would drop imaginary parts or fractions, or make numbers of masks, without a word."""
    wanted = {**named_tensors(model), **persistent_buffers(model)}
    other = [
        f"{name} is {_type(found[name])} in the file and {_type(tensor)} in the model"
        for name, tensor in wanted.items()
        if _kind(found[name]) != _kind(tensor)
    ]
    if other:
        raise CheckpointError(
            f"{path} holds another kind of number than this {type(model).__name__}: {_few(other)}. Build the model "
            "with the types of the file, or take checkpoint.params() and buffers() and convert them on purpose "
            "(torch.view_as_real for complex ones)"
        )


def optimizer_state_for(
    path: Path, saved: dict[str, Any] | None, optimizer: torch.optim.Optimizer, model: nn.Module
) -> dict[str, Any]:
    """The state numbered as this optimizer numbers its parameters."""
    if saved is None:
        raise CheckpointError(f"{path} holds no optimizer state")
    if saved["class"] != type(optimizer).__name__:
        raise CheckpointError(f"{path} holds the state of {saved['class']}, not of {type(optimizer).__name__}")
    names = {id(parameter): name for name, parameter in named_tensors(model).items()}
    fresh = optimizer.state_dict()["param_groups"]
    ordered = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    here = [[names.get(id(ordered[i]), f"#{i}") for i in group["params"]] for group in fresh]
    there = [group["params"] for group in saved["param_groups"]]
    if here != there:
        raise CheckpointError(f"{path} holds the state of an optimizer over other parameters or groups")
    number = {
        name: i
        for names, group in zip(here, fresh, strict=True)
        for name, i in zip(names, group["params"], strict=True)
    }
    if strange := [name for name in saved["state"] if name not in number]:
        raise CheckpointError(f"{path} holds the state of parameters that its optimizer does not have: {_few(strange)}")
    groups = [
        {k: _with_tuples(v, mine.get(k)) for k, v in group.items()} | {"params": mine["params"]}
        for group, mine in zip(saved["param_groups"], fresh, strict=True)
    ]
    return {"state": {number[name]: part for name, part in saved["state"].items()}, "param_groups": groups}


def load_state(path: Path, receiver: Any, state: dict[str, Any], what: str) -> None:
    """Give an optimizer or a schedule its state."""
    try:
        receiver.load_state_dict(state)
    except Exception as error:  # whatever it makes of a state that is not its own
        raise CheckpointError(
            f"{path} holds a state of the {what} that {type(receiver).__name__} does not take "
            f"({type(error).__name__}: {error})"
        ) from error


def _with_tuples(saved: Any, mine: Any) -> Any:
    """JSON has no tuples; Adam's betas are one. They are where the fresh optimizer has them."""
    if not isinstance(saved, list) or not isinstance(mine, (list, tuple)):
        return saved
    parts = [_with_tuples(part, own) for part, own in zip(saved, [*mine, *[None] * len(saved)], strict=False)]
    return tuple(parts) if isinstance(mine, tuple) else parts


def _kind(tensor: Tensor) -> str:
    """What a tensor's numbers are, whatever their width."""
    if tensor.is_complex():
        return "complex"
    if tensor.is_floating_point():
        return "float"
    return "bool" if tensor.dtype == torch.bool else "integer"


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _shape(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "a number"


def _few(names: list[str], limit: int = 6) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(str, names[:limit])) + more
