"""How much a product may keep where nobody says: a part of what is free on its device."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from landscape import distributed
from landscape.checks import check_positive
from landscape.device import free_bytes

#: A product keeps at most this share of what is free; but on a CPU always so many bytes.
SHARE, LEAST = 0.4, 2 * 2**30
#: (limit, used) of the group of processes that this one belongs to, as a container or a batch system sets them.
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
_SYSTEM = "/proc/meminfo"
_WHAT = "the memory that products may keep"


def allowed(memory: float | None, device: torch.device) -> int:
    """Bytes that a product may keep on a device: as asked, or a part of what is free.

    Of the memory of a CPU a process counts as its own what its threads are of the cores, so that many side by side
    share it; ranks do as the first one can. Where the system does not say what is free, it is the least.

    Raises
    ------
    UsageError
        If ``memory`` is no positive number.
    """
    if memory is not None:
        return int(check_positive("memory", memory))
    if (there := free_bytes(device)) is not None:
        return distributed.agreed(max(int(SHARE * there), 1), _WHAT)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    own = min(torch.get_num_threads() / cores, 1.0)
    return distributed.agreed(max(int(SHARE * own * free()), LEAST), _WHAT)


def free() -> int:
    """Bytes free for this process in the memory of the CPU; 0 where the system does not say."""
    found = [_available(), *(_left(limit, used) for limit, used in _GROUPS)]
    return min((left for left in found if left is not None), default=0)


def _available() -> int | None:
    try:
        lines = Path(_SYSTEM).read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None


def _left(limit: str, used: str) -> int | None:
    """What a group has left; None where it has no limit, which is a word or a number beyond all memory."""
    try:
        return max(int(Path(limit).read_text()) - int(Path(used).read_text()), 0)
    except (OSError, ValueError):
        return None
