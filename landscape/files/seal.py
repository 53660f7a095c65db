"""The first 512 bytes of a file: what it is, and the size and SHA-256 of all that follows.

Nothing behind the seal is looked at before it was compared. What is read then comes from the bytes that were hashed: a
file of up to ``IN_MEMORY`` bytes is held in memory meanwhile; a larger one stays on the disk, and must not change, by
the account of its file system, until it was read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from landscape.errors import LandscapeError
from landscape.files import reader, writer
from landscape.files.atomic import opened, replacing
from landscape.files.reader import Group, Malformed, Source
from landscape.files.writer import NewGroup

SEAL_SIZE = 512  # the smallest block that HDF5 leaves free at the beginning of a file
IN_MEMORY = 64 << 20
_PIECE = 1 << 20


class Damaged(LandscapeError):
    """A file of ours that is not what was written, or says nonsense."""


class Unusable(LandscapeError):
    """A file that cannot be read. ``kind`` is ``"foreign"``, ``"damaged"``, ``"truncated"`` or ``"newer"``."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Proof(NamedTuple):
    """Of a file whose seal held: which file it was, when it was last changed, and its hash."""

    identity: tuple[int, ...]
    digest: str


@dataclass(frozen=True)
class Sealed:
    """A file whose seal was compared.

    Attributes
    ----------
    version : int
        Of its format.
    holds : bool
        Whether it is what was written.
    proof : Proof
    content : Source
        What is behind the seal.
    """

    version: int
    holds: bool
    proof: Proof
    content: Source

    def tree(self) -> Group:
        """The root of its groups."""
        return reader.read_tree_of(self.content, SEAL_SIZE)


@contextlib.contextmanager
def writing(path: Path, temporary: Path, title: str) -> Iterator[NewGroup]:
    """A new sealed file, in the place of ``path`` when the block ends; ``title`` is its format and version.

    Raises
    ------
    OSError
        If the disk is full, the folder is read-only or gone.
    """
    with replacing(path, temporary) as stream:
        root = writer.begin(stream, SEAL_SIZE)
        yield root
        writer.finish(root, stream, SEAL_SIZE)
        stream.flush()
        stream.seek(SEAL_SIZE)
        digest, size = hashlib.sha256(title.encode()), 0
        while piece := stream.read(_PIECE):
            digest.update(piece)
            size += len(piece)
        stream.seek(0)
        stream.write(_block(title, size, digest.hexdigest()))


@contextlib.contextmanager
def reading(path: Path, name: str, newest: int, *, known: Proof | None = None, insist: bool = True) -> Iterator[Sealed]:
    """Open a sealed file of the format ``name`` and compare its seal.

    Parameters
    ----------
    known : Proof, optional
        Of an earlier opening. The file is not hashed again where its file system says that it is the same, unchanged.
    insist : bool
        False opens a file whose seal does not hold, too, to look at what is left.

    Raises
    ------
    Unusable
        If it is another file, damaged, or of a newer version.
    OSError
        If it is not there, no file, or may not be read.
    """
    with opened(path) as raw:
        yield compared(raw, name, newest, known=known, insist=insist)


def compared(raw: IO[bytes], name: str, newest: int, *, known: Proof | None = None, insist: bool = True) -> Sealed:
    """As :func:`reading`, of a file that is open."""
    os.lseek(raw.fileno(), 0, os.SEEK_SET)
    block = raw.read(SEAL_SIZE)
    words = block.partition(b"\n")[0].decode("ascii", errors="replace").split(" ")
    if len(words) != 4 or words[0] != name or not (words[1].isdecimal() and len(words[1]) < 9):
        raise Unusable("foreign", f"it does not begin as a file of the format {name}")
    title, version, identity = f"{name} {words[1]}", int(words[1]), _identity(raw)
    if known is not None and known.identity == identity:
        return Sealed(version, True, known, OnDisk(raw))
    content, digest = _hashed(raw, title)
    holds = block == _block(title, content.size, digest)
    if insist and not holds:
        if words[2].isdecimal() and len(words[2]) < 20 and content.size < int(words[2]):
            raise Unusable("truncated", f"{SEAL_SIZE + content.size} of {SEAL_SIZE + int(words[2])} bytes are there")
        raise Unusable("damaged", "its size or checksum is not what it was when it was written")
    if version > newest:
        raise Unusable("newer", f"it has format version {version}, and this landscape reads up to {newest}")
    return Sealed(version, holds, Proof(identity, digest), content)


def is_sealed(path: Path, name: str) -> bool:
    """Whether a file begins as one of this format; says nothing about its condition."""
    with contextlib.suppress(OSError), opened(path) as raw:
        return raw.read(len(name) + 1) == f"{name} ".encode()
    return False


def _block(title: str, size: int, digest: str) -> bytes:
    return f"{title} {size} sha256:{digest}\n".encode().ljust(SEAL_SIZE, b"\0")


def _identity(raw: IO[bytes]) -> tuple[int, ...]:
    said = os.fstat(raw.fileno())
    return said.st_dev, said.st_ino, said.st_size, said.st_mtime_ns, said.st_ctime_ns


def _hashed(raw: IO[bytes], title: str) -> tuple[Source, str]:
    """What follows the seal, and its hash."""
    digest = hashlib.sha256(title.encode())
    if os.fstat(raw.fileno()).st_size <= IN_MEMORY:
        # A file that grows meanwhile is not read beyond what it was allowed to be.
        content = _read_exactly(raw, SEAL_SIZE, IN_MEMORY)
        digest.update(content)
        return InMemory(content), digest.hexdigest()
    on_disk = OnDisk(raw)
    os.lseek(raw.fileno(), SEAL_SIZE, os.SEEK_SET)
    while piece := raw.read(_PIECE):
        digest.update(piece)
    return on_disk, digest.hexdigest()


def _read_exactly(raw: IO[bytes], at: int, most: int) -> bytes:
    pieces, left = [], most
    os.lseek(raw.fileno(), at, os.SEEK_SET)
    while left and (piece := raw.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _bytes_of(array: np.ndarray) -> memoryview:
    flat: Any = array.reshape(-1).view(np.uint8)
    return memoryview(flat)


class InMemory:
    """Bytes that are held."""

    def __init__(self, data: bytes) -> None:
        self._data, self.size = data, len(data)

    def read(self, at: int, size: int) -> bytes:
        """Exactly these bytes."""
        found = self._data[at : at + size]
        if len(found) != size:
            raise Malformed("something lies outside the file")
        return found

    def array(self, at: int, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        """A writable array of its own."""
        count = int(np.prod(shape, dtype=object))
        return np.frombuffer(self._data, dtype, count, at).reshape(shape).copy()


class OnDisk:
    """Bytes that are read when they are needed."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self._identity = raw, _identity(raw)
        self.size = os.fstat(raw.fileno()).st_size - SEAL_SIZE

    def read(self, at: int, size: int) -> bytes:
        """Exactly these bytes."""
        return bytes(self.array(at, np.dtype(np.uint8), (size,)))

    def array(self, at: int, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        """A writable array of its own."""
        made = np.empty(shape, dtype)
        view, done = _bytes_of(made), 0
        while done < made.nbytes:
            count = os.preadv(self._raw.fileno(), [view[done : done + (1 << 30)]], SEAL_SIZE + at + done)
            if count == 0:
                raise Malformed("something lies outside the file")
            done += count
        if _identity(self._raw) != self._identity:
            raise Malformed("it was changed while it was read")
        return made
