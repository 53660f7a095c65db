"""What is measured, by whom, and against which truth."""

from __future__ import annotations

from benchmarks.harness import Workload
from benchmarks.workloads import checkpoints, density, eigenpairs, line, plane, products, trace
from benchmarks.workloads.scaling import SCALINGS, Scaling

__all__ = ["SCALINGS", "Scaling", "workloads"]

_ROOMS = (products, eigenpairs, trace, density, checkpoints, line, plane)


def workloads(size: str) -> dict[str, Workload]:
    """All workloads by name, at ``"tiny"``, ``"small"`` or ``"full"`` size."""
    return {workload.name: workload for room in _ROOMS for workload in room.workloads(size)}
