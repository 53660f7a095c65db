"""A Dask scheduler and its workers, each a process of its own, as on a cluster; and what is to be killed of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import alive, descendants, wait_until

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "critical",
}  # fmt: skip


@dataclass
class Cluster:
    """A scheduler, and nannies that start a worker anew when it dies."""

    address: str
    file: Path
    scheduler: subprocess.Popen[bytes]
    nannies: list[subprocess.Popen[bytes]]

    def workers(self) -> list[int]:
        """The processes that do the work."""
        return sorted(pid for nanny in self.nannies for pid in descendants(nanny.pid) if _does_work(pid))

    def everything(self) -> set[int]:
        """All its processes."""
        heads = {process.pid for process in (self.scheduler, *self.nannies)}
        return heads.union(*(descendants(pid) for pid in heads))

    def close(self) -> None:
        """End all."""
        below = self.everything()
        for process in (*self.nannies, self.scheduler):
            process.terminate()
        for process in (*self.nannies, self.scheduler):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in alive(below):
            os.kill(pid, signal.SIGKILL)


@contextmanager
def dask_cluster(folder: Path, *, workers: int = 2, nanny: bool = True) -> Iterator[Cluster]:
    """A scheduler on a free port, with so many workers of one thread."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "scheduler.json"
    scheduler = _started("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file)
    cluster = Cluster("", file, scheduler, [])
    try:
        wait_until(lambda: file.exists() and file.stat().st_size > 0)
        cluster.address = _address_in(file)
        cluster.nannies += [started_worker(cluster.address, folder, nanny=nanny) for _ in range(workers)]
        yield cluster
    finally:
        cluster.close()


def started_worker(address: str, folder: Path, *, nanny: bool = True) -> subprocess.Popen[bytes]:
    return _started(
        "worker", address, "--nthreads", "1", "--no-dashboard", "--local-directory", folder, "--memory-limit", "0",
        "--nanny" if nanny else "--no-nanny",
    )  # fmt: skip


def _started(what: str, *options: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{what}", *map(str, options)], cwd=ROOT, env=ENVIRONMENT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _address_in(file: Path) -> str:
    import json

    return str(json.loads(file.read_text())["address"])


def _does_work(pid: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
