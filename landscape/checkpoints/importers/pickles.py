"""Files of ``torch.save``, read by ``torch.load(weights_only=True)`` and in no other way.

A pickle is a program. What torch refuses to run is named, never run; a person may allow classes that they know.
"""

from __future__ import annotations

import _compat_pickle
import contextlib
import importlib
import pickle
import pickletools
import sys
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from landscape.errors import CheckpointError, UsageError, in_one_line
from landscape.files import opened, reason
from landscape.files.atomic import NotAFile
from landscape.problems.importing import importable

_LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch's magic number as a pickle, after its protocol
#: Pickles in a file of torch before 1.6: magic number, version, sizes of types, the object, its storages.
_LEGACY_PICKLES = 5
#: Of Python's own classes those that only hold values; others may do something when they are made.
_HOLDERS = {
    "argparse.Namespace", "collections.Counter", "collections.OrderedDict", "collections.defaultdict",
    "collections.deque", "datetime.date", "datetime.datetime", "datetime.timedelta", "datetime.timezone",
    "decimal.Decimal", "fractions.Fraction", "pathlib.Path", "pathlib.PosixPath", "pathlib.PurePosixPath",
    "pathlib.WindowsPath", "pathlib._local.PosixPath", "types.SimpleNamespace", "uuid.UUID",
}  # fmt: skip
#: Functions of NumPy that put its numbers and arrays together.
_OF_NUMPY = {
    f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")
}  # fmt: skip


def kind_of(path: Path) -> str:
    """What a file is by its first bytes.

    ``"zip"`` and ``"legacy"`` are of ``torch.save``, ``"safetensors"``; ``"landscape"`` is ours; others cannot be read:
    ``"script"`` (TorchScript, or an exported program), ``"lua"``, ``"tar"``, ``"pickle"``, ``"unknown"``.

    Raises
    ------
    CheckpointError
        If it cannot be read.
    """
    with readable(path), opened(path) as raw:
        head = raw.read(512)
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    if _LEGACY in head[:32]:
        return "legacy"
    if head.startswith((b"landscape-", b"\x89HDF")):
        return "landscape"
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return "safetensors"
    if head[257:262] == b"ustar":
        return "tar"
    if head[:1] == b"\x80":
        return "pickle"
    # Torch7 of Lua begins with the type of the first object, as an integer of 32 bits or as text.
    return (
        "lua" if head[:4] in {bytes([n, 0, 0, 0]) for n in range(1, 9)} or head[:2] in (b"4\n", b"3\n") else "unknown"
    )


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.rpartition("/")[2] for name in archive.namelist()]
    except Exception as error:  # zipfile raises many things over an archive that is cut or crafted
        raise CheckpointError(f"{path} is a damaged zip archive and cannot be read ({error})") from error
    if "data.pkl" not in names:
        return "unknown"
    return "script" if "constants.pkl" in names or "archive_format" in names else "zip"


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Whatever keeps a file from being opened is one line."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{path} does not exist") from None
    except NotAFile as error:
        raise CheckpointError(f"{path} {error}") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {reason(error)}") from error


def load_pickle(path: Path, *, allow: Sequence[str] = ()) -> Any:
    """What ``torch.save`` stored, on the CPU; of a file in the present format tensors are read when they are used.

    Parameters
    ----------
    allow : sequence of str
        Classes, by full name, that a person knows and trusts; ``"__main__.Config=train.Config"`` where a class is found
        under another name now.

    Raises
    ------
    CheckpointError
        If the file is no such file, is damaged, or names other classes than torch takes; they are listed.
    UsageError
        If one that is to be allowed is not there, or is none that may be.
    """
    kind = kind_of(path)
    if kind not in ("zip", "legacy"):
        raise CheckpointError(f"{path} {_unreadable(kind)}")
    allowed = dict(_found(entry) for entry in allow)
    try:
        with _trusting(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of protocols that it does not know; what it cannot read it refuses
            return torch.load(str(path), map_location="cpu", weights_only=True, mmap=kind == "zip")
    except UsageError:
        raise
    except Exception as error:  # a file that is cut or crafted raises almost anything
        refused = foreign_globals(path, kind) - set(allowed) if isinstance(error, pickle.UnpicklingError) else set()
        if refused:
            raise CheckpointError(_refusal(path, refused)) from None
        text = " ".join(str(error).split()).rpartition("WeightsUnpickler error: ")[2].split(". ")[0][:200]
        raise CheckpointError(f"{path} cannot be read by torch.load ({type(error).__name__}: {text})") from error


@contextlib.contextmanager
def _trusting(allowed: dict[str, Any]) -> Iterator[None]:
    """Let torch make these classes, each under the name that the file has for it."""
    if not allowed:
        yield
        return
    if not hasattr(torch.serialization, "safe_globals"):
        raise UsageError("allow= needs torch 2.5 or newer")
    named: list[Any] = [v if name == f"{v.__module__}.{v.__qualname__}" else (v, name) for name, v in allowed.items()]
    if np.dtype in allowed.values():  # which is then one of these
        named += [value for value in vars(np.dtypes).values() if isinstance(value, type)]
    with torch.serialization.safe_globals(named):
        yield


def foreign_globals(path: Path, kind: str) -> set[str]:
    """Full names of the classes and functions that a file names and that torch does not make by itself."""
    found: set[str] = set()
    with contextlib.suppress(Exception):  # what was found until then
        for name in _globals(path, kind):
            found.add(name)
    known: dict[str, Any] = getattr(getattr(torch, "_weights_only_unpickler", None), "_get_allowed_globals", dict)()
    return {name for name in found if name not in known}


def _globals(path: Path, kind: str) -> Iterator[str]:
    if kind == "legacy":
        with opened(path) as raw, open(raw.fileno(), "rb", closefd=False) as stream:
            for _ in range(_LEGACY_PICKLES):
                yield from named_in(stream)
        return
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl")
        with archive.open(name) as stream:
            yield from named_in(stream)


def named_in(stream: IO[bytes]) -> Iterator[str]:
    """Full names of what a pickle would import. Its instructions are read, not followed."""
    texts: list[str | None] = []
    memo: dict[int, str | None] = {}
    for code, argument, _ in pickletools.genops(stream):
        if code.name in ("GLOBAL", "INST"):
            module, _, name = str(argument).partition(" ")
            yield _today(module, name)
        elif code.name == "STACK_GLOBAL":
            yield ".".join(text or "?" for text in texts[-2:])
        elif code.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[argument if isinstance(argument, int) else len(memo)] = texts[-1] if texts else None
            continue
        if code.name in ("GET", "BINGET", "LONG_BINGET"):
            texts.append(memo.get(int(argument or 0)))
        else:
            texts.append(argument if isinstance(argument, str) else None)
        del texts[:-2]


def _today(module: str, name: str) -> str:
    """The name as Python 3 has it: pickles of protocol 2 say ``__builtin__``."""
    module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
    return f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{name}"


def may_be_allowed(name: str) -> bool:
    """Whether a class may be allowed by a person: of Python's own only those that do nothing but hold values."""
    return name in _HOLDERS or name.partition(".")[0] not in sys.stdlib_module_names


def _refusal(path: Path, refused: Iterable[str]) -> str:
    names = sorted(refused)
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    never = [name for name in names if not may_be_allowed(name)]
    # A model is pickled with its classes, and what looks up their parts.
    if any(name.startswith("torch.nn.modules.") for name in names) and {*never} <= {"builtins.getattr"}:
        return (
            f"{path} holds a whole model as Python objects ({shown}), not its tensors. Nothing was loaded. Where it "
            "was made, save model.state_dict() instead"
        )
    if never:
        return (
            f"{path} would run {', '.join(never[:8])} when it is loaded, as an attack does. Nothing was loaded, and "
            "this cannot be allowed; ask whoever made the file for model.state_dict() alone"
        )
    flags = " ".join(f"--allow {name}" for name in names[:8])
    return (
        f"{path} holds objects of classes that torch does not load on trust: {shown}. Nothing was loaded. If you know "
        f"them and trust the file: {flags} (allow=[…] in Python)"
    )


def _found(entry: str) -> tuple[str, Any]:
    """The name that the file has for a class, and the class that a person typed."""
    name, _, stand_in = entry.partition("=")
    full = stand_in or name
    if not may_be_allowed(name) or not may_be_allowed(full):
        raise UsageError(f"allow={entry!r} is of Python itself and can do more than hold values; it is never allowed")
    value = _import(full)
    if value is None:
        hint = f"; where it is now: {name}=module.{name.rpartition('.')[2]}" if name.startswith("__main__.") else ""
        raise UsageError(f"allow={entry!r} is not found here; name it as module.Class{hint}")
    if not isinstance(value, type) and full not in _OF_NUMPY:
        raise UsageError(f"allow={entry!r} is no class; only classes can be allowed")
    return name, value


def _import(full: str) -> Any:
    """What has this name, in the current folder or installed; None where there is none."""
    parts = full.split(".")
    try:
        with importable(()):
            for cut in range(len(parts) - 1, 0, -1):
                with contextlib.suppress(ImportError, AttributeError):
                    value: Any = importlib.import_module(".".join(parts[:cut]))
                    for part in parts[cut:]:
                        value = getattr(value, part)
                    return value
    except Exception as error:  # whatever the user's module raises
        raise UsageError(f"allow={full!r}: importing its module failed ({in_one_line(error)})") from error
    return None


def _unreadable(kind: str) -> str:
    return {
        "script": "is TorchScript or an exported program, which is code; save the model's state_dict() instead",
        "lua": "is of Torch7 for Lua; only .t7 files written by torch.save can be read",
        "tar": "is in the format of PyTorch before 0.1.10; load it there and save it again",
        "pickle": "is a pickle of Python's, not of torch.save, and is not loaded; save the state_dict() by torch.save",
        "landscape": "is a file of landscape already; landscape inspect and analyze read it as it is",
        "safetensors": "is of safetensors, not of torch.save",
        "unknown": "is none of the known formats (torch.save, safetensors)",
    }[kind]
