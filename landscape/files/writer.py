"""Write a tree of groups and arrays as HDF5, with the few means that :mod:`landscape.files.reader` reads.

HDF5's own library is not used: it dies when a disk runs full under it. Values go to the disk as they come, so that a
large file needs no memory; the headers that name them follow, and the superblock at last.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np

from landscape.files import datatypes
from landscape.files.checksum import lookup3

#: Levels of groups, so that no reader needs a deep stack.
MAX_DEPTH = 64
UNDEFINED = (1 << 64) - 1
SIGNATURE = b"\x89HDF\r\n\x1a\n"
SUPERBLOCK_SIZE = 48
# Kinds of messages of an object's header.
DATASPACE, LINK_INFO, DATATYPE, FILL_VALUE, LINK, LAYOUT, GROUP_INFO, ATTRIBUTE = 1, 2, 3, 5, 6, 8, 10, 12
LINK_INFO_BODY = struct.pack("<BBQQ", 0, 0, UNDEFINED, UNDEFINED)  # links stand in the header itself
GROUP_INFO_BODY = b"\0\0"
FILL_VALUE_BODY = b"\x03\x0a"


class NewDataset:
    """Values that are on the disk already, and attributes that are still to come."""

    def __init__(self, messages: list[tuple[int, bytes]]) -> None:
        self.messages = messages
        self.attrs: dict[str, Any] = {}


class NewGroup:
    """A group of a file that is being written.

    Attributes
    ----------
    name : str
        Its path, empty for the root.
    attrs : dict
        Text, numbers and small arrays.
    """

    def __init__(self, sink: IO[bytes], base: int, depth: int = 0, name: str = "") -> None:
        if depth > MAX_DEPTH:
            raise ValueError(f"groups within groups go {MAX_DEPTH} levels deep and no deeper")
        self._sink, self._base, self._depth, self.name = sink, base, depth, name
        self.attrs: dict[str, Any] = {}
        self.children: dict[str, NewGroup | NewDataset] = {}

    def create_group(self, path: str) -> NewGroup:
        """A new group at this path, with those above it where they are missing."""
        above, name = self._above(path)
        above._add(name, made := NewGroup(self._sink, self._base, above._depth + 1, f"{above.name}/{name}"))
        return made

    def require_group(self, path: str) -> NewGroup:
        """The group at this path, made where it is missing."""
        here = self
        for name in path.strip("/").split("/") if path.strip("/") else ():
            found = here.children.get(name) or here.create_group(name)
            if not isinstance(found, NewGroup):
                raise ValueError(f"{name!r} is no group")
            here = found
        return here

    def create_dataset(self, path: str, *, data: Any) -> NewDataset:
        """Store text, a number or an array under this path."""
        above, name = self._above(path)
        raw, kind, shape = _encoded(data)
        messages = [(DATASPACE, _dataspace(shape)), (DATATYPE, kind), (FILL_VALUE, FILL_VALUE_BODY)]
        made = NewDataset([*messages, (LAYOUT, struct.pack("<BBQQ", 3, 1, self._append(raw), raw.nbytes))])
        above._add(name, made)
        return made

    def _add(self, name: str, child: NewGroup | NewDataset) -> None:
        if not name or name in self.children:
            raise ValueError(f"{name!r} is there already" if name else "a name must not be empty")
        self.children[name] = child

    def _above(self, path: str) -> tuple[NewGroup, str]:
        parent, _, name = path.strip("/").rpartition("/")
        return self.require_group(parent), name

    def _append(self, raw: memoryview) -> int:
        """Where the bytes stand, counted from the beginning of HDF5's part of the file."""
        if not raw.nbytes:
            return UNDEFINED
        at = _aligned(self._sink, self._base)
        self._sink.write(raw)
        return at

    def write_header(self) -> int:
        """Put the headers of all below and then this one on the disk; where this one stands."""
        messages = [(LINK_INFO, LINK_INFO_BODY), (GROUP_INFO, GROUP_INFO_BODY)]
        for name, child in sorted(self.children.items()):
            at = child.write_header() if isinstance(child, NewGroup) else self._write(child.messages, child.attrs)
            messages.append((LINK, _link(name, at)))
        return self._write(messages, self.attrs)

    def _write(self, messages: list[tuple[int, bytes]], attrs: Mapping[str, Any]) -> int:
        at = _aligned(self._sink, self._base)
        self._sink.write(_header([*messages, *((ATTRIBUTE, _attribute(k, v)) for k, v in sorted(attrs.items()))]))
        return at


def begin(sink: IO[bytes], base: int) -> NewGroup:
    """The root of a new file, whose HDF5 part begins ``base`` bytes into ``sink``."""
    sink.seek(base)
    sink.write(bytes(SUPERBLOCK_SIZE))
    return NewGroup(sink, base)


def finish(root: NewGroup, sink: IO[bytes], base: int) -> None:
    """Write what names the values, when all of them are there."""
    at = root.write_header()
    end = sink.tell()
    block = SIGNATURE + struct.pack("<BBBBQQQQ", 2, 8, 8, 0, base, UNDEFINED, end, at)
    sink.seek(base)
    sink.write(block + struct.pack("<I", lookup3(block)))


def _aligned(sink: IO[bytes], base: int) -> int:
    at = sink.tell() - base
    sink.write(bytes(-at % 8))
    return at + -at % 8


def _encoded(data: Any) -> tuple[memoryview, bytes, tuple[int, ...]]:
    """Raw bytes, message of the type, and shape."""
    if isinstance(data, (str, bytes)):
        raw = (data.encode() if isinstance(data, str) else bytes(data)) or b"\0"
        return memoryview(raw), datatypes.encode_text(len(raw)), ()
    array = np.asarray(data)
    try:
        kind = datatypes.encode(array.dtype)
    except KeyError:
        raise ValueError(f"there is no place for values of type {array.dtype}") from None
    flat: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return memoryview(flat), kind, array.shape


def _dataspace(shape: tuple[int, ...]) -> bytes:
    return struct.pack(f"<BBBB{len(shape)}Q", 2, len(shape), 0, 1 if shape else 0, *shape)


def _link(name: str, at: int) -> bytes:
    raw = name.encode()
    width = 0 if len(raw) < 1 << 8 else 1
    return struct.pack("<BBB" + "BH"[width], 1, 0x10 | width, 1, len(raw)) + raw + struct.pack("<Q", at)


def _attribute(name: str, value: Any) -> bytes:
    raw, kind, shape = _encoded(value)
    title, space = name.encode() + b"\0", _dataspace(shape)
    sizes = struct.pack("<BBHHHB", 3, 0, len(title), len(kind), len(space), 1)
    return sizes + title + kind + space + raw.tobytes()


def _header(messages: list[tuple[int, bytes]]) -> bytes:
    body = b"".join(_messages(messages))
    head = b"OHDR" + struct.pack("<BBI", 2, 2, len(body)) + body
    return head + struct.pack("<I", lookup3(head))


def _messages(messages: list[tuple[int, bytes]]) -> Iterator[bytes]:
    for kind, body in messages:
        if len(body) >= 1 << 16:
            raise ValueError("a name or attribute of 64 KiB or more; long text belongs into a dataset")
        yield struct.pack("<BHB", kind, len(body), 0)
        yield body
