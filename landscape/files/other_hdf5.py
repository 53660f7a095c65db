"""HDF5 files of other programs, by HDF5's own library: in a process of its own (:mod:`landscape.files.child`).

Taken are numbers and single texts that stand in the file, however they are laid out and compressed. Links, other types
and what stands elsewhere are passed over or refused, so that reading a file never leads to another.

``python -m landscape.files.other_hdf5`` is the child: the file is its stdin, what it holds its stdout.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from landscape.files.child import read_by, serve
from landscape.files.reader import Group
from landscape.files.writer import MAX_DEPTH, SIGNATURE, NewGroup

# Of values, for each byte of the file: what fills itself, or was compressed on purpose, would be without end.
_MOST_AT_ALL, _MOST_OF_A_BYTE = 64 << 20, 50


def is_hdf5(raw: IO[bytes]) -> bool:
    """Whether a file, which is open, has the signature of HDF5 where one may stand: at 0, 512, 1024, 2048, …"""
    at, size = 0, os.fstat(raw.fileno()).st_size
    while at + len(SIGNATURE) <= size:
        raw.seek(at)
        if raw.read(len(SIGNATURE)) == SIGNATURE:
            return True
        at = 2 * at or 512
    return False


@contextlib.contextmanager
def other_hdf5(raw: IO[bytes]) -> Iterator[Group]:
    """The tree of an HDF5 file of any program, which is open.

    Raises
    ------
    Unusable
        If the library cannot read it, or does not survive it; if it has values outside the file or too many of them.
    """
    with read_by("landscape.files.other_hdf5", raw) as tree:
        yield tree


def main() -> int:
    """Read the file at standard input with HDF5, and write what it holds as a file of ours to standard output."""
    return serve(_copy)


def _copy(source: IO[bytes], root: NewGroup) -> None:
    import h5py

    left = _MOST_AT_ALL + _MOST_OF_A_BYTE * os.fstat(0).st_size
    with h5py.File(source, "r") as file:
        _fill(file, root, left, {h5py.h5o.get_info(file.id).addr}, 0)


def _fill(group: Any, made: NewGroup, left: int, seen: set[int], depth: int) -> int:
    """Copy what is in a group; how many bytes may still come."""
    from h5py import Dataset, h5l, h5o

    if depth > MAX_DEPTH:
        raise ValueError("its groups are nested too deep")
    made.attrs |= _attributes(group)
    for link in group.id:
        if group.id.links.get_info(link).type != h5l.TYPE_HARD:
            continue
        known = h5o.get_info(group.id, link)
        if known.type not in (h5o.TYPE_GROUP, h5o.TYPE_DATASET):
            continue
        node, name = group[link], link.decode(errors="replace")
        if not isinstance(node, Dataset):
            if known.addr not in seen:  # groups within themselves have no end
                seen.add(known.addr)
                left = _fill(node, made.create_group(name), left, seen, depth + 1)
            continue
        if not _is_taken(node.dtype, node.shape):
            continue
        if node.is_virtual or node.external:
            raise ValueError(f"the values of {name!r} stand in another file")
        left -= node.size * max(node.dtype.itemsize, 1)
        if left < 0:
            raise ValueError("it has far more values than bytes")
        made.create_dataset(name, data=_plain(node[()])).attrs |= _attributes(node)
    return left


def _attributes(node: Any) -> dict[str, Any]:
    """Numbers and texts; what else there may be is passed over."""
    found = {}
    for name in node.attrs:
        said = node.attrs.get_id(name)
        if _is_taken(said.dtype, said.shape) and np.prod(said.shape) * said.dtype.itemsize < 1 << 15:
            found[name] = _plain(node.attrs[name])
    return found


def _is_taken(dtype: Any, shape: Any) -> bool:
    import h5py

    if shape is None:
        return False
    if h5py.check_string_dtype(dtype) is not None:
        return bool(shape == ())
    return dtype.kind in "biuf" and dtype.itemsize <= 8 and dtype.names is None


def _plain(value: Any) -> Any:
    """Text as such, everything else as an array."""
    if isinstance(value, (bytes, np.bytes_)):
        return bytes(value).decode(errors="replace")
    return value if isinstance(value, str) else np.asarray(value)


if __name__ == "__main__":
    raise SystemExit(main())
