"""How tensors, JSON and nested states stand in HDF5, what the hash covers, and how a file comes to be whole or absent.

Nothing here is ever pickled: reading a file runs no code that the file names.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from landscape.errors import CheckpointError

FORMAT = "landscape-checkpoint"
FORMAT_VERSION = 1
TEMPORARY = ".tmp"
# Floating types of torch that NumPy lacks are stored as integers of the same width, under an attribute with their name.
_INTEGER_OF_WIDTH = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


# --- tensors and JSON -------------------------------------------------------------------------------------------------


def write_tensor(group: h5py.Group, name: str, tensor: Tensor) -> h5py.Dataset:
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


def read_tensor(dataset: h5py.Dataset) -> Tensor:
    """The tensor as it was stored, on the CPU."""
    values = torch.from_numpy(np.array(dataset[()]))
    dtype = getattr(torch, dataset.attrs["dtype"])
    return values if values.dtype == dtype else values.view(dtype)


def write_json(group: h5py.Group, name: str, value: Any) -> None:
    """JSON stands in a dataset: attributes end at 64 KiB."""
    group.create_dataset(name, data=json.dumps(value), dtype=h5py.string_dtype())


def read_json(dataset: h5py.Dataset) -> Any:
    return json.loads(dataset.asstr()[()])


def escape(name: str) -> str:
    """HDF5 cuts names at slashes, and takes a lone dot for the group itself."""
    return name.replace("%", "%25").replace("/", "%2F") if name.strip(".") else name.replace(".", "%2E")


def unescape(link: str) -> str:
    return link.replace("%2E", ".").replace("%2F", "/").replace("%25", "%")


# --- nested states: optimizer, scheduler, whatever a resume needs -----------------------------------------------------


def write_tree(group: h5py.Group, name: str, value: Any) -> None:
    """Store dicts, lists and tuples of tensors, arrays and JSON values; ``read_tree`` gives back the same.

    What survives JSON unchanged is one JSON dataset; a tensor is a dataset; anything else is a group of its parts.

    Raises
    ------
    CheckpointError
        If a part is none of these: there is no pickle to fall back on.
    """
    if isinstance(value, Tensor):
        write_tensor(group, name, value).attrs["kind"] = "tensor"
    elif isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc":
        group.create_dataset(escape(name), data=np.asarray(value)).attrs["kind"] = "array"
    elif _survives_json(value):
        write_json(group, escape(name), value)
        group[escape(name)].attrs["kind"] = "json"
    elif isinstance(value, Mapping):
        inner = group.create_group(escape(name))
        named = all(isinstance(key, str) for key in value)
        inner.attrs["kind"] = "dict" if named else "pairs"
        for key, part in value.items() if named else enumerate(value.items()):
            write_tree(inner, str(key), part)
    elif isinstance(value, (list, tuple)):
        inner = group.create_group(escape(name))
        inner.attrs["kind"] = "list" if isinstance(value, list) else "tuple"
        for index, part in enumerate(value):
            write_tree(inner, str(index), part)
    else:
        raise CheckpointError(
            f"{group.name}/{name} is a {type(value).__name__}; a checkpoint holds tensors, arrays, numbers, text, "
            "and dicts, lists and tuples of them"
        )


def read_tree(node: h5py.Group | h5py.Dataset) -> Any:
    kind = node.attrs["kind"]
    if kind == "tensor":
        return read_tensor(node)
    if kind == "array":
        return node[()]
    if kind == "json":
        return read_json(node)
    if kind == "dict":
        return {unescape(link): read_tree(part) for link, part in node.items()}
    parts = [read_tree(node[str(index)]) for index in range(len(node))]
    if kind == "pairs":
        return dict(parts)
    return tuple(parts) if kind == "tuple" else parts


def _survives_json(value: Any) -> bool:
    try:
        again = json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return False
    # NaN is unequal to itself, and True equals 1: compare what they print.
    return repr(again) == repr(value)


# --- hashes -----------------------------------------------------------------------------------------------------------


def content_hash(file: h5py.File) -> str:
    """SHA-256 over the name, type, shape and value of every dataset and attribute, except the attribute ``sha256``."""
    digest = hashlib.sha256()
    nodes: dict[str, h5py.Group | h5py.Dataset] = {"/": file}
    file.visititems(lambda name, node: nodes.__setitem__(f"/{name}", node))
    for path in sorted(nodes):
        node = nodes[path]
        _feed(digest, path, node[()] if isinstance(node, h5py.Dataset) else b"group")
        for key in sorted(node.attrs):
            if (path, key) != ("/", "sha256"):
                _feed(digest, f"{path}@{key}", node.attrs[key])
    return digest.hexdigest()


def tensors_hash(named: Mapping[str, Tensor]) -> str:
    """SHA-256 over the name, type, shape and value of tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(named):
        tensor = named[name].detach().cpu().contiguous()
        _feed(digest, f"{name}:{tensor.dtype}:{tuple(tensor.shape)}", tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _feed(digest: Any, label: str, value: Any) -> None:
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        kind, raw = "bytes", value
    else:
        array = np.ascontiguousarray(value)
        kind, raw = f"{array.dtype.str}{np.shape(value)}", array.tobytes()
    # Lengths in front, so that no two different contents run together to the same bytes.
    for part in (label.encode(), kind.encode(), raw):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)


# --- files ------------------------------------------------------------------------------------------------------------


def write_file(path: Path, fill: Callable[[h5py.File], None]) -> None:
    """Write a file that is there as a whole or not at all: temporary name, hash, fsync, rename.

    HDF5 builds it in memory, so that takes the file's size once more: the library crashes the process when a disk runs
    full under it, where a plain write only fails.

    Raises
    ------
    CheckpointError
        If the folder cannot be written or the disk is full. What was there before is untouched.
    """
    image = io.BytesIO()
    # Object headers of this version carry checksums, so that damage to them is noticed before it is followed.
    with h5py.File(image, "w", libver=("v110", "v110")) as file:
        file.attrs["format"], file.attrs["format_version"] = FORMAT, FORMAT_VERSION
        fill(file)
        file.attrs["sha256"] = content_hash(file)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as stream:
                stream.write(image.getbuffer())
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"cannot write {path.name} into {path.parent}: {_why(error)}. Files already there are untouched"
        ) from error


def _sync_folder(folder: Path) -> None:
    """A renamed file survives a power cut only once its folder is on the disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _why(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space left on the disk"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "the folder is read-only"
    return error.strerror or str(error)


@contextmanager
def open_file(path: Path, *, verify: bool) -> Iterator[h5py.File]:
    """Open a checkpoint for reading, after refusing everything that is not a whole one of ours.

    Raises
    ------
    CheckpointError
        In one line: missing, empty, truncated, not HDF5, foreign, newer than this version, or damaged.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} {'is a folder, not a file' if path.is_dir() else 'does not exist'}")
    if not os.access(path, os.R_OK):
        raise CheckpointError(f"{path} cannot be read: permission denied")
    try:
        if not h5py.is_hdf5(path):
            size = path.stat().st_size
            what = "is empty" if size == 0 else "is not an HDF5 file"
            raise CheckpointError(f"{path} {what}; a checkpoint is written by landscape.save_checkpoint")
        with h5py.File(path, "r") as file:
            _check_format(path, file)
            if verify and not hash_holds(file):
                raise CheckpointError(f"{path} is damaged: its content does not match its sha256. Restore or delete it")
            yield file
    except CheckpointError:
        raise
    except Exception as error:
        # A damaged file makes HDF5 raise almost anything, and each means the same to whoever wanted to read it.
        text = " ".join(str(error).split())
        what = "is truncated" if "truncated" in text else "is damaged"
        raise CheckpointError(f"{path} {what} and cannot be read ({text}). Restore or delete it") from error


def hash_holds(file: h5py.File) -> bool:
    """Whether the content still is what was written."""
    return file.attrs.get("sha256") == content_hash(file)


def _check_format(path: Path, file: h5py.File) -> None:
    kind, version = file.attrs.get("format"), file.attrs.get("format_version")
    if kind != FORMAT or version is None:
        raise CheckpointError(f"{path} is HDF5, but not a checkpoint of landscape (its format is {kind!r})")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version}, written by landscape {file.attrs.get('landscape_version', '?')}; "
            f"this one reads up to {FORMAT_VERSION}. Upgrade landscape"
        )


def remove_temporaries(folder: Path) -> None:
    """Delete what interrupted writers left in a folder. Only for the one writer of the folder."""
    for path in leftovers(folder):
        path.unlink(missing_ok=True)


def leftovers(folder: Path) -> Iterable[Path]:
    """Temporary files of interrupted writers."""
    return folder.glob(f".step_*.h5.*{TEMPORARY}")
