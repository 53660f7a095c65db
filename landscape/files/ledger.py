"""A file that only grows: named entries, each with a seal, so that what a killed writer left half-done is dropped."""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from landscape.files.atomic import opened, reason
from landscape.files.lock import WriterLock

#: Seconds that entries wait for others with which they are written.
EVERY = 1.0
_TITLE = b"landscape-ledger 1 "
_LENGTHS = struct.Struct("<IQ")  # of name and content, in front of both
_SEAL = 16
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Ledger:
    """Entries by name, for one writer at a time; a context manager.

    An entry is on disk a second after it was put, with those that came meanwhile, or when the ledger is closed. A seal
    goes over the entry and the seal before it, so a file is read up to the first entry that is not as it was written,
    and what is behind is dropped. A killed process loses a second; a power cut, what the system had not written yet.

    Parameters
    ----------
    path : Path
        Need not exist; its folder is made.
    question : str
        What the entries are answers to. A file of another question is not looked into, and is replaced.
    most : int
        Bytes of all entries; what would not fit is not kept.

    Attributes
    ----------
    fault : str
        Why nothing more is kept; empty as long as it is. What was kept stays readable.

    Raises
    ------
    Held
        If another process writes there.
    OSError
        If the folder cannot be written, or something else stands there.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "points"
    >>> with Ledger(path, "a plane", most=2**20) as ledger:
    ...     ledger.put("(0, 0)", b"1.5")
    >>> with Ledger(path, "a plane", most=2**20) as again:
    ...     print(again.get("(0, 0)"), again.get("(0, 1)"))
    b'1.5' None
    >>> folder.cleanup()
    """

    def __init__(self, path: Path, question: str, *, most: int) -> None:
        self.path, self.fault, self._most = path, "", most
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = WriterLock(path.with_name(f"{path.name}.lock"))
        self._lock.acquire()
        self._header = _TITLE + hashlib.sha256(question.encode()).hexdigest().encode() + b"\n"
        self._places: dict[str, tuple[int, int]] = {}
        self._waiting: dict[str, bytes] = {}
        self._handle: int | None = None
        self._size = self._kept = 0
        self._seal, self._written_at = _sealed(b"", self._header), time.monotonic()
        try:
            with contextlib.suppress(FileNotFoundError), opened(path) as stream:
                self._read(stream)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __contains__(self, name: str) -> bool:
        return name in self._waiting or name in self._places

    def get(self, name: str) -> bytes | None:
        """The entry of that name."""
        if name in self._waiting:
            return self._waiting[name]
        if name not in self._places:
            return None
        begin, size = self._places[name]
        handle = self._opened()
        os.lseek(handle, begin, os.SEEK_SET)
        found = os.read(handle, size)
        while len(found) < size and (more := os.read(handle, size - len(found))):
            found += more
        return found if len(found) == size else None

    def entries(self) -> dict[str, bytes]:
        """All that is there, by name."""
        found = {name: self.get(name) for name in (*self._places, *self._waiting)}
        return {name: content for name, content in found.items() if content is not None}

    def put(self, name: str, content: bytes) -> None:
        """Keep an entry, where there is room; one of the same name stays as it is."""
        if self.fault or name in self:
            return
        if self._kept + len(content) > self._most:
            self.fault = f"they take more than {self._most / 2**20:,.0f} MB"
            return
        self._kept += len(content)
        self._waiting[name] = content
        if time.monotonic() - self._written_at >= EVERY:
            self.flush()

    def flush(self) -> None:
        """Write what waits. Where that cannot be written, what it is for goes on without."""
        self._written_at = time.monotonic()
        pieces, places, seal, end = list[bytes](), dict[str, tuple[int, int]](), self._seal, self._size
        if self._waiting and not self._size:
            pieces.append(self._header)
            end = len(self._header)
        for name, content in self._waiting.items():
            head = name.encode()
            front = _LENGTHS.pack(len(head), len(content)) + head
            seal = _sealed(seal, front, content)
            pieces += [front, content, seal]
            places[name] = end + len(front), len(content)
            end += len(front) + len(content) + _SEAL
        if not pieces:
            return
        try:
            _write(self._opened(), self._size, b"".join(pieces))
        except OSError as error:
            self.fault = reason(error)
            return
        self._places |= places
        self._waiting.clear()
        self._seal, self._size = seal, end

    def close(self) -> None:
        """Write what waits, and let another process write."""
        if self._lock.held:
            self.flush()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        self._lock.release()

    def _opened(self) -> int:
        """The file, without what is behind the last entry that holds."""
        if self._handle is None:
            self._handle = os.open(self.path, _FLAGS, 0o666)
            os.ftruncate(self._handle, self._size)
        return self._handle

    def _read(self, stream: IO[bytes]) -> None:
        """Take in the entries that hold."""
        if stream.read(len(self._header)) != self._header:
            return
        self._size = len(self._header)
        for name, size, seal, end in _entries(stream, self._seal, self._size):
            self._places[name] = end - _SEAL - size, size
            self._kept += size
            self._seal, self._size = seal, end


def _entries(stream: IO[bytes], seal: bytes, begin: int) -> Iterator[tuple[str, int, bytes, int]]:
    """Name, size of the content, seal, and where it ends, of each entry up to the first that does not hold."""
    whole = os.fstat(stream.fileno()).st_size
    while len(front := stream.read(_LENGTHS.size)) == _LENGTHS.size:
        of_name, of_content = _LENGTHS.unpack(front)
        end = begin + _LENGTHS.size + of_name + of_content + _SEAL
        if end > whole:
            return
        head, content, found = _exactly(stream, of_name), _exactly(stream, of_content), _exactly(stream, _SEAL)
        seal = _sealed(seal, front + head, content)
        if found != seal:
            return
        yield head.decode(), of_content, seal, end
        begin = end


def _exactly(stream: IO[bytes], size: int) -> bytes:
    """So many bytes, of a stream without a buffer; fewer where it ends."""
    pieces = list[bytes]()
    while size and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _sealed(before: bytes, *pieces: bytes) -> bytes:
    seal = hashlib.blake2b(before, digest_size=_SEAL)
    for piece in pieces:
        seal.update(piece)
    return seal.digest()


def _write(handle: int, begin: int, content: bytes) -> None:
    """All of it, from there on."""
    os.lseek(handle, begin, os.SEEK_SET)
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]
