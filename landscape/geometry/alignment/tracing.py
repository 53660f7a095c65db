"""One forward pass, in which every operation says which axes of its tensors belong together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.weak import WeakTensorKeyDictionary

from landscape.geometry.alignment import layers, shapes
from landscape.geometry.alignment.axes import Dim, free, held, hold, leaves, length
from landscape.geometry.alignment.calls import Call, Dims, Facts, Unknown, broadcast
from landscape.hvp.modes import OperationMode

_DATA, _THETA = 1, 2
#: Element by element, though torch does not tag them so.
_POINTWISE = {
    "_prelu_kernel", "_to_copy", "alias", "contiguous", "copy", "detach", "fill",
    "hardsigmoid", "hardswish", "lift", "lift_fresh", "lift_fresh_copy", "log_sigmoid_forward", "masked_fill",
    "positive", "to", "type_as", "zero",
}  # fmt: skip
#: Made without regard to what stands in the tensors that they are given.
_MADE = ("arange", "empty", "eye", "full", "linspace", "new_", "ones", "rand", "scalar_tensor", "tril_indices", "zeros")
_READ = ("_local_scalar_dense", "equal", "is_nonzero", "item")
_RULES = {**layers.RULES, **shapes.RULES}


class Tracing(OperationMode):
    """Follows the axes of tensors through a pass.

    Parameters
    ----------
    of_theta : iterable of (tensor, dims)
        What may be permuted.
    of_data : iterable of tensors
        Stay as they are.
    """

    def __init__(self, of_theta: Iterable[tuple[Tensor, Dims]], of_data: Iterable[Tensor], facts: Facts) -> None:
        super().__init__()
        self.facts, self.number = facts, 0
        self._dims, self._source = WeakTensorKeyDictionary(), WeakTensorKeyDictionary()
        self._read: dict[int, Dims] = {}
        for tensor in of_data:
            self._note(tensor, tuple(map(held, tensor.shape)), _DATA)
        for tensor, dims in of_theta:
            self._note(tensor, dims, _THETA)

    def dims_of(self, tensor: Tensor) -> Dims:
        """The dimensions of a tensor; a constant is free along those in which all its entries are equal."""
        if id(tensor) in self._read:
            return self._read[id(tensor)]
        if tensor not in self._dims:
            self._note(tensor, _by_value(tensor), 0)
        found: Dims = self._dims[tensor]
        return found

    def comes_from_data(self, tensor: Tensor) -> bool:
        return bool(self._source.get(tensor, 0) & _DATA)

    def hold_all(self, tensors: Iterable[Tensor]) -> None:
        """Keep every dimension of these tensors as it is."""
        for tensor in tensors:
            hold(*self.dims_of(tensor))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = arguments_of(func, args, kwargs)
        entering = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        for tensor in entering:
            self.dims_of(tensor)  # by its values before they are overwritten
        out = func(*args, **kwargs)
        self.number += 1
        name = name_of(func)
        outs = tuple(leaf for leaf in pytree.tree_leaves(out) if isinstance(leaf, Tensor))
        source = 0
        for tensor in entering:
            source |= self._source.get(tensor, 0)
        if name in _READ:
            self.facts.asks_data |= bool(source)
            self.facts.asks_theta |= bool(source & _THETA)
            self.hold_all(entering)
        if outs:
            self._read = self._uniform(func, entering)
            found = self._ruled(func, name, given, entering, outs)
            self._read = {}
            for tensor, dims in zip(outs, found, strict=True):
                self._note(tensor, dims, source)
        return out

    def _uniform(self, func: Any, entering: list[Tensor]) -> dict[int, Dims]:
        """Constants of one value, such as the zeros that a recurrence starts from: what reads them ties nothing.

        Views of them and what is written into them keep their dimensions, which the written values are to have, too.
        """
        if any(one.alias_info is not None for one in func._schema.returns):
            return {}
        constants = [tensor for tensor in entering if not self._source.get(tensor, 0) and tensor.numel() > 1]
        return {id(t): tuple(map(free, t.shape)) for t in constants if bool((t == t.reshape(-1)[0]).all())}

    def _ruled(
        self, func: Any, name: str, given: dict[str, Any], entering: list[Tensor], outs: tuple[Tensor, ...]
    ) -> list[Dims]:
        """The dimensions of what an operation gave, by its rule."""
        if name.startswith(_MADE):
            return [tuple(map(free, o.shape)) if "empty" in name else _by_value(o) for o in outs]
        is_pointwise = torch.Tag.pointwise in func.tags and torch.Tag.nondeterministic_seeded not in func.tags
        try:
            if name in _RULES:
                found = list(_RULES[name](Call(name, given, outs, self)))
            elif is_pointwise or name in _POINTWISE:
                dims = broadcast([self.dims_of(tensor) for tensor in entering], max(o.ndim for o in outs))
                found = [dims] * len(outs)
            else:
                raise Unknown
            if [tuple(map(length, dims)) for dims in found] == [tuple(o.shape) for o in outs]:
                return found
        # Arguments differ between versions of torch; where a rule does not fit its call, nothing is permuted.
        except (Unknown, KeyError, IndexError, TypeError, ValueError):
            pass
        if any(not leaf.fixed for tensor in entering for dim in self.dims_of(tensor) for leaf in leaves(dim)):
            self.facts.unknown[name] = None
        self.hold_all(entering)
        return [tuple(map(held, o.shape)) for o in outs]

    def _note(self, tensor: Tensor, dims: Dims, source: int) -> None:
        self._dims[tensor] = dims
        self._source[tensor] = source | self._source.get(tensor, 0)
        self.facts.seen.append(dims)


def name_of(func: Any) -> str:
    """Of ``aten::add_.Tensor``: ``add``."""
    return str(func._schema.name).split("::")[-1].removesuffix("_")


def arguments_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by name, defaults included."""
    declared = func._schema.arguments
    found = {one.name: one.default_value for one in declared if one.has_default_value()}
    found.update({one.name: value for one, value in zip(declared, args, strict=False)})
    return {**found, **kwargs}


def _by_value(tensor: Tensor) -> Dims:
    """Free where all slices along a dimension are equal, so that no order of them matters."""
    found: list[Dim] = []
    for place, size in enumerate(tensor.shape):
        alike = size > 1 and bool((tensor == tensor.narrow(place, 0, 1)).all())
        found.append(free(size) if alike else held(size))
    return tuple(found)
