"""Read the tree of groups and arrays that :mod:`landscape.files.writer` writes, and nothing else.

HDF5 can do far more: links to other files, datasets that are views of others, values outside the file, links in
circles, filters that make gigabytes of a few bytes; and its library can loop for ever or crash on bytes made for that.
None of it is known here, so none of it can be followed: what is not one of the few structures below is refused. No byte
belongs to two things, so all that is read together is no larger than the file.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, Protocol

import numpy as np

from landscape.files import datatypes
from landscape.files.writer import (
    ATTRIBUTE,
    DATASPACE,
    DATATYPE,
    FILL_VALUE,
    FILL_VALUE_BODY,
    GROUP_INFO,
    GROUP_INFO_BODY,
    LAYOUT,
    LINK,
    LINK_INFO,
    LINK_INFO_BODY,
    MAX_DEPTH,
    SIGNATURE,
    SUPERBLOCK_SIZE,
    UNDEFINED,
)


class Source(Protocol):
    """The bytes of a file behind its seal."""

    size: int

    def read(self, at: int, size: int) -> bytes:
        """Exactly these bytes."""

    def array(self, at: int, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        """A writable array of its own of the bytes from there on."""


class Malformed(ValueError):
    """A file that is not laid out as ours are."""


class Dataset:
    """An array, or a text, of a file.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    is_text : bool
    attrs : dict
    """

    def __init__(self, tree: _Tree, messages: list[tuple[int, bytes]]) -> None:
        parts = _distinct(messages, {DATASPACE, DATATYPE, FILL_VALUE, LAYOUT})
        self._tree, self.attrs = tree, _attributes(messages)
        self.shape = _shape(parts[DATASPACE])
        self.dtype, self.is_text = datatypes.decode(parts[DATATYPE])
        version, layout, self._at, size = _unpacked("<BBQQ", parts[LAYOUT])
        if parts[FILL_VALUE] != FILL_VALUE_BODY or (version, layout) != (3, 1):
            _refuse("its values do not stand in the file in one piece")
        if size != _nbytes(self.dtype, self.shape):
            _refuse("a dataset is larger, or smaller, than the bytes that it has")
        if size:
            tree.claim(self._at, size)
        elif self._at != UNDEFINED:
            _refuse("an empty dataset has an address")

    def __getitem__(self, key: tuple[()]) -> np.ndarray:
        """``dataset[()]``: all values."""
        if self._at == UNDEFINED:
            return np.empty(self.shape, self.dtype)
        return self._tree.source.array(self._at, self.dtype, self.shape)

    def text(self) -> str:
        """The text of a dataset that is one."""
        if not self.is_text or self.shape:
            _refuse("there are numbers where a text belongs")
        return self._tree.source.read(self._at, self.dtype.itemsize).rstrip(b"\0").decode()


class Group(Mapping[str, "Group | Dataset"]):
    """A group of a file: names → groups and datasets, each read when it is asked for."""

    def __init__(self, tree: _Tree, messages: list[tuple[int, bytes]], depth: int) -> None:
        if depth > MAX_DEPTH:
            _refuse("its groups are nested too deep")
        _distinct([m for m in messages if m[0] != LINK], {LINK_INFO: LINK_INFO_BODY, GROUP_INFO: GROUP_INFO_BODY})
        self._tree, self._depth, self.attrs = tree, depth, _attributes(messages)
        self._found: dict[str, Group | Dataset] = {}
        self._links: dict[str, int] = {}
        for name, at in (_link(body) for kind, body in messages if kind == LINK):
            if name in self._links or not name or "/" in name:
                _refuse("a name is empty, or has a slash, or belongs to two things")
            self._links[name] = at

    def __getitem__(self, path: str) -> Group | Dataset:
        name, _, rest = path.partition("/")
        if name not in self._found:
            self._found[name] = self._tree.node(self._links[name], self._depth + 1)
        found = self._found[name]
        if not rest:
            return found
        if isinstance(found, Dataset):
            raise KeyError(path)
        return found[rest]

    def __contains__(self, path: object) -> bool:
        name, _, rest = str(path).partition("/")
        return name in self._links and (not rest or (isinstance(found := self[name], Group) and rest in found))

    def __iter__(self) -> Iterator[str]:
        return iter(self._links)

    def __len__(self) -> int:
        return len(self._links)

    def group(self, path: str) -> Group:
        """The group of this name."""
        found = self[path]
        if not isinstance(found, Group):
            _refuse(f"{path!r} is no group")
        return found

    def dataset(self, path: str) -> Dataset:
        """The dataset of this name."""
        found = self[path]
        if not isinstance(found, Dataset):
            _refuse(f"{path!r} is a group")
        return found

    def datasets(self) -> dict[str, Dataset]:
        """All that is in the group, which must have nothing but datasets."""
        return {name: self.dataset(name) for name in self}


class _Tree:
    """Where the bytes are, and which of them belong to something already."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._starts: list[int] = []
        self._ends: list[int] = []

    def claim(self, at: int, size: int) -> None:
        if at < SUPERBLOCK_SIZE or at + size > self.source.size:
            _refuse("something lies outside the file")
        place = bisect.bisect_right(self._starts, at)
        overlaps_next = place < len(self._starts) and self._starts[place] < at + size
        if overlaps_next or (place and self._ends[place - 1] > at):
            _refuse("two of its parts share bytes")
        self._starts.insert(place, at)
        self._ends.insert(place, at + size)

    def node(self, at: int, depth: int) -> Group | Dataset:
        if at + 10 > self.source.size:
            _refuse("something lies outside the file")
        head = self.source.read(at, 10)
        if head[:6] != b"OHDR\2\2":
            _refuse("a name leads to no object of ours")
        (size,) = struct.unpack("<I", head[6:])
        self.claim(at, size + 14)
        messages = _messages(self.source.read(at + 10, size))
        if any(kind == LINK_INFO for kind, _ in messages):
            return Group(self, messages, depth)
        return Dataset(self, messages)


def read_tree_of(source: Source, base: int) -> Group:
    """The root of a file.

    Raises
    ------
    Malformed
        If it is not laid out as ours are; also later, when what is not is asked for.
    """
    block = source.read(0, SUPERBLOCK_SIZE) if source.size >= SUPERBLOCK_SIZE else b""
    if block[:12] != SIGNATURE + b"\2\x08\x08\0":
        _refuse("it is not HDF5 as landscape writes it")
    said_base, extension, end, at = struct.unpack("<QQQQ", block[12:44])
    if (said_base, extension, end) != (base, UNDEFINED, base + source.size):
        _refuse("it is not HDF5 as landscape writes it")
    root = _Tree(source).node(at, 0)
    if not isinstance(root, Group):
        _refuse("its root is no group")
    return root


def _refuse(why: str) -> NoReturn:
    raise Malformed(why)


def _messages(body: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(body):
        kind, size, flags = _unpacked("<BHB", body[at : at + 4])
        at += 4 + size
        if flags or at > len(body):
            _refuse("a header is not as landscape writes it")
        found.append((kind, body[at - size : at]))
    return found


def _distinct(messages: list[tuple[int, bytes]], wanted: set[int] | dict[int, bytes]) -> dict[int, bytes]:
    """The messages that an object has once each, which must be the wanted ones."""
    parts = [(kind, body) for kind, body in messages if kind != ATTRIBUTE]
    found = dict(parts)
    if len(parts) != len(found) or found.keys() != set(wanted) or (isinstance(wanted, dict) and found != wanted):
        _refuse("it has links, layouts, filters or types that no file of landscape has")
    return found


def _attributes(messages: list[tuple[int, bytes]]) -> dict[str, Any]:
    return dict(_attribute(body) for kind, body in messages if kind == ATTRIBUTE)


def _attribute(body: bytes) -> tuple[str, Any]:
    version, flags, title, kind, space, charset = _unpacked("<BBHHHB", body[:9])
    ends = [9 + title, 9 + title + kind, 9 + title + kind + space]
    if (version, flags, charset) != (3, 0, 1) or ends[-1] > len(body):
        _refuse("an attribute is not as landscape writes it")
    dtype, is_text = datatypes.decode(body[ends[0] : ends[1]])
    shape, raw = _shape(body[ends[1] : ends[2]]), body[ends[2] :]
    if len(raw) != _nbytes(dtype, shape):
        _refuse("an attribute is larger, or smaller, than the bytes that it has")
    name = body[9 : ends[0]].rstrip(b"\0").decode()
    if is_text:
        return name, raw.rstrip(b"\0").decode()
    values = np.frombuffer(raw, dtype).reshape(shape)
    return name, values if shape else values.item()


def _shape(space: bytes) -> tuple[int, ...]:
    version, rank, flags, kind = _unpacked("<BBBB", space[:4])
    if (version, flags, kind) != (2, 0, 1 if rank else 0) or rank > 32 or len(space) != 4 + 8 * rank:
        _refuse("a shape is not as landscape writes it")
    return struct.unpack(f"<{rank}Q", space[4:])


def _link(body: bytes) -> tuple[str, int]:
    wide = len(body) > 1 and body[1] == 0x11
    start = 5 if wide else 4
    version, flags, charset, size = _unpacked("<BBBH" if wide else "<BBBB", body[:start])
    if (version, flags, charset) != (1, 0x11 if wide else 0x10, 1) or len(body) != start + size + 8:
        _refuse("it has a link of a kind that no file of landscape has")
    (at,) = struct.unpack("<Q", body[-8:])
    return body[start:-8].decode(), at


def _unpacked(layout: str, raw: bytes) -> tuple[int, ...]:
    if len(raw) != struct.calcsize(layout):
        _refuse("a header is not as landscape writes it")
    return struct.unpack(layout, raw)


def _nbytes(dtype: np.dtype, shape: tuple[int, ...]) -> int:
    count = dtype.itemsize
    for length in shape:
        count *= length
    return count
