"""Files of format 1, which HDF5's own library must read: in a process of its own (:mod:`landscape.files.child`).

The child refuses what our writers never wrote, compares the hash of the content where the format has one, and hands
over the same tree as a file of today.

``python -m landscape.files.format_one`` is the child: the old file is its stdin, the new one its stdout.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from landscape.files.checksum import feed
from landscape.files.child import read_by, serve
from landscape.files.reader import Group
from landscape.files.seal import Unusable
from landscape.files.writer import MAX_DEPTH, NewDataset, NewGroup


@contextlib.contextmanager
def converted(raw: IO[bytes], name: str) -> Iterator[Group]:
    """The tree of an old file, which is open, of the format ``name``.

    Its ``attrs["sha256_holds"]`` says whether the hash of its content does, where the format has one.

    Raises
    ------
    Unusable
        If it is not what our writers wrote, or the library does not survive it.
    """
    with read_by("landscape.files.format_one", raw, name) as tree:
        yield tree


def main() -> int:
    """Read the file at standard input with HDF5, and write it as one of today to standard output."""
    return serve(lambda source, root: _copy(source, root, sys.argv[1]))


def _copy(source: IO[bytes], root: NewGroup, name: str) -> None:
    import h5py

    digest = hashlib.sha256()
    with h5py.File(source, "r") as file:
        _check_format(file, name)
        nodes: dict[str, Any] = {"/": file}
        _collect(file, "", nodes, set(), 0)
        for path in sorted(nodes):
            node = nodes[path]
            made: NewGroup | NewDataset
            if isinstance(node, h5py.Dataset):
                value = _value(node)
                feed(digest, path, value)
                made = root.create_dataset(path, data=value)
            else:
                feed(digest, path, b"group")
                made = root.require_group(path)
            for key in sorted(node.attrs):
                value = _attribute(node, key)
                made.attrs[key] = value
                if (path, key) != ("/", "sha256"):
                    feed(digest, f"{path}@{key}", value)
    root.attrs["sha256_holds"] = root.attrs.get("sha256") == digest.hexdigest()


def _check_format(file: Any, name: str) -> None:
    said, version = (_attribute(file, key) if key in file.attrs else None for key in ("format", "format_version"))
    said = said.decode(errors="replace") if isinstance(said, bytes) else said
    if said != name or version is None:
        raise Unusable("foreign", f"its format is {said!r}")
    if int(version) != 1:
        raise Unusable("newer", f"it has format version {int(version)}, and without a seal there is but version 1")


def _collect(group: Any, path: str, nodes: dict[str, Any], seen: set[Any], depth: int) -> None:
    """All objects below a group, each of which must have one name and be of a kind that our writers wrote."""
    from h5py import h5d, h5g, h5l, h5o, h5t

    if depth > MAX_DEPTH:
        raise ValueError("its groups are nested too deep")
    for name in group.id:
        if group.id.links.get_info(name).type != h5l.TYPE_HARD:
            raise ValueError("it has links to elsewhere")
        known = h5o.get_info(group.id, name)
        if known.addr in seen or known.rc != 1:
            raise ValueError("one of its objects has two names")
        seen.add(known.addr)
        if known.type not in (h5o.TYPE_GROUP, h5o.TYPE_DATASET):
            raise ValueError("it has a type of its own among its groups")
        at = f"{path}/{name.decode()}"
        node = nodes[at] = group[name]
        if isinstance(node.id, h5g.GroupID):
            _collect(node, at, nodes, seen, depth + 1)
            continue
        how = node.id.get_create_plist()
        if how.get_layout() not in (h5d.CONTIGUOUS, h5d.COMPACT) or how.get_external_count() or how.get_nfilters():
            raise ValueError("the values of a dataset do not stand in the file in one piece")
        kind = node.id.get_type()
        varies = kind.get_class() == h5t.STRING and kind.is_variable_str()  # its bytes stand elsewhere
        if not varies and node.id.get_storage_size() != node.size * kind.get_size():
            raise ValueError("a dataset is larger, or smaller, than the bytes that it has")


def _value(dataset: Any) -> Any:
    _check_type(dataset.id.get_type(), scalar=dataset.shape == ())
    value = dataset[()]
    return value if isinstance(value, bytes) or np.asarray(value).dtype.kind != "S" else bytes(value)


def _attribute(node: Any, key: str) -> Any:
    found = node.attrs.get_id(key)
    _check_type(found.get_type(), scalar=found.shape == ())
    value = node.attrs[key]
    return value if isinstance(value, (str, bytes)) or np.asarray(value).dtype.kind != "S" else bytes(value)


def _check_type(kind: Any, *, scalar: bool) -> None:
    from h5py import h5t

    known = (h5t.INTEGER, h5t.FLOAT, h5t.ENUM, h5t.COMPOUND, h5t.STRING)
    if kind.get_class() not in known or (kind.get_class() == h5t.STRING and not scalar):
        raise ValueError("it has a value of a type that no file of landscape has")


if __name__ == "__main__":
    raise SystemExit(main())
