"""Campaign: SIGKILL to Dask workers and to the scheduler at random moments; no record that was is lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import landscape as ls
from landscape.store import rows
from tests.support.clusters import ENVIRONMENT, Cluster, dask_cluster
from tests.support.kills import check_nothing_is_lost, check_same_table, seen_in, wait_for_a_moment
from tests.support.processes import alive, descendants, wait_until
from tests.support.runs import SMALL, save_run
from tests.support.stores import stored

WORKERS, SCHEDULERS = (
    int(os.environ.get(name, most)) for name, most in (("KILL_WORKERS", 30), ("KILL_SCHEDULERS", 10))
)
DRIVER = """
import sys
import landscape as ls
from landscape.analysis import pipeline
from landscape.jobs import dask

pipeline.write_report = lambda results: None  # drawing takes longer than all the rest, and comes when all is stored
dask.ANSWER = 3.0
try:
    ls.analyze(sys.argv[1], ls.Plan(**{fields}), executor=f"dask:{sys.argv[2]}")
except ls.LandscapeError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""
PLAN = ls.Plan(**{**SMALL.fields(), "directions": 2, "barriers": 2})
GONE = "Dask scheduler"


def start(folder: Path, address: str) -> subprocess.Popen[str]:
    code = DRIVER.replace("{fields}", repr(PLAN.fields()))
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), address], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, env={**ENVIRONMENT, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip


def check_it_is_whole(folder: Path, reference: list[dict[str, Any]]) -> None:
    assert ls.load_results(folder).info["skipped"] == []
    check_same_table(folder, reference)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Runs, and the table of an analysis of them that nobody disturbed."""
    home = tmp_path_factory.mktemp("runs")
    for optimizer in ("adam", "sgd"):
        save_run(home / "fresh" / f"{optimizer}-s0", optimizer=optimizer, seed=0)
    shutil.copytree(home / "fresh", home / "untouched")
    with dask_cluster(home / "dask") as cluster:
        process = start(home / "untouched", cluster.address)
        assert process.wait() == 0, process.communicate()[1]
    return home / "fresh", rows(ls.load_results(home / "untouched"))


def one_analysis(cluster: Cluster, folder: Path, rng: random.Random, seen: dict[Any, Any], victim: Any) -> int:
    """An analysis during which something is killed, until it is over or the victim is dead; how often it was."""
    process, kills = start(folder, cluster.address), 0
    while process.poll() is None:
        wait_for_a_moment(rng, process, folder, longest=6.0, limit=60)
        pids = victim(cluster)
        if process.poll() is not None or not pids:
            continue
        os.kill(rng.choice(pids), signal.SIGKILL)
        kills += 1
        now = seen_in(folder)
        print(f"{victim.__name__}: killed {pids}, {len(now)} records", flush=True)
        check_nothing_is_lost(seen, now)
        seen |= now
        if victim is the_scheduler:
            break
    below = descendants(process.pid)
    said = process.communicate(timeout=300)[1].strip().splitlines()
    assert len(said) <= 1, said
    assert process.returncode in (0, 2)
    assert not said or GONE in said[0], said
    assert not alive(below)
    now = seen_in(folder)
    check_nothing_is_lost(seen, now)
    seen |= now
    if process.returncode == 0 and victim is the_scheduler:
        assert all(GONE in bad["reason"] for bad in ls.load_results(folder).info["skipped"])
    return kills


def the_workers(cluster: Cluster) -> list[int]:
    """Those that do something: a nanny gives a worker up that dies while it starts."""
    return [pid for pid in cluster.workers() if descendants(pid)]


def the_scheduler(cluster: Cluster) -> list[int]:
    return [cluster.scheduler.pid] if cluster.scheduler.poll() is None else []


@pytest.mark.campaign
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize(("victim", "most"), [(the_workers, WORKERS), (the_scheduler, SCHEDULERS)])
def test_kills_on_a_cluster_lose_no_record(saved, tmp_path, capsys, victim, most):
    fresh, reference = saved
    rng, kills, season, skipped = random.Random(0), 0, 0, Counter[str]()
    while kills < most:
        folder, seen = shutil.copytree(fresh, tmp_path / f"season-{season}"), dict[Any, Any]()
        for attempt in range(4):
            began = time.monotonic()
            with dask_cluster(tmp_path / f"dask-{season}-{attempt}") as cluster:
                below = cluster.everything()
                found = one_analysis(cluster, folder, rng, seen, victim)
                below |= cluster.everything()
                if attempt == 3 or not found or kills + found >= most:
                    check_the_rest(cluster, folder, seen, reference)
            wait_until(lambda pids=below: not alive(pids))  # type: ignore[misc]
            assert not alive(below), "a process lives on"
            kills += found
            skipped[f"{time.monotonic() - began:.0f} s"] += 1
            if not found or kills >= most:
                break
        season += 1
        with capsys.disabled():
            print(f"\n{victim.__name__}: {kills} kills in {season} seasons, {len(seen)} records, none lost", flush=True)


def check_the_rest(cluster: Cluster, folder: Path, seen: dict[Any, Any], reference: list[dict[str, Any]]) -> None:
    """What is left is measured, by whoever is there, and the table is the one of an analysis without kills."""
    if cluster.scheduler.poll() is None:
        process = start(folder, cluster.address)
        assert process.wait() == 0, process.communicate()[1]
    else:
        with dask_cluster(cluster.file.parent / "again") as other:
            process = start(folder, other.address)
            assert process.wait() == 0, process.communicate()[1]
    check_nothing_is_lost(seen, stored(folder))
    check_it_is_whole(folder, reference)
