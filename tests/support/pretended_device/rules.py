"""What an operation on the pretended device may not be given, in the words of torch about CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from tests.support.pretended_device.memory import NAME, is_on_device

#: Where an index may lie on the CPU, though what is indexed does not.
_INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}
#: Where a number may, a tensor without dimensions, besides operations that go entry by entry.
_TAKES_NUMBERS = {"index_put", "index_put_", "_index_put_impl_", "masked_fill", "masked_fill_", "fill", "fill_"}


#: What was refused, in order: at the end of a test there must be nothing that somebody caught and passed over.
refusals: list[str] = []


class WrongSideError(RuntimeError):
    """A tensor of the CPU, or its generator, in an operation on the device."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        refusals.append(message)


def refuse_mixtures(op: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise where CUDA would: for tensors of the CPU beside those of the device, and for its generators."""
    name = op._schema.name.partition("::")[2]
    takes_numbers = torch.Tag.pointwise in op.tags or name in _TAKES_NUMBERS
    for argument, value in _given(op, args, kwargs):
        if isinstance(value, torch.Generator) and value.device.type != NAME:
            raise WrongSideError(
                f"Expected a '{NAME}' device type for generator but found '{value.device.type}' (aten::{name})"
            )
        if name in _INDEXED and argument.name == "indices":
            continue
        written = argument.alias_info is not None and argument.alias_info.is_write
        for tensor in pytree.tree_leaves(value):
            if not isinstance(tensor, Tensor) or is_on_device(tensor):
                continue
            if tensor.ndim > 0 or written or not takes_numbers:
                raise WrongSideError(
                    f"Expected all tensors to be on the same device, but found at least two devices, {NAME}:0 and "
                    f"{tensor.device}! (argument {argument.name!r} of aten::{name}, of shape {tuple(tensor.shape)})"
                )


def _given(op: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Each argument of the schema with its value."""
    arguments = op._schema.arguments
    yield from zip(arguments, args, strict=False)
    for argument in arguments:
        if argument.name in kwargs:
            yield argument, kwargs[argument.name]
