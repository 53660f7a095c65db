"""Files of other libraries, known by their names alone: enough to say that they can be imported."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors", ".t7", ".bin", ".pth.tar", ".pt.tar")
#: Where converted checkpoints of a folder lie that is analyzed as it is.
IMPORTED = "imported"
#: What training scripts save beside the model.
_COMPANION = re.compile(
    r"(optimizer|scheduler|scaler|opt_state(_\d+)?|rng_state.*|training_args|worker_\d+|random_states.*)\.(pt|pth|bin|t7)",
    re.I,
)
_MOST_LOOKED_AT = 20_000


def is_named_as_foreign(name: str) -> bool:
    """Whether a file is named as a checkpoint of another library.

    >>> [is_named_as_foreign(name) for name in ("model.PT", "optimizer.pt", "best.pth.tar", "notes.txt")]
    [True, False, True, False]
    """
    return name.lower().endswith(SUFFIXES) and not name.startswith(".") and _COMPANION.fullmatch(name) is None


def foreign_names(path: Path) -> Iterator[str]:
    """Names of such files below a folder, not without end."""
    looked_at = 0
    for _, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (name for name in files if is_named_as_foreign(name))
        looked_at += len(files)
        if looked_at > _MOST_LOOKED_AT:
            return


def import_hint(path: Path) -> str:
    """What to type where a file or folder has checkpoints of other libraries; empty where it has none."""
    if path.is_file():
        if not is_named_as_foreign(path.name):
            return ""
        what = f"It is a {_suffix(path.name)} file of another library"
        return f". {what}: landscape import {shlex.quote(str(path))} DST --problem pkg.mod:factory, then analyze DST"
    found = counted(foreign_names(path)) if path.is_dir() else ""
    if not found:
        return ""
    place = shlex.quote(str(path))
    return (
        f". It holds files of other libraries ({found}): landscape analyze {place} --problem pkg.mod:factory converts "
        f"and measures them, landscape import {place} DST --problem pkg.mod:factory converts them"
    )


def counted(names: Iterable[str]) -> str:
    """How many of which kind.

    >>> counted(["a.pt", "b.pt", "c.ckpt"])
    '2 .pt, 1 .ckpt'
    """
    kinds = Counter(_suffix(name) for name in names)
    return ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())


def _suffix(name: str) -> str:
    return max((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), key=len)
