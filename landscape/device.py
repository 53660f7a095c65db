"""What is particular to a device: its queue, its memory, its random numbers, its precision. A CPU has none of it.

CUDA is asked through ``torch.cuda``, others through the module of torch of their name, as far as it has the function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

#: Devices that have no float64: Apple's GPUs.
WITHOUT_FLOAT64 = {"mps"}
CPU = torch.device("cpu")
_EXACT = ("none", "ieee")
_STATUS = Path("/proc/self/status")


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was given: before a clock is read."""
    wait = getattr(_module(device), "synchronize", None)
    if wait is not None:
        wait() if device.type == "mps" else wait(device)


def accelerators() -> list[torch.device]:
    """The devices besides the CPU that this process has begun to use."""
    kind = torch.accelerator.current_accelerator() if hasattr(torch, "accelerator") else torch.device("cuda")
    module = None if kind is None else _module(kind)
    if kind is None or module is None or not module.is_available():
        return []
    begun = not hasattr(module, "is_initialized") or module.is_initialized()
    return [torch.device(kind.type, index) for index in range(module.device_count())] if begun else []


@contextmanager
def generators_kept(devices: Iterable[torch.device], *, seed: int | None = None) -> Iterator[None]:
    """The global generators of the CPU and of these devices end where they began; with a seed they begin there."""
    others = list(dict.fromkeys(device for device in devices if _module(device) is not None))
    with torch.random.fork_rng(devices=others, device_type=others[0].type if others else "cuda"):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
            for device in others:
                _seed(device, seed)
        yield


def _seed(device: torch.device, seed: int) -> None:
    module = _module(device)
    if hasattr(module, "default_generators"):
        module.default_generators[module.current_device() if device.index is None else device.index].manual_seed(seed)
    else:
        module.manual_seed(seed)


def has_float64(device: torch.device) -> bool:
    """Whether numbers can be in float64 there."""
    return device.type not in WITHOUT_FLOAT64


def place_of_float64(device: torch.device) -> torch.device:
    """Where float64 numbers of a device are kept: there, or on the CPU where it has none."""
    return device if has_float64(device) else CPU


def widened(tensor: Tensor) -> Tensor:
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


def peak_of_process() -> int | None:
    """The most bytes of the machine's memory that this process has had; None where the system does not say.

    On Linux its own since it began: ``ru_maxrss`` begins there at what the process that started it once had.
    """
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))


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
def full_precision() -> Iterator[None]:
    """float32 is float32: nothing that torch was told to compute faster and coarser is, on a GPU (TF32) or CPU (bf16).

    Whichever way that was asked for (``set_float32_matmul_precision``, ``allow_tf32``, ``fp32_precision``), it is in
    force again afterwards. Products of matrices, convolutions and recurrences; TF32 keeps 10 bits of 23.
    """
    with_gpu = torch.cuda.is_initialized()
    before = [(place, place.fp32_precision) for place in _places(with_gpu)]
    products, cudnn = _asked(torch.get_float32_matmul_precision), _cudnn_before() if with_gpu else None
    if products == "highest" and cudnn is None and all(precision in _EXACT for _, precision in before):
        yield
        return
    with ExitStack() as stack:
        stack.callback(_put_back, before)
        # Both ways to say it, of which the older sets several at once: torch refuses to be asked while they differ.
        if products in ("high", "medium"):
            stack.callback(torch.set_float32_matmul_precision, products)
            torch.set_float32_matmul_precision("highest")
        if cudnn is not None:
            stack.callback(setattr, torch.backends.cudnn, "allow_tf32", cudnn)
            torch.backends.cudnn.allow_tf32 = False
        for place, _ in before:
            if place.fp32_precision not in _EXACT:
                place.fp32_precision = "ieee"
        yield


def _cudnn_before() -> bool | None:
    """What cuDNN as a whole was allowed, where anything in it is; None where nothing is."""
    parts: list[Any] = [getattr(torch.backends.cudnn, kind, None) for kind in ("conv", "rnn")]
    coarse = [part.fp32_precision == "tf32" for part in parts if hasattr(part, "fp32_precision")]
    allowed = _asked(lambda: torch.backends.cudnn.allow_tf32)
    if allowed is None:  # it differs from what its parts have; where these differ themselves, nobody can ask for it
        allowed = not coarse[0] if coarse[0] == coarse[1] else True
    return bool(allowed) if allowed or any(coarse) else None


def _asked(setting: Callable[[], Any]) -> Any:
    """A setting; None where it was set in two ways that do not agree."""
    try:
        return setting()
    except RuntimeError:
        return None


@cache
def _places(with_gpu: bool) -> list[Any]:
    """What has a precision of its own; nothing before torch 2.9."""
    kinds = [("mkldnn", kind) for kind in ("matmul", "conv", "rnn")]
    if with_gpu:
        kinds += [("cuda", "matmul"), ("cudnn", "conv"), ("cudnn", "rnn")]
    found = [getattr(getattr(torch.backends, library), kind, None) for library, kind in kinds]
    return [place for place in found if place is not None and hasattr(place, "fp32_precision")]


def _put_back(before: list[tuple[Any, str]]) -> None:
    for place, precision in before:
        if place.fp32_precision != precision:
            place.fp32_precision = "none"  # as torch or a library as a whole has it
        if place.fp32_precision != precision:
            place.fp32_precision = precision


@contextmanager
def plain_cudnn(*, enabled: bool) -> Iterator[None]:
    """cuDNN chooses its algorithms by rule and not by timing them, so that two runs round alike; or is left out."""
    cudnn = torch.backends.cudnn
    before = cudnn.enabled, cudnn.benchmark
    cudnn.enabled, cudnn.benchmark = enabled and cudnn.enabled, False
    try:
        yield
    finally:
        cudnn.enabled, cudnn.benchmark = before
