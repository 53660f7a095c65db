"""nanoGPT: the ``ckpt.pt`` of its train.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landscape.checkpoints.importers.foreign import Foreign, count, is_state_dict, numbers, plain_settings, tensors_of
from landscape.checkpoints.importers.pytorch import optimizer_of


def is_mine(path: Path, content: Any) -> bool:
    """Whether a dictionary has what nanoGPT saves."""
    return isinstance(content, Mapping) and {"model", "model_args", "iter_num"} <= set(content) and (
        is_state_dict(content["model"])
    )  # fmt: skip


def read(path: Path, content: Mapping[str, Any]) -> Foreign:
    """Its optimizer is AdamW, with matrices in one group and vectors in another, each in the order of the model."""
    step = count(content["iter_num"])
    return Foreign(
        path,
        "nanoGPT checkpoint",
        tensors_of(path, content["model"]),
        optimizer=optimizer_of(content),
        optimizer_class="AdamW",
        order="dimensions",
        steps={"'iter_num' inside": step} if step is not None else {},
        config=plain_settings(content.get("config", {})) | plain_settings(content["model_args"]),
        metrics=numbers({"best_val_loss": content.get("best_val_loss")}, besides=()),
    )
