"""What the pretended device does: each operation by the CPU, on the memory behind its tensors."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from tests.support.pretended_device.memory import NAME, follow, is_on_device, on_cpu, on_device
from tests.support.pretended_device.rules import WrongSideError, refuse_mixtures

#: How often a number was read from the device, which waits for it; how often numbers went there and came back; how
#: often the device was waited for; and how many operations it did.
counts: Counter[str] = Counter()
#: What the random numbers of the device come from, apart from those of the CPU.
generator = torch.Generator()
_READS = {
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "equal",
    "is_nonzero",
    "_unique2",
    "unique_dim",
    "bincount",
}


def fallback(op: Any, *args: Any, **kwargs: Any) -> Any:
    """Any operation: its tensors as those of the CPU, its results as those of the device."""
    refuse_mixtures(op, args, kwargs)
    name = op._schema.name.partition("::")[2]
    counts["operations"] += 1
    counts["reads"] += name in _READS
    aliases: dict[int, tuple[Tensor, Tensor]] = {}  # by the place of the tensor given: that tensor, its alias

    def down(leaf: Any) -> Any:
        if isinstance(leaf, torch.device):
            return torch.device("cpu") if leaf.type == NAME else leaf
        if not is_on_device(leaf):
            return leaf
        if id(leaf) not in aliases:
            aliases[id(leaf)] = leaf, on_cpu(leaf)
        return aliases[id(leaf)][1]

    lower_args, lower_kwargs = pytree.tree_map(down, (with_tensors_for_numbers(op, args), kwargs))
    if torch.Tag.nondeterministic_seeded in op.tags:
        result = _with_own_numbers(op, lower_args, lower_kwargs)
    else:
        result = op(*lower_args, **lower_kwargs)
    given = {id(alias): tensor for tensor, alias in aliases.values()}
    for tensor, alias in aliases.values():
        follow(tensor, alias)

    def up(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return given[id(leaf)] if id(leaf) in given else on_device(leaf, [tensor for tensor, _ in aliases.values()])

    return pytree.tree_map(up, result)


def with_tensors_for_numbers(op: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """A number that was written in Python comes here as one, where the operation takes a tensor; it decides no type."""
    tensors = [a for a in args if isinstance(a, Tensor)]
    like = next((t.dtype for t in tensors if t.is_floating_point()), tensors[0].dtype if tensors else None)
    found = []
    for argument, value in zip(op._schema.arguments, args, strict=False):
        if isinstance(value, (int, float)) and isinstance(argument.type, torch.TensorType):
            exact = like is None or (isinstance(value, float) and not like.is_floating_point)
            value = torch.tensor(value, dtype=None if exact or isinstance(value, bool) else like)
        found.append(value)
    return (*found, *args[len(found) :])


def _with_own_numbers(op: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Random numbers of the device's own; those of the CPU are left where they are."""
    before = torch.random.get_rng_state()
    torch.random.set_rng_state(generator.get_state())
    try:
        return op(*args, **kwargs)
    finally:
        generator.set_state(torch.random.get_rng_state())
        torch.random.set_rng_state(before)


def copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    """The one way between the sides, that of ``.to()``, ``.cpu()`` and ``copy_()``."""
    if is_on_device(source) != is_on_device(target):
        counts["to the device" if is_on_device(target) else "to the CPU"] += 1
    (on_cpu(target) if is_on_device(target) else target).copy_(on_cpu(source) if is_on_device(source) else source)
    return target


def empty(size: Any, *, dtype: Any = None, device: Any = None, memory_format: Any = None, **layout: Any) -> Tensor:
    made = torch.empty(size, dtype=dtype, device="cpu")
    if memory_format not in (None, torch.contiguous_format, torch.preserve_format):
        made = made.to(memory_format=memory_format)
    return on_device(_spoiled(made))


def empty_strided(size: Any, stride: Any, *, dtype: Any = None, device: Any = None, **layout: Any) -> Tensor:
    return on_device(_spoiled(torch.empty_strided(size, stride, dtype=dtype, device="cpu")))


def _spoiled(tensor: Tensor) -> Tensor:
    """NaN in what nobody has written yet: memory of a device is not zero by chance."""
    if tensor.is_floating_point() and tensor.numel():
        tensor.fill_(math.nan)
    return tensor


def no_zeros(size: Any, *, dtype: Any = None, device: Any = None, **layout: Any) -> Tensor:
    """Zeros without memory of forward mode, with memory."""
    return on_device(torch.zeros(size, dtype=dtype))


def set_from_tensor(tensor: Tensor, source: Tensor) -> Tensor:
    if not is_on_device(source):
        raise WrongSideError(f"Attempted to set the storage of a tensor on device '{NAME}:0' to one on 'cpu'")
    follow(tensor, on_cpu(source))
    return tensor


def convolution(x: Tensor, weight: Tensor, bias: Any, *settings: Any) -> Tensor:
    """Devices of other makers bring their own, under this name."""
    return fallback(torch.ops.aten.convolution.default, x, weight, bias, *settings)


def convolution_backward(
    grad: Tensor, x: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int, mask: Any,
) -> Any:  # fmt: skip
    biases = [weight.size(1) * groups if transposed else weight.size(0)] if mask[2] else None
    settings = (biases, stride, padding, dilation, transposed, output_padding, groups, mask)
    return fallback(torch.ops.aten.convolution_backward.default, grad, x, weight, *settings)


OWN = {
    "aten::_copy_from": copy_from,
    "aten::empty.memory_format": empty,
    "aten::empty_strided": empty_strided,
    "aten::_efficientzerotensor": no_zeros,
    "aten::set_.source_Tensor": set_from_tensor,
    "aten::convolution_overrideable": convolution,
    "aten::convolution_backward_overrideable": convolution_backward,
    "aten::is_pinned": lambda tensor, device=None: False,
    "aten::record_stream": lambda tensor, stream: None,
}
