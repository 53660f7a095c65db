"""What an open checkpoint holds, each part checked for its shape: a file that is whole may still say nonsense.

Each of these raises LookupError, ValueError or TypeError where it does; who opened the file makes one error of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from landscape.checkpoints.format import read_json, read_tensor, read_tree, tensors_hash, unescape
from landscape.files import Group
from landscape.files.json_shapes import CONFIG, METRICS, usable


def fields(file: Group) -> dict[str, Any]:
    """What a checkpoint says of itself, by the names that :class:`Checkpoint` has for it."""
    attrs = file.attrs
    aliases = read_json(file.dataset("aliases"), dict)
    if not all(isinstance(name, str) for name in aliases.values()):
        raise ValueError("its aliases are not names")
    return {
        "step": _count(attrs, "step"),
        "problem": _optional(attrs, "problem", str),
        "problem_config": read_json(file.dataset("problem_config"), dict) if "problem_config" in file else {},
        "metrics": usable(read_json(file.dataset("metrics"), dict), METRICS),
        "config": usable(read_json(file.dataset("config"), dict), CONFIG),
        "optimizer": _optional(attrs, "optimizer", str),
        "lr": _optional(attrs, "lr", float),
        "seed": _optional(attrs, "seed", int),
        "created": str(attrs["created"]),
        "versions": {"landscape": str(attrs["landscape_version"]), "torch": str(attrs["torch_version"])},
        "params_sha256": str(attrs["params_sha256"]),
        "num_parameters": _count(attrs, "num_parameters"),
        "aliases": aliases,
    }


def params(file: Group) -> dict[str, Tensor]:
    """The parameters in their order, after their own hash was compared."""
    group = file.group("params")
    places = {link: item.attrs["index"] for link, item in group.items()}
    if sorted(places.values()) != list(range(len(places))):
        raise ValueError("its parameters are not numbered one by one")
    found = {unescape(link): read_tensor(group.dataset(link)) for link in sorted(places, key=places.__getitem__)}
    if len(found) != len(places) or tensors_hash(found) != file.attrs["params_sha256"]:
        raise ValueError("its parameters do not match their sha256")
    return found


def tensors(group: Group) -> dict[str, Tensor]:
    """All tensors of a group, by name."""
    return {unescape(link): read_tensor(item) for link, item in group.datasets().items()}


def optimizer_state(file: Group) -> dict[str, Any] | None:
    """Class, groups and state of the optimizer, or None."""
    if "optimizer" not in file:
        return None
    group = file.group("optimizer")
    state, groups = read_tree(group["state"]), read_json(group.dataset("param_groups"), list)
    if not isinstance(state, dict) or not all(map(_is_param_group, groups)):
        raise ValueError("the state of its optimizer is not by parameter")
    return {"class": str(group.attrs["class"]), "param_groups": groups, "state": state}


def history(file: Group) -> dict[str, np.ndarray]:
    """Numbers of each step, (S,) each."""
    columns = file.group("history").datasets() if "history" in file else {}
    if any(item.dtype != np.float64 or len(item.shape) != 1 for item in columns.values()):
        raise ValueError("its history is not lists of numbers")
    if len({item.shape for item in columns.values()}) > 1:
        raise ValueError("its history has more steps of one number than of another")
    return {unescape(link): item[()] for link, item in columns.items()}


def _optional(attrs: Mapping[str, Any], key: str, kind: type) -> Any:
    value = attrs.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (float, int) if kind is float else kind):
        raise ValueError(f"its {key} is a {type(value).__name__}, not a {kind.__name__}")
    return kind(value)


def _count(attrs: Mapping[str, Any], key: str) -> int:
    value = attrs[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"its {key} is {value!r}, which is no count")
    return value


def _is_param_group(value: Any) -> bool:
    names = value.get("params") if isinstance(value, dict) else None
    return isinstance(names, list) and all(isinstance(name, str) for name in names)
