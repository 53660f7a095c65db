"""What is particular to a device: its queue, its memory, its random numbers, its precision. A CPU has none of it.

CUDA is asked through ``torch.cuda``, others through the module of torch of their name, as far as it has the function.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

#: Devices that have no float64: Apple's GPUs.
WITHOUT_FLOAT64 = {"mps"}
CPU = torch.device("cpu")


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was given: before a clock is read."""
    wait = getattr(_module(device), "synchronize", None)
    if wait is not None:
        wait() if device.type == "mps" else wait(device)


def own_generator_kept(device: torch.device) -> AbstractContextManager[None]:
    """Random numbers of the CPU and of the device end where they began."""
    if _module(device) is None:
        return torch.random.fork_rng(devices=[])
    return torch.random.fork_rng(devices=[device], device_type=device.type)


def has_float64(device: torch.device) -> bool:
    """Whether numbers can be in float64 there."""
    return device.type not in WITHOUT_FLOAT64


def place_of_float64(device: torch.device) -> torch.device:
    """Where float64 numbers of a device are kept: there, or on the CPU where it has none."""
    return device if has_float64(device) else CPU


def wide(tensor: Tensor) -> Tensor:
    """A tensor in float64, on its device, or on the CPU where that has none."""
    return tensor.to(place_of_float64(tensor.device)).to(torch.float64)


def total_bytes(device: torch.device) -> int | None:
    """Memory of the device; None on a CPU, and where it does not say."""
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory())
    return None if (seen := _memory(device)) is None else seen[1]


def free_bytes(device: torch.device) -> int | None:
    """Memory of the device that nobody holds, with what torch holds and has not handed out; None as above."""
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    if (seen := _memory(device)) is None:
        return None
    return seen[0] + max(_number(device, "memory_reserved") - _number(device, "memory_allocated"), 0)


def peak_bytes(device: torch.device) -> int | None:
    """The most memory that this process has had on the device; on Apple's GPUs what it has now. None as above."""
    if device.type == "mps":
        return int(torch.mps.driver_allocated_memory())
    module = _module(device)
    return int(module.max_memory_allocated(device)) if hasattr(module, "max_memory_allocated") else None


def _module(device: torch.device) -> Any:
    """``torch.cuda`` and its like; None for a CPU."""
    return None if device.type in ("cpu", "meta") else getattr(torch, device.type, None)


def _memory(device: torch.device) -> tuple[int, int] | None:
    """(free, total) as the driver says."""
    module = _module(device)
    if not hasattr(module, "mem_get_info"):
        return None
    free, total = module.mem_get_info(device)
    return int(free), int(total)


def _number(device: torch.device, name: str) -> int:
    module = _module(device)
    return int(getattr(module, name)(device)) if hasattr(module, name) else 0


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """float32 is float32: TF32, ten bits of mantissa, is off for products of matrices, convolutions and recurrences.

    Whichever way it was switched on (``allow_tf32``, ``set_float32_matmul_precision`` or ``fp32_precision``), it is on
    again afterwards.
    """
    if device.type != "cuda":
        yield
        return
    with ExitStack() as stack:
        for place in (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn):
            stack.enter_context(_ieee(place))
        yield


@contextmanager
def _ieee(place: Any) -> Iterator[None]:
    ...
    yield
