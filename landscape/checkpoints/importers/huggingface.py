"""Hugging Face: folders of ``save_pretrained`` and of the Trainer, whole or in shards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from landscape.checkpoints.importers.foreign import Foreign, count, is_state_dict, numbers, plain_settings, tensors_of
from landscape.checkpoints.importers.pickles import load_pickle, readable
from landscape.checkpoints.importers.safetensors import tensors_in
from landscape.errors import CheckpointError
from landscape.files import opened

#: Files with the weights; an index names the shards.
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
OPTIMIZER, SCHEDULER, TRAINER, CONFIG = "optimizer.pt", "scheduler.pt", "trainer_state.json", "config.json"
_MOST_JSON = 64 << 20


def is_mine(folder: Path) -> bool:
    """Whether a folder has weights under the names of this library, and its settings or the Trainer's state."""
    return weights_file(folder) is not None and any((folder / name).is_file() for name in (CONFIG, TRAINER))


def weights_file(folder: Path) -> Path | None:
    """The file of the weights or of their index."""
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


def files_of(folder: Path) -> list[Path]:
    """All files that are read of a folder."""
    weights = weights_file(folder)
    assert weights is not None
    shards = _shards(weights) if weights.suffix == ".json" else []
    beside = [folder / name for name in (CONFIG, TRAINER, OPTIMIZER, SCHEDULER)]
    return [weights, *shards, *(path for path in beside if path.is_file())]


def read(folder: Path, *, allow: Sequence[str] = ()) -> Foreign:
    """The weights, and optimizer, schedule and step of the Trainer where they are there.

    Raises
    ------
    CheckpointError
        If a shard is missing, or a file is damaged or names classes that are not allowed.
    """
    weights = weights_file(folder)
    assert weights is not None
    parts = _shards(weights) if weights.suffix == ".json" else [weights]
    tensors: dict[str, Tensor] = {}
    for part in parts:
        tensors |= _tensors(part, allow)
    trainer = _json(folder / TRAINER) if (folder / TRAINER).is_file() else {}
    settings = _json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    states = [
        load_pickle(p, allow=allow) if (p := folder / name).is_file() else None for name in (OPTIMIZER, SCHEDULER)
    ]
    step = count(trainer.get("global_step"))
    return Foreign(
        folder,
        f"Hugging Face folder{f' of {len(parts)} shards' if len(parts) > 1 else ''}",
        tensors,
        is_ordered=all(part.suffix == ".bin" for part in parts) and len(parts) == 1,
        optimizer=states[0] if isinstance(states[0], Mapping) and "param_groups" in states[0] else None,
        scheduler=states[1] if isinstance(states[1], Mapping) else None,
        order="trainer",
        steps={f"'global_step' in {TRAINER}": step} if step is not None else {},
        epoch=count(trainer.get("epoch")),
        config=plain_settings({key: settings[key] for key in ("model_type", "_name_or_path") if key in settings}),
        metrics=_last_metrics(trainer, step),
    )


def _tensors(path: Path, allow: Sequence[str]) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return tensors_in(path)[0]
    content = load_pickle(path, allow=allow)
    if not is_state_dict(content):
        raise CheckpointError(f"{path} holds no tensors by name")
    return tensors_of(path, content)


def _shards(index: Path) -> list[Path]:
    """The files that an index names: beside it, nowhere else."""
    names = _json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise CheckpointError(f"{index} has no weight_map")
    found = []
    for name in sorted(set(names.values())):
        if Path(name).name != name:
            raise CheckpointError(f"{index} names {name!r}, which is not a file beside it")
        if not (index.parent / name).is_file():
            raise CheckpointError(f"{index.parent / name} is missing, a shard named by {index.name}")
        found.append(index.parent / name)
    return found


def _json(path: Path) -> dict[str, Any]:
    with readable(path), opened(path) as raw:
        text = raw.read(_MOST_JSON)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON ({error})") from error
    return value if isinstance(value, dict) else {}


def _last_metrics(trainer: Mapping[str, Any], step: int | None) -> dict[str, float]:
    """What the Trainer wrote down at this step."""
    log = trainer.get("log_history")
    rows = [row for row in log if isinstance(row, dict)] if isinstance(log, list) else []
    found: dict[str, float] = {}
    for row in rows:
        if step is not None and row.get("step") == step:
            found |= numbers(row, besides=("step", "total_flos"))
    return found
