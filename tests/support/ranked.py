"""Several processes that measure together, started for a test, and what each of them gives back."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

HOME = Path(__file__).parents[2]
#: Seconds until processes count as stuck, and are killed; a busy machine takes ten times as long as a quiet one.
STUCK = 900


@dataclass(frozen=True)
class Rank:
    """What became of one: its exit status (negative: a signal), what it gave back and said, and when it had ended."""

    status: int
    value: Any
    out: str
    err: str
    ended: float


def start(world: int, place: str, *args: Any, folder: Path) -> list[subprocess.Popen[str]]:
    """Processes that each call ``package.module:function`` with these arguments, in one group; gloo finds its ports."""
    environment = {name: text for name, text in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HOME)}
    (folder / "arguments").write_bytes(pickle.dumps(args))
    code = "from tests.support.ranked import main; main()"
    return [
        subprocess.Popen(
            [sys.executable, "-c", code, place, str(world), str(rank), str(folder)], env=environment, text=True,
            stdout=(folder / f"out-{rank}").open("w"), stderr=(folder / f"err-{rank}").open("w"), cwd=HOME,
        )
        for rank in range(world)
    ]  # fmt: skip


def finish(processes: list[subprocess.Popen[str]], folder: Path, *, most: float = STUCK) -> list[Rank]:
    """Wait for all; whoever is not done in time is killed, and that shows in its status."""
    ended: dict[int, float] = {}
    until = time.monotonic() + most
    while len(ended) < len(processes) and time.monotonic() < until:
        for rank, process in enumerate(processes):
            if rank not in ended and process.poll() is not None:
                ended[rank] = time.monotonic()
        time.sleep(0.02)
    for process in processes:
        if process.poll() is None:
            process.kill()
    found = []
    for rank, process in enumerate(processes):
        status, answer = process.wait(), folder / f"value-{rank}"
        value = pickle.loads(answer.read_bytes()) if answer.exists() else None
        said = [(folder / f"{kind}-{rank}").read_text() for kind in ("out", "err")]
        found.append(Rank(status, value, *said, ended.get(rank, float("inf"))))
    return found


def on_ranks(world: int, place: str, *args: Any) -> list[Any]:
    """What a function gives on each of so many ranks."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = finish(start(world, place, *args, folder=folder), folder)
    assert all(rank.status == 0 for rank in found), "\n".join(f"{rank.status}: {rank.err[-3000:]}" for rank in found)
    return [rank.value for rank in found]


def main() -> None:
    """One of the processes."""
    import torch.distributed as dist

    place, world, rank, name = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    dist.init_process_group(
        "gloo", init_method=f"file://{name}/meeting", rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    module, _, function = place.partition(":")
    args = pickle.loads((name / "arguments").read_bytes())
    value = getattr(importlib.import_module(module), function)(*args)
    (name / f"value-{rank}").write_bytes(pickle.dumps(value))
