"""Campaign: SIGKILL to a rank under torchrun at random moments; all end, and no record that was is lost."""

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
from tests.support.kills import check_nothing_is_lost, check_same_table, seen_in, wait_for_a_moment
from tests.support.processes import alive, descendants, wait_until
from tests.support.ranked import HOME
from tests.support.runs import SMALL, save_run
from tests.support.stores import stored

KILLS, RANKS = int(os.environ.get("KILL_RANKS", "30")), 2
#: Seconds after which a job that goes on without one of its ranks counts as stuck.
STUCK = 120
DRIVER = """
import sys
import landscape as ls
from landscape.analysis import pipeline

pipeline.write_report = lambda results: None  # drawing takes longer than all the rest, and comes when all is stored
ls.analyze(sys.argv[1], ls.Plan(**{fields}))
"""
ENVIRONMENT = {name: text for name, text in os.environ.items() if name not in ("RANK", "WORLD_SIZE")} | {
    "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HOME), "PYTHONWARNINGS": "ignore",
}  # fmt: skip


def start(folder: Path) -> subprocess.Popen[str]:
    """An analysis on two ranks, under torchrun."""
    script = folder.parent / "analyze.py"
    script.write_text(DRIVER.replace("{fields}", repr(SMALL.fields())))
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={RANKS}"]
    with (folder.parent / f"{folder.name}-said").open("w") as said:
        return subprocess.Popen(
            [sys.executable, *launch, str(script), str(folder)], stdout=subprocess.DEVNULL, stderr=said, text=True,
            env=ENVIRONMENT,
        )  # fmt: skip


def said_of(folder: Path) -> list[str]:
    """Our lines of the last analysis there, and not torchrun's report."""
    text = (folder.parent / f"{folder.name}-said").read_text()
    return [line for line in text.splitlines() if line.startswith("landscape: ")]


def ranks_of(process: subprocess.Popen[str]) -> dict[int, int]:
    """Process ids by rank, as far as they have been started."""
    found = {}
    for pid in descendants(process.pid):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        number = next((int(entry[5:]) for entry in environment if entry.startswith(b"RANK=")), None)
        if number is not None and parent == process.pid:  # those below a rank have its environment
            found[number] = pid
    return found


def one_kill(folder: Path, rng: random.Random, seen: dict[Any, Any]) -> str:
    """An analysis of which one rank is killed: where it was then, or that it was over before."""
    process = start(folder)
    wait_for_a_moment(rng, process, folder, longest=8.0)
    below, ranks, before = descendants(process.pid), ranks_of(process), len(seen)
    if len(ranks) < RANKS or process.poll() is not None:
        wait_until(lambda: len(ranks_of(process)) == RANKS or process.poll() is not None, 60)
        below, ranks = descendants(process.pid), ranks_of(process)
    if len(ranks) < RANKS:
        process.wait(300)
        return "over before"
    victim = rng.choice(sorted(ranks))
    os.kill(ranks[victim], signal.SIGKILL)
    began = time.monotonic()
    status = process.wait(STUCK)
    took = time.monotonic() - began
    wait_until(lambda: not alive(below), 10)
    assert not alive(below), "a process lives on"
    now, said = seen_in(folder), said_of(folder)
    check_nothing_is_lost(seen, now)
    seen |= now
    if status == 0:
        return "as it ended"
    assert said in ([], [f"landscape: rank {victim} of {RANKS} is gone: its process was killed, or has crashed"]), said
    print(f"all ended within {took:.1f} s", flush=True)
    return f"{'with' if len(now) > before else 'without'} new records, {len(said)} line"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Runs, and the table of an analysis of them that nobody disturbed."""
    home = tmp_path_factory.mktemp("runs")
    for optimizer in ("adam", "sgd"):
        save_run(home / "fresh" / f"{optimizer}-s0", optimizer=optimizer, seed=0)
    shutil.copytree(home / "fresh", home / "untouched")
    assert start(home / "untouched").wait(600) == 0, said_of(home / "untouched")
    return home / "fresh", rows(ls.load_results(home / "untouched"))


@pytest.mark.campaign
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are looked up in /proc")
def test_kills_of_a_rank_lose_no_record_and_leave_no_process(saved, tmp_path, capsys):
    fresh, reference = saved
    rng, kills, season, endings = random.Random(0), 0, 0, Counter[str]()
    while kills < KILLS:
        (tmp_path / f"season-{season}").mkdir()
        folder, seen = shutil.copytree(fresh, tmp_path / f"season-{season}" / "runs"), dict[Any, Any]()
        for _ in range(rng.randrange(2, 6)):
            ending = one_kill(folder, rng, seen)
            endings[ending] += 1
            kills += ending not in ("over before", "as it ended")
            with capsys.disabled():
                print(f"\nkill {kills}: {ending}, {len(seen)} records", flush=True)
        assert start(folder).wait(600) == 0, said_of(folder)
        check_nothing_is_lost(seen, stored(folder))
        check_same_table(folder, reference)
        season += 1
    with capsys.disabled():
        print(f"\n{kills} kills in {season} seasons, none lost: {dict(endings)}", flush=True)
    # Before the ranks have met, torchrun alone says what happened.
    assert all(ending.endswith("1 line") for ending in endings if ending.startswith("with new records"))
