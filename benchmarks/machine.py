"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    "landscape-curvature",
    "torch",
    "numpy",
    "scipy",
    "pyhessian",
    "hessian-eigenthings",
    "curvlinops-for-pytorch",
    "loss-landscapes",
    "landscaper",
)


def describe() -> dict[str, Any]:
    """Processor, memory, versions, threads and how busy the machine is."""
    return {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "threads": torch.get_num_threads(),
        "began": time.strftime("%Y-%m-%d %H:%M %Z"),
        "load_at_start": load(),
    }


def cpu_name() -> str:
    """As the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def memory_gb() -> float | None:
    """Physical memory."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError, AttributeError):
        return None


def load() -> float | None:
    """Processes that want to run, averaged over the last minute: more than a few of our own means a busy machine."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def version(package: str) -> str:
    """Installed version, or that it is missing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
