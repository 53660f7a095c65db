"""The pretended device made known to torch: once in a process, before its first backward pass."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from tests.support.pretended_device import kernels
from tests.support.pretended_device.memory import BEHIND, NAME, has_float64, is_on_device

_libraries: list[torch.library.Library] = []  # what is registered lasts as long as they do


class _Module:
    """``torch.pretended``: what ``torch.cuda`` is to a GPU, as much of it as is asked for."""

    TOTAL = 8 * 2**30

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def manual_seed(self, seed: int) -> None:
        kernels.generator.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        kernels.generator.manual_seed(seed)

    def get_rng_state(self, device: Any = None) -> Tensor:
        return kernels.generator.get_state()

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        kernels.generator.set_state(state)

    def synchronize(self, device: Any = None) -> None:
        kernels.counts["waits"] += 1

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def memory_allocated(self, device: Any = None) -> int:
        return BEHIND.num_bytes

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        return self.TOTAL - BEHIND.num_bytes, self.TOTAL


def install() -> torch.device:
    """The device, installed if it is not yet."""
    if not _libraries:
        _setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
        everything = torch.library.Library("_", "IMPL")
        everything.fallback(kernels.fallback, "PrivateUse1")
        own = torch.library.Library("aten", "IMPL")
        for name, kernel in kernels.OWN.items():
            own.impl(name, kernel, "PrivateUse1")
        # Else a tied weight that is moved becomes two: torch moves what a parameter holds to devices that it knows.
        torch.__future__.set_swap_module_params_on_conversion(True)
        _libraries.extend((everything, own))
        Tensor.__deepcopy__ = _deepcopy(Tensor.__deepcopy__)  # type: ignore[method-assign]
    return torch.device(NAME, 0)


def _deepcopy(usual: Any) -> Any:
    def deepcopy(self: Tensor, memo: Any) -> Tensor:
        """By a clone: torch copies the storage, which needs an allocator, and those are not written in Python."""
        if not is_on_device(self) or type(self) is not Tensor or not self.is_leaf:
            return usual(self, memo)
        if id(self) not in memo:
            with torch.no_grad():
                memo[id(self)] = self.clone().requires_grad_(self.requires_grad)
                memo[id(self)].grad = copy.deepcopy(self.grad, memo)
        return memo[id(self)]

    return deepcopy


@contextlib.contextmanager
def without_float64() -> Iterator[None]:
    """As on Apple's GPUs: no tensor in float64 may be made."""
    has_float64[0] = False
    try:
        yield
    finally:
        has_float64[0] = True
