"""Tables, figures and pages on disk: whole or not at all, and one clear error where the disk refuses."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from landscape.files import replacing
from landscape.store.files import unwritable


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write beside the target, then rename: a reader sees the old file or the new one.

    Raises
    ------
    ResultsError
        If the disk is full, the name too long or the folder read-only; the old file stays.
    """
    # Not the name itself, which may be as long as names may be; nor the number of the process alone, which a writer on
    # another machine may have too.
    temporary = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, temporary) as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise unwritable(path, error) from error
    return path
