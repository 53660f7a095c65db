"""kill -9 at twenty random moments of an analysis: the file opens, and the rerun ends with the same numbers."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import landscape as ls
from landscape.errors import ResultsError
from landscape.store import rows
from tests.support.runs import make_runs

FLAGS = ["--plan", "quick", "--directions", "1", "--plane-points", "5", "--samples", "4"]


def start(folder: Path, *, workers: int) -> subprocess.Popen[bytes]:
    """An analysis in a process group of its own, so that a kill takes its workers too."""
    command = [sys.executable, "-m", "landscape", "analyze", str(folder), *FLAGS, "--workers", str(workers)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def numbers(folder: Path) -> list[dict]:
    """What must not depend on kills: everything but the seconds."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows(ls.load_results(folder))]


@pytest.mark.campaign
@pytest.mark.parametrize("workers", [1, 2])
def test_twenty_kills_lose_nothing_and_change_nothing(tmp_path, workers):
    untouched = make_runs(tmp_path / "untouched")
    killed = shutil.copytree(untouched, tmp_path / "killed")
    began = time.perf_counter()
    assert start(untouched, workers=workers).wait() == 0
    whole = time.perf_counter() - began
    moments = random.Random(workers)
    kept = 0
    for _ in range(20):
        process = start(killed, workers=workers)
        time.sleep(moments.uniform(0.15, 1.0) * whole)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        try:
            found = sum(len(c.records) for run in ls.load_results(killed).runs for c in run.checkpoints)
        except ResultsError:  # right only while nothing was on disk, which the next line sees to
            found = 0
        assert found >= kept, "a record that was on disk is gone"
        kept = found
        if moments.random() < 0.3:  # begin afresh now and then, so that kills meet all stages
            shutil.rmtree(killed)
            shutil.copytree(
                untouched, killed, ignore=shutil.ignore_patterns("results*", "report*", "figures", "tables")
            )
            kept = 0
    assert start(killed, workers=workers).wait() == 0
    assert numbers(killed) == numbers(untouched)
    assert not list(killed.rglob("*.tmp"))
