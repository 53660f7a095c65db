"""Files of results: their layout, reading one with suspicion, writing one atomically.

A file is never changed in place. It is written under a temporary name, synced, and renamed, so at any moment there is
a whole old file or a whole new one. That is also why HDF5's own file locks are switched off: they guard against
writing in place, and refuse to read from read-only and network folders.

HDF5 can loop for ever or crash on a file with a flipped bit, and knows nothing of one in the data. So each file begins
with a line (in the block that HDF5 leaves to its users) that holds size and SHA-256 of all that follows; that is
compared before HDF5 sees the file.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import h5py

from landscape.errors import ResultsError

FORMAT = "landscape-results"
FORMAT_VERSION = 1
FILE_NAME = "results.h5"
# What h5py, json and the record classes raise on a file that is whole but says something else than expected.
_DAMAGE = (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError, EOFError, MemoryError)
_EMPTY_NAME = "%"
_SEAL_SIZE = 512  # the smallest block that HDF5 leaves free at the beginning of a file


class DamagedResults(ResultsError):
    """A file of results that cannot be read as written."""


def is_results_file(path: str | Path) -> bool:
    """Whether this is a results file, or a folder that holds one; says nothing about its condition."""
    with contextlib.suppress(OSError), results_path(path).open("rb") as file:
        return file.read(len(FORMAT)) == FORMAT.encode()
    return False


def results_path(path: str | Path) -> Path:
    """``results.h5`` itself, from its own path or from that of the folder that holds it."""
    path = Path(path)
    return path / FILE_NAME if path.is_dir() else path


def journal_path(path: Path) -> Path:
    """The folder of records that were written since ``results.h5`` was."""
    return path.with_name(path.name + ".parts")


def journal_parts(path: Path) -> list[Path]:
    """The finished files of the journal of ``results.h5``, which need not exist."""
    try:
        return sorted(p for p in journal_path(path).iterdir() if p.suffix == ".h5")
    except (FileNotFoundError, NotADirectoryError):
        return []


def segment(name: str) -> str:
    """A name as one HDF5 link: ``/`` and lone dots mean something to HDF5, so they are percent-encoded."""
    quoted = quote(name, safe="", errors="surrogatepass")
    if not quoted.strip("."):
        quoted = quoted.replace(".", "%2E")
    return quoted or _EMPTY_NAME


def segment_name(link: str) -> str:
    """The inverse of :func:`segment`."""
    return "" if link == _EMPTY_NAME else unquote(link, errors="surrogatepass")


def run_entry(run: str) -> str:
    """Where the description of a run stands."""
    return f"runs/{segment(run)}/info"


def checkpoint_entry(run: str, step: int) -> str:
    """Where the metrics of a checkpoint stand."""
    return f"runs/{segment(run)}/steps/{step:08d}/info"


def record_entry(run: str, step: int, name: str) -> str:
    """Where a record of a checkpoint stands."""
    return f"runs/{segment(run)}/steps/{step:08d}/records/{segment(name)}"


def pair_entry(run_a: str, run_b: str) -> str:
    """Where the record of two runs stands."""
    return f"pairs/{segment(run_a)}/{segment(run_b)}"


def entries(file: h5py.File) -> Iterator[str]:
    """The addresses of all entries of a file, in the order of their names."""
    if "info" in file:
        yield "info"
    for run, group in file.get("runs", {}).items():
        if "info" in group:
            yield f"runs/{run}/info"
        for step, checkpoint in group.get("steps", {}).items():
            if "info" in checkpoint:
                yield f"runs/{run}/steps/{step}/info"
            for name in checkpoint.get("records", {}):
                yield f"runs/{run}/steps/{step}/records/{name}"
    for run_a, others in file.get("pairs", {}).items():
        for run_b in others:
            yield f"pairs/{run_a}/{run_b}"


@contextlib.contextmanager
def reading(path: Path, *, trusted: bool = False) -> Iterator[h5py.File]:
    """Open a file of results; its checksum is compared first, unless it is ``trusted`` because that was done before.

    Raises
    ------
    DamagedResults
        If it is cut short, foreign, or not what was written.
    ResultsError
        If a newer version wrote it, or it may not be read.
    FileNotFoundError
        If it is not there.
    """
    try:
        if not trusted:
            _check_seal(path)
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except (FileNotFoundError, ResultsError):
        raise
    except PermissionError as error:
        raise ResultsError(f"{path} may not be read ({_first_line(error)}); allow it, or copy it elsewhere") from error
    except _DAMAGE as error:
        raise _damaged(path, _first_line(error)) from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[h5py.File]:
    """A new file that takes the place of ``path`` when the block ends, and leaves no trace if the block fails.

    Raises
    ------
    ResultsError
        If the disk is full, the folder is read-only or gone.
    """
    temporary = temporary_path(path)
    try:
        with _PatientFile(temporary, "w+") as raw:
            try:
                with h5py.File(raw, "w", userblock_size=_SEAL_SIZE) as file:
                    file.attrs["format"] = FORMAT
                    file.attrs["format_version"] = FORMAT_VERSION
                    file.attrs["created"] = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
                    yield file
            finally:
                # Ahead of whatever HDF5 made of a file that did not take its bytes.
                raw.tell_error()
            seal = _seal(raw)
            raw.seek(0)
            raw.write(seal)
            raw.tell_error()
            os.fsync(raw.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


class _PatientFile(io.FileIO):
    """A file that keeps its first write error to itself until it is asked.

    HDF5 does not live through a failed write: closing the file then fails half-way and can take the process down with
    a segmentation fault. So it never hears of one.
    """

    error: OSError | None = None

    def tell_error(self) -> None:
        """Raise the error kept, if there is one."""
        if self.error is not None:
            raise self.error

    def write(self, data: Any, /) -> int:
        """Write all of the data, or keep the error."""
        view = memoryview(data).cast("B")
        size = len(view)
        try:
            while len(view) and self.error is None:
                view = view[super().write(view) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None, /) -> int:
        """Set the size, or keep the error."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


def temporary_path(path: Path) -> Path:
    """The name a file has while it is written. One writer at a time, so one name per file will do."""
    return path.with_name(path.name + ".tmp")


def _sync_folder(path: Path) -> None:
    """Have the operating system put the names in a folder on the disk, where it can."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def unwritable(path: Path, error: Exception) -> ResultsError:
    """The error of a file that cannot be written, with the way out."""
    return ResultsError(
        f"cannot write {path} ({_first_line(error)}); free some space or make the folder writable, "
        "then run the same command again: it goes on from what is already stored"
    )


def _check_seal(path: Path) -> None:
    """Compare the first block of a file with what follows it."""
    with open(path, "rb") as raw:
        block = raw.read(_SEAL_SIZE)
        if not block.startswith(f"{FORMAT} ".encode()):
            raise _damaged(path, "it does not begin as one")
        version = block.split()[1].decode("ascii", errors="replace")
        if not version.isdecimal() or block != _seal(raw, int(version)):
            raise _damaged(path, "size or checksum is not what it was when it was written")
        if int(version) > FORMAT_VERSION:
            raise ResultsError(
                f"{path} has format version {version}, and this landscape reads up to {FORMAT_VERSION}; "
                "upgrade landscape-curvature, or move the file away and run landscape analyze again"
            )


def _seal(raw: io.RawIOBase | io.BufferedIOBase, version: int = FORMAT_VERSION) -> bytes:
    """The first block of a file: format and version, and size and SHA-256 of these two words and all that follows."""
    title = f"{FORMAT} {version}".encode()
    digest, size = hashlib.sha256(title), 0
    raw.seek(_SEAL_SIZE)
    while piece := raw.read(1 << 20):
        digest.update(piece)
        size += len(piece)
    return title + f" {size} sha256:{digest.hexdigest()}\n".encode().ljust(_SEAL_SIZE - len(title), b"\0")


def _damaged(path: Path, detail: str) -> DamagedResults:
    return DamagedResults(
        f"{path} is damaged or not a file of landscape results ({detail}); move it away and run landscape analyze "
        "again: what it held is measured anew"
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
