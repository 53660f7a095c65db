"""Other processes: code run in a fresh one, pools that spawn them, which live, what runs below one, and waiting."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def descendants(pid: int) -> set[int]:
    """All processes below one, as /proc tells them."""
    try:
        found = {
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        }
    except OSError:
        return set()
    return found.union(*(descendants(child) for child in found))


def alive(pids: set[int]) -> set[int]:
    """Those that still run; a zombie does not."""
    found = set()
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(pid)
        except OSError:
            continue
    return found


def wait_until(holds: Callable[[], bool], limit: float = 30.0, *, every: float = 0.02) -> None:
    end = time.monotonic() + limit
    while time.monotonic() < end and not holds():
        time.sleep(every)


def spawning(workers, initializer=None, *args):
    """A pool of another library's, whose processes begin with a call."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=initializer, initargs=args)


FOREVER = 30  # seconds until a subprocess counts as stuck


def run_python(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=FOREVER,
        cwd=Path(__file__).parents[2],
    )
