"""Ranks of which one is killed, raises, leaves or comes apart: all end within seconds, with one line that says why."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from landscape.distributed import watch
from tests.support import ranked
from tests.support.ranked import on_ranks

pytestmark = pytest.mark.slow
PLACE = "tests.support.ranked_ends:"


def ends(world, function, *args, folder, most=100):
    return ranked.finish(ranked.start(world, PLACE + function, *args, folder=folder), folder, most=most)


def said(found):
    """Lines of ours on stderr, of all ranks."""
    return [line for rank in found for line in rank.err.splitlines() if line.startswith("landscape: ")]


@pytest.mark.parametrize("killed", [0, 1, 2])
def test_where_one_is_killed_the_others_end_within_seconds_and_one_says_so(killed, tmp_path):
    found = ends(3, "killed", killed, str(tmp_path), folder=tmp_path)
    ended = time.time() - time.monotonic() + max(rank.ended for rank in found)
    assert [rank.status for rank in found] == [-9 if rank == killed else watch.STATUS for rank in range(3)]
    assert said(found) == [f"landscape: rank {killed} of 3 is gone: its process was killed, or has crashed"]
    assert ended - float((tmp_path / "killed").read_text()) < 10


@pytest.mark.parametrize("killed", [0, 1])
def test_who_is_told_to_end_because_another_was_killed_says_so_first(killed, tmp_path):
    found = ends(2, "killed_while_others_are_told_to_end", killed, str(tmp_path), folder=tmp_path)
    assert [rank.status for rank in found] == [-9 if rank == killed else watch.STATUS for rank in range(2)]
    assert said(found) == [f"landscape: rank {killed} of 2 is gone: its process was killed, or has crashed"]


def test_where_one_raises_by_itself_the_others_end_with_its_reason(tmp_path):
    found = ends(2, "raises", 1, folder=tmp_path)
    assert [rank.status for rank in found] == [watch.STATUS, 1]
    (line,) = said(found)
    assert line.startswith("landscape: rank 1 of 2 ended: ValueError: the file of the labels is missing")
    assert "Traceback" in found[1].err


def test_where_rank_0_raises_its_own_traceback_is_what_is_said(tmp_path):
    found = ends(2, "raises", 0, folder=tmp_path)
    assert [rank.status for rank in found] == [1, watch.STATUS]
    assert not said(found)
    assert "ValueError: the file of the labels is missing" in found[0].err


LAST = """
import atexit
import torch.distributed as dist

if {initialised}:
    dist.init_process_group("gloo")
atexit.register(lambda: print("left:", len(dist.distributed_c10d._world.pg_map), flush=True))  # runs last
from landscape.distributed import group

met = group.join()
assert met.all(met.rank, "numbers") == [0, 1]
"""


@pytest.mark.parametrize("initialised", [False, True])
def test_groups_that_were_begun_here_have_ended_before_python_does_and_the_caller_s_stands(initialised, tmp_path):
    """Threads of gloo that outlive the interpreter abort it now and then, after all was done."""
    script = tmp_path / "last.py"
    script.write_text(LAST.replace("{initialised}", str(initialised)))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ranked.HOME)}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(launch, env=environment, capture_output=True, text=True, timeout=ranked.STUCK, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("left:")[1:] == [f" {int(initialised)}\n"] * 2


def test_an_error_in_the_part_of_one_rank_is_raised_on_all_and_they_go_on():
    first, second = on_ranks(2, PLACE + "meets_an_error", 1)
    assert first == second
    assert first[0] == "ModelError"
    assert "KeyError: 'no such word'" in first[1]
    assert first[2] > 0


def test_ranks_that_ask_for_different_things_are_told_on_both():
    first, second = on_ranks(2, PLACE + "come_apart")
    assert first == second
    assert [any(words in text for text in first) for words in (
        "asks for a product for other numbers", "asks for a loss for other numbers", "has other data than rank 0",
        "has other parameters or settings than rank 0",
    )] == [True] * 4  # fmt: skip
    assert len(first) == 4


def test_a_rank_that_ends_early_is_not_waited_for(tmp_path):
    found = ends(2, "one_leaves", folder=tmp_path)
    assert [rank.status for rank in found] == [1, 0]
    assert "rank 1 has left, and every rank must make the same calls" in found[0].err


def test_ranks_that_wait_for_different_things_end_and_both_are_named(tmp_path):
    found = ends(2, "wait_for_different_things", folder=tmp_path)
    assert [rank.status for rank in found] == [watch.STATUS] * 2
    (line,) = said(found)
    assert "rank 1 waits for a choice" in line
    assert "while rank 0 waits for a product" in line


def test_a_model_in_shards_that_one_rank_alone_saves_ends_with_what_was_waited_for(tmp_path):
    found = ends(2, "saves_on_one", str(tmp_path / "run"), folder=tmp_path)
    assert [rank.status for rank in found] == [1, 0]
    assert "rank 1 has left, and every rank must make the same calls" in found[0].err


@pytest.mark.parametrize("killed", [0, 1])
def test_where_one_is_killed_while_shards_are_gathered_the_other_ends(killed, tmp_path):
    found = ends(2, "killed_while_gathering", killed, folder=tmp_path)
    assert found[killed].status == -9
    assert found[1 - killed].status in (1, watch.STATUS)
    assert "is gone" in found[1 - killed].err


@pytest.mark.parametrize("rank", [0, 1])
def test_where_one_alone_meets_an_error_in_a_model_in_shards_all_end_and_it_is_named(rank, tmp_path):
    found = ends(2, "raises_in_forward", rank, folder=tmp_path)
    assert [one.status for one in found] == [watch.STATUS] * 2
    (line,) = said(found)
    assert f"rank {rank} waits for all others to meet an error of the model in shards (MemoryError" in line


def test_one_may_measure_alone_while_the_others_do_something_else():
    first, second = on_ranks(2, PLACE + "one_measures_alone")
    assert first != 0
    assert second == 0
