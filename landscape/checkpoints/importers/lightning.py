"""PyTorch Lightning: ``.ckpt`` files of its Trainer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landscape.checkpoints.importers.foreign import Foreign, count, is_state_dict, plain_settings, tensors_of
from landscape.checkpoints.importers.pytorch import optimizer_of
from landscape.errors import CheckpointError


def is_mine(path: Path, content: Any) -> bool:
    """Whether a dictionary was saved by Lightning's Trainer."""
    return isinstance(content, Mapping) and "pytorch-lightning_version" in content and "state_dict" in content


def read(path: Path, content: Mapping[str, Any], *, key: str | None = None) -> Foreign:
    """Model, optimizer, schedule and step; averaged weights where a callback saved these as the model.

    Raises
    ------
    CheckpointError
        If there are no tensors under the key.
    """
    place = key or "state_dict"
    if not is_state_dict(content.get(place)):
        raise CheckpointError(f"{path} has no tensors under {place!r}")
    said = []
    optimizers, schedulers = (_list(content.get(name)) for name in ("optimizer_states", "lr_schedulers"))
    if len(optimizers) > 1:
        said.append(f"it has {len(optimizers)} optimizers, and a checkpoint has one: their states are left out")
    averaging = content.get("averaging_state")
    if isinstance(averaging, Mapping) and place == "state_dict":
        n = count(averaging.get("n_averaged"))
        said.append(f"its weights are an average of {n} models; those of training are --key current_model_state")
    step = count(content.get("global_step"))
    return Foreign(
        path,
        f"Lightning {content['pytorch-lightning_version']} checkpoint",
        tensors_of(path, content[place]),
        optimizer=optimizer_of(content),
        scheduler=schedulers[0] if len(schedulers) == 1 and isinstance(schedulers[0], Mapping) else None,
        steps={"'global_step' inside": step} if step is not None else {},
        epoch=count(content.get("epoch")),
        config=plain_settings(content.get("hyper_parameters", {})),
        said=tuple(said),
    )


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []
