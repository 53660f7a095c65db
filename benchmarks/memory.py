"""How much memory a piece of work takes beyond the model and the data, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import Case
from benchmarks.harness import Contender, first_line
from landscape.device import peak_of_process

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def measure_memory(contender: Contender, case: Case) -> dict[str, Any]:
    """Bytes by which the process's resident memory peaked above where it stood before ``prepare`` and one ``run``.

    Where it stood: everything imported, model and data loaded, one gradient on one example taken, so that thread pools
    and kernels are there. On Linux the peak is ``VmHWM`` of /proc/self/status, set back to the present size before the
    work by writing to clear_refs; elsewhere ``ru_maxrss``, whose high mark cannot be set back, so that a peak before
    the work would hide a smaller one in it.
    """
    model = case.own_model()
    case.loss(model(case.inputs[:1]), case.targets[:1]).backward()
    del model
    before = reset_peak()
    torch.manual_seed(0)
    try:
        contender.prepare(case)(0)
    except Exception as error:  # a line in the table
        return {"name": contender.name, "bytes": None, "failure": first_line(error)}
    return {"name": contender.name, "bytes": max(0, peak() - before), "failure": None}


def reset_peak() -> int:
    """Resident bytes now, from which the peak is counted on."""
    if not _STATUS.exists():
        return peak()
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return _status("VmHWM")
    return _status("VmRSS")


def peak() -> int:
    """The largest resident size of this process, in bytes, since it was set back."""
    return peak_of_process() or 0


def _status(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])
