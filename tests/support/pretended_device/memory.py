"""Tensors of the pretended device, and the memory of the CPU that stands behind each of them.

A tensor of the device has a storage of its own, of the same address and size as a storage of the CPU that is kept alive
as long as it is. Views, detached copies and saved tensors share that storage, as they do on a real device, so that
whatever torch makes of a tensor, the memory behind it is found.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

NAME = "pretended"
_aten = torch.ops.aten


class NoFloat64Error(TypeError):
    """A tensor in float64 on a device that has none."""


class _Behind:
    """Which storage of the CPU is behind which of the device."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[StorageWeakRef, torch.UntypedStorage]] = {}
        self._next_sweep = 1000

    def add(self, storage: torch.UntypedStorage, memory: torch.UntypedStorage) -> None:
        # As long as the weak reference is held, no other storage has this address.
        self._known[storage._cdata] = StorageWeakRef(storage), memory
        if len(self._known) > self._next_sweep:
            self._known = {key: pair for key, pair in self._known.items() if not pair[0].expired()}
            self._next_sweep = max(1000, 2 * len(self._known))

    def of(self, tensor: Tensor) -> torch.UntypedStorage:
        return self._known[tensor.untyped_storage()._cdata][1]

    @property
    def num_bytes(self) -> int:
        """Of all that is alive."""
        return sum(memory.nbytes() for weak, memory in self._known.values() if not weak.expired())


BEHIND = _Behind()
#: Whether tensors in float64 may be made, as they may not on some devices.
has_float64 = [True]


def is_on_device(thing: object) -> bool:
    return isinstance(thing, Tensor) and thing.device.type == NAME


def on_cpu(tensor: Tensor) -> Tensor:
    """The same numbers, in the same memory, as a tensor of the CPU."""
    view = torch.empty(0, dtype=tensor.dtype)
    return view.set_(BEHIND.of(tensor), tensor.storage_offset(), tensor.size(), tensor.stride())


def on_device(tensor: Tensor, shared: Sequence[Tensor] = ()) -> Tensor:
    """A tensor of the device on the memory of one of the CPU; in the storage of one of ``shared`` if it is theirs."""
    if not has_float64[0] and tensor.dtype in (torch.float64, torch.complex128):
        raise NoFloat64Error(f"Cannot convert a {NAME} Tensor to float64: this device has no float64")
    memory = tensor.untyped_storage()
    known = [other for other in shared if BEHIND.of(other)._cdata == memory._cdata]
    return _in_storage(known[0].untyped_storage() if known else _storage_for(memory), tensor)


def follow(tensor: Tensor, alias: Tensor) -> None:
    """Let a tensor of the device have the shape and the memory that an operation gave its alias on the CPU."""
    same = alias.size() == tensor.size() and alias.stride() == tensor.stride()
    if same and alias.storage_offset() == tensor.storage_offset() and alias.data_ptr() == tensor.data_ptr():
        return
    storage = _storage_for(alias.untyped_storage())
    where = (storage, alias.storage_offset(), alias.size(), alias.stride())
    _aten.set_.source_Storage_storage_offset._op_dk(torch._C.DispatchKey.CPU, tensor, *where)


def _storage_for(memory: torch.UntypedStorage) -> torch.UntypedStorage:
    storage = torch._C._construct_storage_from_data_pointer(memory.data_ptr(), torch.device(NAME, 0), memory.nbytes())
    BEHIND.add(storage, memory)
    return storage


def _in_storage(storage: torch.UntypedStorage, like: Tensor) -> Tensor:
    made = torch._C._acc.create_empty_tensor([0], like.dtype)
    where = (storage, like.storage_offset(), like.size(), like.stride())
    # The kernel of the CPU sets sizes and strides and asks nothing about devices.
    return _aten.set_.source_Storage_storage_offset._op_dk(torch._C.DispatchKey.CPU, made, *where)
