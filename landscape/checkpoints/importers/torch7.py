"""The ``.t7`` files of tomgoldstein/loss-landscape: dictionaries of ``torch.save``, with the optimizer beside them.

Despite their name they are not of Torch7 for Lua; such are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from landscape.checkpoints.importers.foreign import Foreign, count, is_state_dict, tensors_of
from landscape.checkpoints.importers.pickles import load_pickle
from landscape.checkpoints.importers.pytorch import optimizer_of
from landscape.files.json_shapes import is_number


def is_mine(path: Path, content: Any) -> bool:
    """Whether a file is named as theirs and has what they save."""
    return (
        path.suffix.lower() == ".t7"
        and isinstance(content, Mapping)
        and "epoch" in content
        and is_state_dict(content.get("state_dict"))
    )


def read(path: Path, content: Mapping[str, Any], *, allow: Sequence[str] = ()) -> Foreign:
    """``model_<epoch>.t7`` with the optimizer of ``opt_state_<epoch>.t7``, where that lies beside it."""
    accuracy: Any = content.get("acc")
    beside = optimizer_file(path)
    optimizer = load_pickle(beside, allow=allow) if beside is not None else None
    return Foreign(
        path,
        "loss-landscape checkpoint (.t7)",
        tensors_of(path, content["state_dict"]),
        optimizer=optimizer_of(optimizer) if isinstance(optimizer, Mapping) else None,
        epoch=count(content["epoch"]),
        # In percent, of the test images.
        metrics={"test_accuracy": accuracy / 100} if is_number(accuracy) and 0 <= accuracy <= 100 else {},
    )


def optimizer_file(path: Path) -> Path | None:
    """The file with the optimizer's state, where there is one."""
    named = re.fullmatch(r"model_(\d+)\.t7", path.name)
    beside = path.with_name(f"opt_state_{named[1]}.t7") if named else None
    return beside if beside is not None and beside.is_file() else None
