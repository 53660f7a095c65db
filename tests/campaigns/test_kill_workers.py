"""Campaign: SIGKILL to workers alone, and to their parents alone, at random moments; no record that was is lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import landscape as ls
from landscape.errors import ResultsError
from landscape.store import rows
from tests.support.processes import alive, descendants
from tests.support.runs import SMALL, save_run
from tests.support.stores import identical

KILLS = 220
DRIVER = """
import sys
import landscape as ls
from landscape.analysis import pipeline

pipeline.write_report = lambda results: None  # drawing takes longer than all the rest, and comes when all is stored
try:
    ls.analyze(sys.argv[1], ls.Plan(**{fields}))
except ls.CheckpointError:
    sys.exit(2)
"""
PLAN = ls.Plan(**{**SMALL.fields(), "workers": 2, "directions": 2, "barriers": 2})
Records = dict[tuple[str, int, str], tuple[Any, dict[str, Any]]]


def start(folder: Path) -> subprocess.Popen[bytes]:
    code = DRIVER.replace("{fields}", repr(PLAN.fields()))
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def stored(folder: Path) -> Records:
    """Every record on disk, with how it was measured: its seconds tell it from one that was measured again."""
    try:
        found = ls.load_results(folder, everything=True)
    except ResultsError:  # right only while nothing was on disk, which the comparison sees to
        return {}
    records: Records = {
        (run.name, c.step, name): (record, dict(c.provenance[name]))
        for run in found.runs
        for c in run.checkpoints
        for name, record in c.records.items()
    }
    return records | {(f"{p.run_a} to {p.run_b}", 0, "line"): (p.record, p.provenance) for p in found.pairs}


def check_nothing_is_lost(before: Records, now: Records) -> None:
    assert before.keys() <= now.keys(), f"lost: {sorted(before.keys() - now.keys())}"
    for name, (record, how) in before.items():
        assert identical(record, now[name][0]), f"{name} has another value"
        assert how == now[name][1], f"{name} was measured again"


def wait_until(holds: Callable[[], bool], limit: float) -> None:
    end = time.monotonic() + limit
    while time.monotonic() < end and not holds():
        time.sleep(0.005)


def wait_for_a_moment(rng: random.Random, process: subprocess.Popen[bytes], folder: Path) -> None:
    """Some records further, or some time: so kills meet starts, measurements and writes."""
    parts = folder / "results.h5.parts"

    def count() -> int:
        return len(list(parts.glob("*"))) if parts.exists() else 0

    if rng.random() < 0.2:
        wait_until(lambda: process.poll() is not None, rng.uniform(0.0, 4.0))
        return
    until = count() + rng.randrange(1, 9)
    wait_until(lambda: process.poll() is not None or count() >= until, 120)
    wait_until(lambda: process.poll() is not None, rng.uniform(0.0, 0.05))


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Only those that have become what they are: between fork and exec a child is still a copy of its parent."""
    found = []
    for pid in descendants(process.pid):
        try:
            if b"landscape.jobs.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


@pytest.mark.campaign
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are looked up in /proc")
def test_kills_of_workers_and_parents_alone_lose_no_record(tmp_path, capsys):
    fresh, rng, kills = tmp_path / "fresh", random.Random(0), Counter[str]()
    for seed in range(4):
        for optimizer in ("adam", "sgd"):
            save_run(fresh / f"{optimizer}-s{seed}", optimizer=optimizer, seed=seed)
    untouched = shutil.copytree(fresh, tmp_path / "untouched")
    assert start(untouched).wait() == 0
    reference = rows(ls.load_results(untouched))
    season = 0
    while kills.total() < KILLS:
        folder = shutil.copytree(fresh, tmp_path / f"season-{season}")
        seen = one_season(folder, rng, kills)
        assert start(folder).wait() == 0
        last = stored(folder)
        check_nothing_is_lost(seen, last)
        assert not list(folder.rglob("*.tmp"))
        assert ls.load_results(folder).info["skipped"] == []
        for mine, whole in zip(rows(ls.load_results(folder)), reference, strict=True):
            assert {k: v for k, v in mine.items() if k != "seconds"} == {
                k: v for k, v in whole.items() if k != "seconds"
            }
        season += 1
        with capsys.disabled():
            print(f"\nseason {season}: {dict(kills)}, {len(last)} records, none lost", flush=True)


def one_season(folder: Path, rng: random.Random, kills: Counter[str]) -> Records:
    """Analyses of one folder, with kills, until little is left to measure; all records that were ever seen."""
    seen: Records = {}
    for _ in range(12):
        process = start(folder)
        killed_workers = 0
        while process.poll() is None:
            wait_for_a_moment(rng, process, folder)
            victims = workers_of(process)
            if process.poll() is not None or not victims:
                continue
            if rng.random() < 0.12:
                process.kill()
                process.wait()
                kills["parents"] += 1
                wait_until(lambda pids=set(victims): not alive(pids), 60)  # type: ignore[misc]
                assert not alive(set(victims)), "a worker lives on without its parent"
            else:
                os.kill(rng.choice(victims), signal.SIGKILL)
                kills["workers"] += 1
                killed_workers += 1
            now = stored(folder)
            check_nothing_is_lost(seen, now)
            seen |= now
        now = stored(folder)
        check_nothing_is_lost(seen, now)
        seen |= now
        if process.returncode in (0, 1) and killed_workers:
            reasons = [bad["reason"] for bad in ls.load_results(folder).info["skipped"]]
            assert all("SIGKILL" in reason for reason in reasons), reasons
            assert len(reasons) <= killed_workers
        if process.returncode == 0 and not killed_workers:
            break
    return seen
