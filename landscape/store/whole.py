"""Tables, figures and pages on disk: whole or not at all, and one clear error where the disk refuses."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from landscape.store.files import unwritable


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write beside the target, then rename: a reader sees the old file or the new one.

    Raises
    ------
    ResultsError
        If the disk is full, the name too long or the folder read-only; the old file stays.
    """
    temporary = path.with_name(f".{os.getpid()}.tmp")  # the name itself may be as long as names may be
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from error
    return path
