"""Files of checkpoints: written whole, and opened only after everything that is not a whole one of ours is refused."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from landscape.checkpoints.foreign_files import import_hint
from landscape.errors import CheckpointError
from landscape.files import Damaged, Group, NewGroup, Proof, Unusable, opened, reason, remove_leftovers, seal
from landscape.files.atomic import NotAFile
from landscape.files.format_one import converted
from landscape.files.seal import IN_MEMORY, InMemory

FORMAT = "landscape-checkpoint"
FORMAT_VERSION = 2
TEMPORARY = ".tmp"
_HDF5 = b"\x89HDF"


class DamagedCheckpoint(CheckpointError, Damaged):
    """A checkpoint that is not what was written."""


@dataclass(frozen=True)
class OpenFile:
    """A checkpoint that is open.

    Attributes
    ----------
    tree : Group
    holds : bool
        Whether it is what was written, by the hash over all of it.
    proof : Proof
        Which file it was, and that hash.
    version : int
    in_memory : bool
        Whether the tree can be read when the file is closed.
    """

    tree: Group
    holds: bool
    proof: Proof
    version: int
    in_memory: bool = False


def write_file(path: Path, fill: Callable[[NewGroup], None]) -> None:
    """Write a file that is there as a whole or not at all.

    Raises
    ------
    CheckpointError
        If the folder cannot be written, the disk is full, or a value has no place in the format. What was there before
        is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with seal.writing(path, temporary, f"{FORMAT} {FORMAT_VERSION}") as file:
            file.attrs["format"], file.attrs["format_version"] = FORMAT, FORMAT_VERSION
            fill(file)
    except OSError as error:
        raise CheckpointError(
            f"cannot write {path.name} into {path.parent}: {reason(error)}. Files already there are untouched"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be written: {error}") from error


@contextlib.contextmanager
def open_file(path: Path, *, insist: bool = True, known: Proof | None = None) -> Iterator[OpenFile]:
    """Open a checkpoint for reading; its hash is compared before anything in it is looked at.

    Parameters
    ----------
    insist : bool
        False opens a file whose hash does not hold, too, to look at what is left.
    known : Proof, optional
        Of an earlier opening: another file under the same name is refused.

    Raises
    ------
    CheckpointError
        In one line: missing, empty, truncated, not HDF5, foreign, newer than this version, or damaged.
    """
    with refusals(path), opened(path) as raw, _read(path, raw, insist=insist, known=known) as file:
        if known is not None and file.proof.digest != known.digest:
            raise CheckpointError(f"{path} was replaced by another checkpoint since it was opened; load it again")
        yield file


@contextlib.contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Whatever reading a checkpoint raises is a :class:`CheckpointError` of one line."""
    try:
        yield
    except CheckpointError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{path} does not exist") from None
    except NotAFile as error:
        raise CheckpointError(f"{path} {error}") from None
    except PermissionError:
        raise CheckpointError(f"{path} cannot be read: permission denied") from None
    except OSError as error:  # of the name, such as links in a circle, or of the disk
        raise CheckpointError(f"{path} cannot be read: {reason(error)}") from error
    except Unusable as error:
        raise _unusable(path, error) from error
    except Exception as error:
        # A file that is whole but says nonsense raises almost anything, and each means the same to its reader.
        text = " ".join(str(error).split()) or type(error).__name__
        raise DamagedCheckpoint(f"{path} is damaged and cannot be read ({text}). Restore or delete it") from error


@contextlib.contextmanager
def _read(path: Path, raw: IO[bytes], *, insist: bool, known: Proof | None) -> Iterator[OpenFile]:
    head = raw.read(len(FORMAT) + 1)
    if head.startswith(_HDF5):
        with converted(raw, FORMAT) as tree:
            holds, digest = tree.attrs["sha256_holds"] is True, str(tree.attrs.get("sha256"))
            if insist and not holds:
                raise DamagedCheckpoint(
                    f"{path} is damaged: its content does not match its sha256. Restore or delete it"
                )
            yield OpenFile(tree, holds, Proof((), digest), 1)
        return
    if head != f"{FORMAT} ".encode():
        what = "is empty" if not head else "is not an HDF5 file of landscape"
        hint = import_hint(path) if head else ""
        raise CheckpointError(f"{path} {what}{hint or '; a checkpoint is written by landscape.save_checkpoint'}")
    # A file that fits into memory is hashed each time, for that costs next to nothing.
    large = known is not None and known.identity[2] > IN_MEMORY
    found = seal.compared(raw, FORMAT, FORMAT_VERSION, known=known if large else None, insist=insist)
    tree = found.tree()
    yield OpenFile(tree, found.holds, found.proof, found.version, isinstance(found.content, InMemory))


def _unusable(path: Path, error: Unusable) -> CheckpointError:
    if error.kind == "newer":
        return CheckpointError(f"{path}: {error}. Upgrade landscape")
    if error.kind == "foreign":
        return CheckpointError(f"{path} is not a checkpoint of landscape ({error})")
    what = "is truncated" if error.kind == "truncated" else "is damaged"
    return DamagedCheckpoint(f"{path} {what} and cannot be read ({error}). Restore or delete it")


def remove_temporaries(folder: Path) -> None:
    """Delete what interrupted writers left in a folder. Only for the one writer of the folder."""
    remove_leftovers(folder, f".step_*.h5.*{TEMPORARY}")
