"""How tensors, JSON and nested states stand in a checkpoint, and what the hash of the parameters covers.

Nothing here is ever pickled: reading a file runs no code that the file names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.errors import CheckpointError
from landscape.files import Dataset, Group, NewDataset, NewGroup
from landscape.files.checksum import feed

# Floating types of torch that NumPy lacks are stored as integers of the same width, under an attribute with their name.
_INTEGER_OF_WIDTH = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_KNOWN_TO_NUMPY = {torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128}


# --- tensors and JSON -------------------------------------------------------------------------------------------------


def write_tensor(group: NewGroup, name: str, tensor: Tensor) -> NewDataset:
    """Store a tensor under a link of its own, whatever its device, strides or type."""
    tensor = tensor.detach().cpu().contiguous()
    try:
        values = tensor.numpy()
    except TypeError:
        if tensor.layout is not torch.strided or tensor.is_quantized:
            raise CheckpointError(f"{name} is a {tensor.layout} tensor; only dense ones can be stored") from None
        values = tensor.view(_INTEGER_OF_WIDTH[tensor.element_size()]).numpy()
    dataset = group.create_dataset(escape(name), data=values)
    dataset.attrs["dtype"] = str(tensor.dtype).removeprefix("torch.")
    return dataset


def read_tensor(dataset: Dataset) -> Tensor:
    """The tensor as it was stored, on the CPU.

    Raises
    ------
    ValueError, TypeError
        If its values are not of the type that it says.
    """
    dtype = getattr(torch, str(dataset.attrs["dtype"]), None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"a tensor says that its type is {dataset.attrs['dtype']!r}")
    values = torch.from_numpy(dataset[()])
    if not values.numel():
        values = values.new_empty(values.shape)  # with strides as torch has them
    if values.dtype == dtype:
        return values
    is_foreign_to_numpy = dtype not in _KNOWN_TO_NUMPY and (dtype.is_floating_point or dtype.is_complex)
    if not is_foreign_to_numpy or values.dtype != _INTEGER_OF_WIDTH.get(dtype.itemsize):
        raise ValueError(f"a tensor of {dtype} is stored as {values.dtype}")
    return values.view(dtype)


def write_json(group: NewGroup, name: str, value: Any) -> NewDataset:
    """JSON stands in a dataset: attributes end at 64 KiB."""
    return group.create_dataset(name, data=json.dumps(value))


def read_json(dataset: Dataset, kind: type | None = None) -> Any:
    """The value of a dataset of JSON.

    Raises
    ------
    ValueError
        If it is not of the kind that belongs there.
    """
    value = json.loads(dataset.text())
    if kind is not None and not isinstance(value, kind):
        raise ValueError(f"there is a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def escape(name: str) -> str:
    """HDF5 cuts names at slashes, and takes a lone dot for the group itself."""
    return name.replace("%", "%25").replace("/", "%2F") if name.strip(".") else name.replace(".", "%2E")


def unescape(link: str) -> str:
    return link.replace("%2E", ".").replace("%2F", "/").replace("%25", "%")


# --- nested states: optimizer, scheduler, whatever a resume needs -----------------------------------------------------


def write_tree(group: NewGroup, name: str, value: Any) -> None:
    """Store dicts, lists and tuples of tensors, arrays and JSON values; ``read_tree`` gives back the same.

    What survives JSON unchanged is one JSON dataset; a tensor is a dataset; anything else is a group of its parts.

    Raises
    ------
    CheckpointError
        If a part is none of these: there is no pickle to fall back on.
    """
    link, inner = escape(name), f"{group.name}/{name}"
    if isinstance(value, Tensor):
        write_tensor(group, name, value).attrs["kind"] = "tensor"
    elif isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc":
        group.create_dataset(link, data=np.asarray(value)).attrs["kind"] = "array"
    elif _survives_json(value):
        write_json(group, link, value).attrs["kind"] = "json"
    elif isinstance(value, Mapping):
        below = group.create_group(link)
        named = all(isinstance(key, str) for key in value)
        below.attrs["kind"] = "dict" if named else "pairs"
        for key, part in value.items() if named else enumerate(value.items()):
            write_tree(below, str(key), part)
    elif isinstance(value, (list, tuple)):
        below = group.create_group(link)
        below.attrs["kind"] = "list" if isinstance(value, list) else "tuple"
        for index, part in enumerate(value):
            write_tree(below, str(index), part)
    else:
        raise CheckpointError(
            f"{inner} is a {type(value).__name__}; a checkpoint holds tensors, arrays, numbers, text, "
            "and dicts, lists and tuples of them"
        )


def read_tree(node: Group | Dataset) -> Any:
    """What :func:`write_tree` stored.

    Raises
    ------
    LookupError, ValueError, TypeError
        If there is something else.
    """
    kind = node.attrs["kind"]
    if isinstance(node, Dataset):
        readers = {"tensor": read_tensor, "array": _read_array, "json": read_json}
        return readers[kind](node)
    if kind == "dict":
        return {unescape(link): read_tree(part) for link, part in node.items()}
    parts = [read_tree(node[str(index)]) for index in range(len(node))]
    if kind == "pairs":
        return dict(parts)
    return {"list": list, "tuple": tuple}[kind](parts)


def _read_array(dataset: Dataset) -> Any:
    """An array, or a number where there is but one."""
    return dataset[()][()]


def _survives_json(value: Any) -> bool:
    try:
        again = json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return False
    # NaN is unequal to itself, and True equals 1: compare what they print.
    return repr(again) == repr(value)


# --- hashes -----------------------------------------------------------------------------------------------------------


def tensors_hash(named: Mapping[str, Tensor]) -> str:
    """SHA-256 over the name, type, shape and value of tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(named):
        tensor = named[name].detach().cpu().contiguous()
        feed(digest, f"{name}:{tensor.dtype}:{tuple(tensor.shape)}", tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
