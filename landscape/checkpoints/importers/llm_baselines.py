"""epfml/llm-baselines: ``ckpts/<iter>/main.pt``, with the state of each worker beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landscape.checkpoints.importers.foreign import Foreign, count, is_state_dict, tensors_of
from landscape.checkpoints.importers.pytorch import optimizer_of

#: The file with the model in the folder of a checkpoint.
FILE = "main.pt"
#: The folder of a run's checkpoints.
FOLDER = "ckpts"


def is_mine(path: Path, content: Any) -> bool:
    """Whether a dictionary has what llm-baselines saves."""
    return (
        isinstance(content, Mapping)
        and {"model", "optimizer", "scheduler", "itr"} == set(content)
        and is_state_dict(content["model"])
    )


def read(path: Path, content: Mapping[str, Any]) -> Foreign:
    """Its optimizer has the weights of linear layers in one group and all others in a second, each sorted by name."""
    steps = {}
    if (inside := count(content["itr"])) is not None:
        steps["'itr' inside"] = inside
    if path.parent.parent.name == FOLDER and path.parent.name.isdecimal():
        steps[f"its folder {FOLDER}/{path.parent.name}"] = int(path.parent.name)
    return Foreign(
        path,
        "llm-baselines checkpoint",
        tensors_of(path, content["model"]),
        optimizer=optimizer_of(content),
        scheduler=content["scheduler"] if isinstance(content["scheduler"], Mapping) else None,
        order="sorted",
        steps=steps,
    )
