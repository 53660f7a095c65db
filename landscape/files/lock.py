"""One writer at a time: a lock that the operating system frees when its holder dies."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing to lock with, so two writers there are the user's to avoid
    fcntl = None  # type: ignore[assignment]

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class Held(Exception):
    """Another process has the lock; ``holder`` is its number, as far as it is known."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"process {holder} holds it")
        self.holder = holder


class WriterLock:
    """An advisory lock on a file that names the process that holds it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._handle is not None

    def acquire(self) -> None:
        """Take the lock, or say who has it. A link in its place is not followed.

        Raises
        ------
        Held
            If another process holds it.
        OSError
            If the folder cannot be written.
        """
        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | _NO_FOLLOW, 0o644)
            try:
                self._flock(handle)
                if self._is_current(handle):
                    os.ftruncate(handle, 0)
                    os.write(handle, f"{os.getpid()}\n".encode())
                    self._handle = handle
                    return
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)

    def release(self) -> None:
        """Give the lock back and remove its file; harmless when it is not held."""
        if self._handle is None:
            return
        # Removed while still locked: whoever waits on this file sees that it is gone and makes a new one.
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = None

    def _flock(self, handle: int) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = os.read(handle, 64).decode("ascii", errors="replace").strip()
            raise Held(said if said.isdecimal() else "unknown") from None
        except OSError:
            # Some network file systems have no locks. Refusing to work there would be worse than not guarding.
            pass

    def _is_current(self, handle: int) -> bool:
        """Whether the file locked is still the one at the path: its last holder may have removed it meanwhile."""
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        mine = os.fstat(handle)
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)
