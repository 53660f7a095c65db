"""Campaign: SIGKILL to workers alone, and to their parents alone, at random moments; no record that was is lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import landscape as ls
from landscape.store import rows
from tests.support.kills import check_nothing_is_lost, check_same_table, seen_in, wait_for_a_moment
from tests.support.processes import alive, descendants, wait_until
from tests.support.runs import SMALL, save_run

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
Records = dict[Any, Any]


def start(folder: Path) -> subprocess.Popen[bytes]:
    code = DRIVER.replace("{fields}", repr(PLAN.fields()))
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


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
        last = seen_in(folder)
        check_nothing_is_lost(seen, last)
        assert not list(folder.rglob("*.tmp"))
        assert ls.load_results(folder).info["skipped"] == []
        check_same_table(folder, reference)
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
            wait_for_a_moment(rng, process, folder, longest=4.0, records=9, every=0.005)
            victims = workers_of(process)
            if process.poll() is not None or not victims:
                continue
            if rng.random() < 0.12:
                process.kill()
                process.wait()
                kills["parents"] += 1
                wait_until(lambda pids=set(victims): not alive(pids), 60, every=0.005)  # type: ignore[misc]
                assert not alive(set(victims)), "a worker lives on without its parent"
            else:
                os.kill(rng.choice(victims), signal.SIGKILL)
                kills["workers"] += 1
                killed_workers += 1
            now = seen_in(folder)
            check_nothing_is_lost(seen, now)
            seen |= now
        now = seen_in(folder)
        check_nothing_is_lost(seen, now)
        seen |= now
        if process.returncode in (0, 1) and killed_workers:
            reasons = [bad["reason"] for bad in ls.load_results(folder).info["skipped"]]
            assert all("SIGKILL" in reason for reason in reasons), reasons
            assert len(reasons) <= killed_workers
        if process.returncode == 0 and not killed_workers:
            break
    return seen
