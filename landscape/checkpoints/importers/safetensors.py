"""safetensors: tensors by name and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from landscape.checkpoints.importers.foreign import Foreign, count
from landscape.checkpoints.importers.pytorch import EPOCH, STEP
from landscape.errors import CheckpointError


def read(path: Path) -> Foreign:
    """The tensors, and a step where the file's own notes have one."""
    tensors, notes = tensors_in(path)
    found = {key: count(int(notes[key])) for key in (*STEP, *EPOCH) if str(notes.get(key, "")).isdecimal()}
    step = next((key for key in STEP if found.get(key) is not None), None)
    return Foreign(
        path,
        "safetensors",
        tensors,
        is_ordered=False,  # the library sorts them
        steps={f"{step!r} in its notes": n} if step and (n := found[step]) is not None else {},
        epoch=next((found[key] for key in EPOCH if found.get(key) is not None), None),
    )


def tensors_in(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, read when they are used, and the notes that a file carries.

    Raises
    ------
    CheckpointError
        If the file is damaged, or the library is not installed.
    """
    try:
        from safetensors import safe_open
    except ImportError:
        raise CheckpointError(
            f"{path} is of safetensors, which is not installed: pip install 'landscape-curvature[safetensors]'"
        ) from None
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except Exception as error:  # whatever it makes of a file that is cut or crafted
        text = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} cannot be read by safetensors ({text})") from error
