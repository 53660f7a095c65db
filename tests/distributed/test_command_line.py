"""``landscape analyze`` on several ranks: the tables of one process, written once; killed, any number goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import landscape as ls
from landscape.analysis import measuring
from landscape.store import ResultStore
from tests.support.ranked import HOME, STUCK
from tests.support.runs import SMALL, save_run

pytestmark = pytest.mark.slow
ARGUMENTS = [
    "--plan", "quick", "--last", "2", "--eigs", "2", "--trace-probes", "4", "--density-probes", "2", "--steps", "5",
    "--points", "5", "--plane-points", "5", "--directions", "1", "--samples", "2", "--restarts", "1", "--max-matvecs",
    "300", "--tol", "1e-3", "--workers", "1", "--json",
]  # fmt: skip
#: What differs from one measurement to the next.
TIMES = {"seconds", "matvecs_per_second"}
ENVIRONMENT = {name: text for name, text in os.environ.items() if name not in ("RANK", "WORLD_SIZE")} | {
    "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HOME),
}  # fmt: skip


@pytest.fixture
def runs(tmp_path):
    """Two of them; and the same again, for one process."""
    save_run(tmp_path / "runs" / "adam-s0", optimizer="adam", seed=0)
    save_run(tmp_path / "runs" / "sgd-s0", optimizer="sgd", seed=0)
    shutil.copytree(tmp_path / "runs", tmp_path / "again")
    return tmp_path / "runs"


def by_torchrun(ranks, folder):
    """Outcome of the command on so many ranks."""
    command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "-m", "landscape"]
    return subprocess.run(
        [sys.executable, *command, "analyze", str(folder), *ARGUMENTS], capture_output=True, text=True, timeout=STUCK,
        env=ENVIRONMENT,
    )  # fmt: skip


def started(ranks, folder):
    """The command on so many ranks that nobody watches over, as under srun."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "landscape", "analyze", str(folder), *ARGUMENTS], text=True,
            env={**ENVIRONMENT, **place, "RANK": str(rank)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for rank in range(ranks)
    ]  # fmt: skip


def test_tables_are_those_of_one_process_and_written_once(runs):
    outcome = by_torchrun(2, runs)
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    ls.analyze(runs.parent / "again", SMALL)
    expected = ls.load_results(runs.parent / "again")
    rows, alone = json.loads(outcome.stdout), ls.tables.rows(expected)
    assert [row["run"] for row in rows] == [row["run"] for row in alone]
    assert rows
    for row, other in zip(rows, alone, strict=True):
        for name, value in other.items():
            if isinstance(value, float) and name not in TIMES and not name.startswith("sharpness"):
                assert row[name] == pytest.approx(value, rel=2e-5, abs=1e-6), name
            elif not isinstance(value, float):
                assert row[name] == value, name
    made = {path.name for path in runs.rglob("*") if path.is_file()}
    assert {"results.h5", "report.html", "summary.csv"} <= made
    assert ls.load_results(runs).info["ranks"] == 2


def test_what_ranks_measured_one_process_finds_again_and_the_other_way_round(runs, monkeypatch):
    assert by_torchrun(2, runs).returncode == 0
    measured = []
    monkeypatch.setattr(measuring, "measure", lambda *args: measured.append(args))
    ls.analyze(runs, SMALL)
    assert not measured
    monkeypatch.undo()
    ls.analyze(runs.parent / "again", SMALL)
    before = seconds(runs.parent / "again")
    assert by_torchrun(3, runs.parent / "again").returncode == 0
    assert seconds(runs.parent / "again") == before


def seconds(folder):
    """What each record took, which no other measurement of it takes to the last digit."""
    with ResultStore(folder) as store:
        found = {
            (run, step, name): store.provenance(run, step, name)
            for run, steps in store.steps().items() for step in steps for name in ("point", "eigenpairs", "trace")
        }  # fmt: skip
    return {place: how["seconds"] for place, how in found.items() if how}


@pytest.mark.parametrize("killed", [0, 1])
def test_where_a_rank_is_killed_all_end_with_one_line_and_the_rest_is_measured_later(runs, killed):
    ranks = started(2, runs)
    try:
        wait_for_records(runs, ranks)
        ranks[killed].send_signal(signal.SIGKILL)
        at = time.monotonic()
        said = [rank.communicate(timeout=60) for rank in ranks]
        assert time.monotonic() - at < 10
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [-9 if rank == killed else 2 for rank in range(2)]
    lines = [line for _, err in said for line in err.splitlines() if "expected: about" not in line]
    assert lines == [f"landscape: rank {killed} of 2 is gone: its process was killed, or has crashed"]
    kept = seconds(runs)
    ls.analyze(runs, SMALL)
    after = seconds(runs)
    assert kept
    assert {place: after[place] for place in kept} == kept


def wait_for_records(folder, ranks):
    """Until some are there."""
    until = time.monotonic() + STUCK
    while time.monotonic() < until and all(rank.poll() is None for rank in ranks):
        if sum(1 for path in Path(folder).rglob("*") if ".parts" in str(path) and path.is_file()) >= 6:
            return
        time.sleep(0.05)
    raise AssertionError("nothing was measured: " + "".join(rank.communicate()[1] for rank in ranks))
