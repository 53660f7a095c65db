"""Files that are there as a whole or not at all, and the refusal of what is not a file."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)


class NotAFile(OSError):
    """A folder, FIFO, socket or device where a file should be."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A file for reading. Opening a FIFO or a device may block for ever or do something, so they never are.

    Raises
    ------
    NotAFile
    OSError
        If it is not there or may not be read.
    """
    _check_kind(os.stat(path).st_mode)
    # Not blocking, for the case that another kind of thing takes its place just now.
    with open(os.open(path, os.O_RDONLY | _AT_ONCE | _BINARY), "rb", buffering=0) as raw:
        _check_kind(os.fstat(raw.fileno()).st_mode)
        yield raw


def _check_kind(mode: int) -> None:
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a FIFO", stat.S_ISSOCK: "a socket"}
    if not stat.S_ISREG(mode):
        what = next((name for is_one, name in kinds.items() if is_one(mode)), "a device")
        raise NotAFile(f"is {what}, not a file")


@contextlib.contextmanager
def replacing(path: Path, temporary: Path) -> Iterator[IO[bytes]]:
    """A new file, to be filled and read, that takes the place of ``path`` when the block ends; else nothing is left.

    It is written under the temporary name, which is never followed where it is a link, synced, and renamed, so at any
    moment there is a whole old file or a whole new one.

    Raises
    ------
    OSError
        If the disk is full, or the folder is read-only or gone.
    """
    try:
        temporary.unlink(missing_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _BINARY
        with open(os.open(temporary, flags, 0o666), "w+b") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def placing(source: Path, target: Path, temporary: Path) -> None:
    """The same file under another name, as a link where the disk allows, and whole or not at all.

    Raises
    ------
    OSError
        If it cannot be read, or the folder cannot be written.
    """
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
        os.replace(temporary, target)
    except OSError:
        with opened(source) as raw, replacing(target, temporary) as stream:
            shutil.copyfileobj(raw, stream)


def _sync_folder(folder: Path) -> None:
    """A renamed file survives a power cut only once its folder is on the disk too, where the system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def reason(error: OSError) -> str:
    """Why a file could not be written, in a few words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space left on the disk"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "the folder is read-only"
    return error.strerror or str(error)


def remove_leftovers(folder: Path, pattern: str) -> None:
    """Delete what interrupted writers left under temporary names. Only for the one writer of the folder."""
    with contextlib.suppress(OSError):
        for leftover in folder.glob(pattern):
            leftover.unlink(missing_ok=True)
