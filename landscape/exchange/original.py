"""Files of the code beside Li, Xu, Taylor, Studer & Goldstein (2018), opened with suspicion and written whole."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from landscape.errors import LandscapeError, ResultsError
from landscape.files import Dataset, Group, NewGroup, Unusable, opened, reason, replacing
from landscape.files.atomic import NotAFile
from landscape.files.other_hdf5 import is_hdf5, other_hdf5
from landscape.files.writer import begin, finish
from landscape.results.base import Array

X, Y = "xcoordinates", "ycoordinates"
DIRECTIONS = ("xdirection", "ydirection")
PROJECTIONS = ("proj_xcoord", "proj_ycoord")
#: What a dataset must be called for the file to be one of these.
KINDS = {X: "surface", DIRECTIONS[0]: "direction", PROJECTIONS[0]: "projection"}
_HELP = {
    "surface": "ls.read_surface(path)",
    "direction": "ls.read_direction(path, model)",
    "projection": "ls.read_projection(path)",
}


def kind_of(file: Group) -> str | None:
    """``"surface"``, ``"direction"``, ``"projection"``, or None."""
    return next((kind for name, kind in KINDS.items() if name in file), None)


@contextlib.contextmanager
def reading(path: str | Path, kind: str) -> Iterator[Group]:
    """Open a file of this kind.

    Raises
    ------
    ResultsError
        If it is missing, no HDF5, damaged, or another kind of file.
    """
    with opening(path) as file:
        found = kind_of(file)
        if found != kind:
            wanted = next(name for name, of in KINDS.items() if of == kind)
            what = f"it is a {found} file: {_HELP[found]}" if found else _seen_in(file)
            raise ResultsError(f"{path} is no {kind} file of the loss-landscape code: it has no {wanted!r}; {what}")
        yield file


@contextlib.contextmanager
def opening(path: str | Path) -> Iterator[Group]:
    """Open any HDF5 file; whatever reading it raises is a :class:`ResultsError` of one line."""
    try:
        with opened(Path(path)) as raw:
            if not is_hdf5(raw):
                raise ResultsError(f"{path} is no HDF5 file, or one that was cut off at its beginning")
            with other_hdf5(raw) as file:
                yield file
    except LandscapeError as error:
        if not isinstance(error, Unusable):
            raise
        raise ResultsError(f"{path} is damaged and cannot be read ({error}); fetch or compute it again") from error
    except (FileNotFoundError, NotADirectoryError):
        raise ResultsError(f"{path} does not exist") from None
    except NotAFile as error:
        raise ResultsError(f"{path} {error}") from None
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {reason(error)}") from error
    except (LookupError, ArithmeticError, ValueError, TypeError, RuntimeError, EOFError, MemoryError) as error:
        # A file that is whole but says nonsense raises almost anything, and each means the same to its reader.
        text = " ".join(str(error).split()) or type(error).__name__
        raise ResultsError(f"{path} says something that no file of its kind does ({text})") from error


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[NewGroup]:
    """A new file that takes the place of ``path`` when the block ends, and leaves no trace if the block fails.

    Raises
    ------
    ResultsError
        If the disk is full, the folder is read-only or gone.
    """
    path = Path(path)
    with placed(path) as temporary, replacing(path, temporary) as stream:
        root = begin(stream, 0)
        yield root
        finish(root, stream, 0)


@contextlib.contextmanager
def placed(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``; what goes wrong with the disk is one error of ours."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    except OSError as error:
        raise ResultsError(
            f"cannot write {path.name} into {path.parent}: {reason(error)}. Files already there are untouched"
        ) from error


def numbers(file: Group, name: str, *, path: str | Path, length: int | None = None) -> Array:
    """A row of finite numbers.

    Raises
    ------
    ResultsError
        If there is something else under this name, or of another length.
    """
    if name not in file:
        raise ResultsError(f"{path} has no {name!r}; {_seen_in(file)}")
    node = file[name]
    if not isinstance(node, Dataset) or node.is_text or len(node.shape) != 1 or 0 in node.shape:
        raise ResultsError(f"{path}: {name!r} is no row of numbers")
    row = node[()].astype(float)
    if not np.isfinite(row).all():
        raise ResultsError(f"{path}: {name!r} has values that are not finite")
    if length is not None and len(row) != length:
        raise ResultsError(f"{path}: {name!r} has {len(row)} values where {length} belong")
    return row


def _seen_in(file: Group) -> str:
    names = sorted(file)
    shown = ", ".join(map(repr, names[:8])) + (" …" if len(names) > 8 else "")
    return f"it has {shown}" if names else "it is empty"
