"""HDF5's own library in a process of its own, with a limit on time and memory.

Two bytes of a file, wrong by accident or on purpose, can make the library loop for ever or crash. So a child reads it
and hands over what it found as the tree of a file of today; whatever becomes of the child, that file or one error is
all that comes back.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from landscape.files import writer
from landscape.files.reader import Group, read_tree_of
from landscape.files.seal import SEAL_SIZE, OnDisk, Unusable
from landscape.files.writer import NewGroup

# Of processor time, in which a loop without end is noticed; and of the clock, for what only waits.
CPU_SECONDS, SECONDS = 1, 30
BYTES_PER_SECOND = 10_000_000
MEMORY = 2 << 30
# How the child ends, and what that says of the file.
_ENDS = {3: "damaged", 4: "foreign", 5: "newer"}


@contextlib.contextmanager
def read_by(module: str, raw: IO[bytes], *arguments: str) -> Iterator[Group]:
    """The tree that ``python -m module arguments`` makes of a file, which is open, and its stdin.

    Raises
    ------
    Unusable
        If the child refuses it, or does not survive it.
    """
    seconds = SECONDS + os.fstat(raw.fileno()).st_size / BYTES_PER_SECOND
    here = str(Path(__file__).parents[2])
    above = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    os.lseek(raw.fileno(), 0, os.SEEK_SET)
    with tempfile.TemporaryFile() as new:
        try:
            done = subprocess.run(
                [sys.executable, "-m", module, *arguments], stdin=raw, stdout=new, stderr=subprocess.PIPE,
                timeout=seconds, env={**os.environ, "PYTHONPATH": os.pathsep.join(above)}, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Unusable("damaged", f"HDF5 found no end in it within {seconds:.0f} s") from None
        if done.returncode == -getattr(signal, "SIGXCPU", 0):
            raise Unusable("damaged", "HDF5 found no end in it")
        if done.returncode in _ENDS:
            raise Unusable(_ENDS[done.returncode], done.stderr.decode(errors="replace").strip()[:500])
        if done.returncode != 0:
            raise Unusable("damaged", "the process that read it died of it")
        yield read_tree_of(OnDisk(new), SEAL_SIZE)


def serve(copy: Callable[[IO[bytes], NewGroup], None]) -> int:
    """What the child does: ``copy`` the file at standard input into the tree of one at standard output.

    It refuses by :class:`~landscape.files.Unusable`; how the process is to end comes back.
    """
    source, target = io.FileIO(0, closefd=False), io.FileIO(1, "r+", closefd=False)
    try:
        _limit(os.fstat(0).st_size)
        with contextlib.closing(io.BufferedRandom(target)) as sink:
            root = writer.begin(sink, SEAL_SIZE)
            copy(source, root)
            writer.finish(root, sink, SEAL_SIZE)
    except Unusable as error:
        sys.stderr.write(str(error))
        return next(end for end, kind in _ENDS.items() if kind == error.kind)
    except Exception as error:
        # A damaged file makes HDF5 raise almost anything, and each means the same to whoever wanted to read it.
        sys.stderr.write(" ".join(str(error).split()) or type(error).__name__)
        return 3
    return 0


def _limit(size: int) -> None:
    import resource

    most = MEMORY + 4 * size
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds = math.ceil(time.process_time() + CPU_SECONDS + size / BYTES_PER_SECOND)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
