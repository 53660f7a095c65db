"""What is in a file of another library, line by line, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from landscape.checkpoints.importers.foreign import Foreign
from landscape.checkpoints.importers.formats import files_of, read_foreign
from landscape.checkpoints.importers.steps import settle
from landscape.errors import CheckpointError

_SHOWN = 8


def describe_foreign(path: str | Path, *, allow: Sequence[str] = ()) -> list[tuple[str, str]]:
    """(label, text) pairs: format, step, tensors with their shapes, optimizer, settings, and how to import it.

    Raises
    ------
    CheckpointError
        In one line, if it cannot be read.
    """
    path = Path(path)
    foreign = read_foreign(path, allow=allow)
    lines = [
        ("file", f"{path}, {_bytes(sum(file.stat().st_size for file in files_of(path)))}"),
        ("format", foreign.format),
    ]
    try:
        step, how = settle(foreign, None)
        lines.append(("step", f"{step}{f' ({how})' if how else ''}"))
        more = ""
    except CheckpointError:
        lines.append(("step", "not said; name it with --step"))
        more = " --step N"
    lines += _tensors(foreign)
    lines += _optimizer(foreign)
    if foreign.scheduler is not None:
        lines.append(("scheduler", ", ".join(sorted(map(str, foreign.scheduler)))))
    lines += [(f"config.{key}", str(value)) for key, value in foreign.config.items()]
    lines += [(f"metrics.{key}", f"{value:.6g}") for key, value in foreign.metrics.items()]
    lines += [("note", line) for line in foreign.said]
    flags = "".join(f" --allow {name}" for name in allow)
    command = f"landscape import {shlex.quote(str(path))} DST --problem pkg.mod:factory{more}{flags}"
    return [*lines, ("next", f"{command}, then landscape analyze DST --problem pkg.mod:factory")]


def _optimizer(foreign: Foreign) -> list[tuple[str, str]]:
    groups, state = (foreign.optimizer or {}).get("param_groups"), (foreign.optimizer or {}).get("state")
    if not isinstance(groups, list) or not isinstance(state, Mapping):
        return []
    kept = sorted({str(key) for part in state.values() if isinstance(part, Mapping) for key in part})
    of = f"{len(state)} tensors in {len(groups)} group{'s' * (len(groups) != 1)}"
    return [("optimizer state", f"{', '.join(kept) or 'nothing'} for {of}")]


def _tensors(foreign: Foreign) -> list[tuple[str, str]]:
    distinct: dict[tuple[int, int], Tensor] = {}
    for tensor in foreign.tensors.values():
        distinct.setdefault((tensor.data_ptr(), tensor.numel()) if tensor.numel() else (id(tensor), 0), tensor)
    numbers = sum(tensor.numel() for tensor in distinct.values())
    shared = len(foreign.tensors) - len(distinct)
    tied = f", {shared} of them tied to others" if shared else ""
    lines = [("tensors", f"{numbers:,} numbers in {len(foreign.tensors)} tensors{tied}")]
    for name, tensor in list(foreign.tensors.items())[:_SHOWN]:
        shape = " × ".join(map(str, tensor.shape)) or "a number"
        lines.append((f"  {name}", f"{shape}, {str(tensor.dtype).removeprefix('torch.')}"))
    if len(foreign.tensors) > _SHOWN:
        lines.append(("  …", f"{len(foreign.tensors) - _SHOWN} more"))
    return lines


def _bytes(size: int) -> str:
    value, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.1f} {unit}" if unit != "B" else f"{size} B"
