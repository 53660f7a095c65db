"""What a file of another library holds, before it meets a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from landscape.errors import CheckpointError
from landscape.files.json_shapes import is_number


class NotACheckpoint(CheckpointError):
    """A file without the tensors of a model, such as an optimizer's state that lies beside them."""


@dataclass(frozen=True, eq=False)
class Foreign:
    """A checkpoint of another library, read without running anything that it names.

    Attributes
    ----------
    path : Path
        The file or folder.
    format : str
        In a few words.
    tensors : dict
        Parameters and buffers by the names that they have there.
    is_ordered : bool
        Whether these names stand in the order of the model that was trained.
    optimizer, scheduler : dict or None
        Their ``state_dict()`` as it was saved, parameters by number.
    optimizer_class : str or None
        Where the format says so, or always has the same.
    order : str or None
        In which order the format's own training gives its parameters to the optimizer, see ``parameter_orders``.
    steps : dict
        Where a number of steps stands → that number.
    epoch : int or None
    config, metrics : dict
        JSON values found beside.
    said : tuple of str
        What a person should know of how it was read.
    """

    path: Path
    format: str
    tensors: Mapping[str, Tensor]
    is_ordered: bool = True
    optimizer: Mapping[str, Any] | None = None
    scheduler: Mapping[str, Any] | None = None
    optimizer_class: str | None = None
    order: str | None = None
    steps: Mapping[str, int] = field(default_factory=dict)
    epoch: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    said: tuple[str, ...] = ()


def is_state_dict(value: Any) -> bool:
    """Whether a value is tensors by name, and nothing else but what modules add of their own (``_extra_state``)."""
    if not isinstance(value, Mapping) or not value or not all(isinstance(key, str) for key in value):
        return False
    kept = [part for key, part in value.items() if not key.endswith("_extra_state")]
    return bool(kept) and all(isinstance(part, Tensor) for part in kept)


def tensors_of(path: Path, value: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a state dict, in its order.

    Raises
    ------
    CheckpointError
        If one is sparse, quantised or without values.
    """
    found = {name: part.detach() for name, part in value.items() if isinstance(part, Tensor)}
    for name, tensor in found.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
            what = "has no values" if tensor.is_meta else "is sparse or quantised"
            raise CheckpointError(f"{path}: {name} {what}; only dense tensors of numbers can be imported")
    return found


def count(value: Any) -> int | None:
    """A whole number of at least 0, also as a tensor or a float without fraction; None for anything else."""
    if isinstance(value, Tensor):
        value = value.item() if value.numel() == 1 and not value.is_complex() else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62 else None


def first_count(content: Mapping[Any, Any], keys: tuple[str, ...]) -> tuple[str, int] | None:
    """The first of the keys under which a count stands."""
    return next(((key, n) for key in keys if (n := count(content.get(key))) is not None), None)


def plain_settings(value: Any) -> dict[str, Any]:
    """Of settings (a dict, or an ``argparse.Namespace`` that was allowed) those that are plain values."""
    if not isinstance(value, Mapping):
        value = getattr(value, "__dict__", {})
    return {
        str(key): part
        for key, part in value.items()
        if isinstance(part, (bool, str)) or part is None or (is_number(part) and part == part)
    }


def numbers(content: Mapping[Any, Any], besides: tuple[str, ...]) -> dict[str, float]:
    """Single numbers of a dictionary, such as losses, but those that mean something else."""
    found = {}
    for key, value in content.items():
        if isinstance(value, Tensor) and value.numel() == 1 and value.is_floating_point():
            value = float(value)
        if isinstance(key, str) and key not in besides and is_number(value):
            found[key] = value
    return found
