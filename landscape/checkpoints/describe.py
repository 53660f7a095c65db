"""What is in a checkpoint file, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from landscape.checkpoints.files import OpenFile, open_file
from landscape.checkpoints.format import read_json, read_tensor, tensors_hash, unescape
from landscape.files import Dataset, Group
from landscape.rounding import format_value

BROKEN = "DOES NOT HOLD"


def describe_checkpoint(path: str | Path) -> list[tuple[str, str]]:
    """(label, text) pairs: fields, metrics, tensors with their shapes, optimizer, and whether the hashes hold.

    A file whose hashes do not hold is described all the same, as far as it can be read.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, not HDF5, foreign, or written by a newer version.
    """
    path = Path(path)
    with open_file(path, insist=False) as file:
        tree = file.tree
        return [*_fields(path, tree), *_settings(tree), *_tensors(tree), *_states(tree), *_hashes(file)]


def _fields(path: Path, file: Group) -> Iterator[tuple[str, str]]:
    attrs = file.attrs
    yield "file", f"{path}, {_bytes(path.stat().st_size)}"
    yield "format", f"{attrs['format']}, version {attrs['format_version']}"
    yield "written", f"{attrs['created']} by landscape {attrs['landscape_version']}, torch {attrs['torch_version']}"
    yield "step", str(attrs["step"])
    for key in ("optimizer", "lr", "seed"):
        if key in attrs:
            yield key, str(attrs[key])


def _settings(file: Group) -> Iterator[tuple[str, str]]:
    problem = file.attrs.get("problem", "not named")
    settings = read_json(file.dataset("problem_config"), dict) if "problem_config" in file else {}
    yield "problem", f"{problem}  {_pairs(settings)}".strip()
    for key, value in read_json(file.dataset("config"), dict).items():
        if key not in ("optimizer", "lr", "seed", "problem", "problem_config"):
            yield f"config.{key}", _text(value)
    for key, value in read_json(file.dataset("metrics"), dict).items():
        yield f"metrics.{key}", _text(value)


def _tensors(file: Group) -> Iterator[tuple[str, str]]:
    params = sorted(file.group("params").datasets().items(), key=lambda item: item[1].attrs["index"])
    yield "parameters", f"{file.attrs['num_parameters']:,} in {len(params)} tensors"
    for link, dataset in params:
        frozen = "" if dataset.attrs["trainable"] else ", frozen"
        yield f"  {unescape(link)}", _tensor(dataset) + frozen
    for other, name in read_json(file.dataset("aliases"), dict).items():
        yield f"  {other}", f"tied to {name}"
    buffers = file.group("buffers").datasets()
    if buffers:
        yield "buffers", str(len(buffers))
        for link, dataset in buffers.items():
            yield f"  {unescape(link)}", _tensor(dataset)


def _states(file: Group) -> Iterator[tuple[str, str]]:
    if "optimizer" in file:
        group = file.group("optimizer")
        yield "optimizer state", f"{group.attrs['class']}: {_names_of_state(group['state'])}"
        for settings in read_json(group.dataset("param_groups"), list):
            tensors = settings.pop("params")
            yield "  group", f"{len(tensors)} tensors, {_pairs(settings)}"
    for name in ("scheduler", "resume"):
        if name in file:
            node: Group | Dataset = file[name]
            keys = read_json(node, dict) if isinstance(node, Dataset) else {unescape(link) for link in node}
            yield name, ", ".join(sorted(keys))


def _names_of_state(state: Group | Dataset) -> str:
    if isinstance(state, Dataset):
        return "empty"
    kept = {unescape(key) for part in state.values() if isinstance(part, Group) for key in part}
    return f"{', '.join(sorted(kept)) or 'nothing'} for {len(state)} tensors"


def _hashes(file: OpenFile) -> Iterator[tuple[str, str]]:
    yield "sha256", f"{file.proof.digest} {'holds' if file.holds else BROKEN + ': the file is damaged'}"
    params = file.tree.group("params").datasets()
    actual = tensors_hash({unescape(link): read_tensor(dataset) for link, dataset in params.items()})
    said = file.tree.attrs["params_sha256"]
    yield "params_sha256", f"{said} {'holds' if actual == said else BROKEN}"


def hashes_hold(lines: list[tuple[str, str]]) -> bool:
    """Whether a description says that both hashes hold."""
    return not any(label in ("sha256", "params_sha256") and BROKEN in text for label, text in lines)


def _tensor(dataset: Dataset) -> str:
    shape = " × ".join(map(str, dataset.shape)) or "a number"
    return f"{shape}, {dataset.attrs['dtype']}"


def _pairs(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key}={_text(value)}" for key, value in settings.items() if value is not None)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return format_value(value)
    if isinstance(value, list):
        return f"[{', '.join(_text(part) for part in value)}]"
    if isinstance(value, dict):
        return _pairs(value) or "none"
    return str(value)


def _bytes(size: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.4g} {unit}"
        size /= 1000  # type: ignore[assignment]
    return f"{size:.4g} GB"
