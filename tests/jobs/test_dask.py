"""Jobs through Dask: a scheduler and two workers in processes of their own, of which some are killed."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections import Counter

import distributed
import pytest

from landscape.errors import LandscapeError, UsageError
from landscape.jobs import Job, children, dask, opened_executor, run
from landscape.jobs.dask import DaskExecutor
from tests.support import calls
from tests.support.clusters import dask_cluster, started_worker
from tests.support.processes import alive, wait_until

pytestmark = pytest.mark.slow


def job(name, *args):
    return Job(f"{name}{args}", f"tests.support.calls:{name}", args)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with dask_cluster(tmp_path_factory.mktemp("dask")) as found:
        yield found


def test_outcomes_are_those_of_any_executor(cluster):
    with opened_executor(f"dask:{cluster.address}") as executor:
        outcomes = run([*(job("twice", n) for n in range(6)), job("divide", 1), job("leave"), job("a_lock")], executor)
    assert [outcome.value for outcome in outcomes] == [0, 2, 4, 6, 8, 10, None, None, None]
    divided, left, lock = (outcome.failure for outcome in outcomes[6:])
    assert divided.reason.startswith("ZeroDivisionError: division by zero (tests/support/calls.py:")
    assert "in divide" in divided.traceback
    assert left.reason.startswith("SystemExit: no more")
    assert "TypeError" in lock.reason
    assert "tried again" not in lock.reason


def test_equal_calls_are_made_anew_and_both_workers_make_them(cluster):
    with opened_executor(f"dask:{cluster.file}") as executor:
        outcomes = run([job("parent_after", 0.2)] * 8, executor)
    assert set(Counter(outcome.value for outcome in outcomes)) == {*cluster.workers()}


def test_a_client_that_was_given_stays_open_and_one_by_name_is_closed(cluster):
    with distributed.Client(cluster.address, set_as_default=False) as client:
        with opened_executor(client) as executor:
            assert isinstance(executor, DaskExecutor)
            assert run([job("twice", 4)], executor)[0].value == 8
        assert client.status == "running"
        before = len(client.run_on_scheduler(_clients))
        with opened_executor(f"dask:{cluster.address}"):
            assert len(client.run_on_scheduler(_clients)) == before + 1
        wait_until(lambda: len(client.run_on_scheduler(_clients)) == before)
        assert len(client.run_on_scheduler(_clients)) == before


def _clients(dask_scheduler):
    return [name for name in dask_scheduler.clients if name.startswith("Client-")]


def test_a_job_that_crashes_costs_itself_alone_says_why_and_leaves_the_workers_alive(cluster, tmp_path):
    before = cluster.workers()
    with opened_executor(f"dask:{cluster.address}") as executor:
        jobs = [job("kill"), job("die_once", str(tmp_path / "mark")), *(job("twice", n) for n in range(6))]
        outcomes = run(jobs, executor)
    assert [outcome.value for outcome in outcomes] == [None, "alive", 0, 2, 4, 6, 8, 10]
    assert outcomes[0].failure.kind == "died"
    assert outcomes[0].failure.reason.startswith("its process was ended by SIGKILL")
    assert outcomes[0].failure.reason.endswith("(so it was when it was tried again)")
    assert cluster.workers() == before


def test_a_worker_that_dies_has_its_jobs_done_by_another(cluster, tmp_path):
    before = cluster.workers()
    with opened_executor(f"dask:{cluster.address}") as executor:
        jobs = [job("end_worker_once", str(tmp_path / "mark")), *(job("twice", n) for n in range(6))]
        outcomes = run(jobs, executor)
    assert [outcome.value for outcome in outcomes] == ["alive", 0, 2, 4, 6, 8, 10]
    wait_until(lambda: len(cluster.workers()) == 2)
    assert cluster.workers() != before


def test_processes_below_a_worker_are_let_go_when_there_is_nothing_to_do(monkeypatch):
    monkeypatch.setattr(children, "IDLE", 0.2)
    below = children.Children()
    first, second = (below.call(calls.process) for _ in range(2))
    assert first == second
    wait_until(lambda: not alive({first}))
    assert not alive({first})
    assert below.call(calls.process) != first


def test_a_scheduler_that_is_killed_leaves_each_job_with_one_line(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(dask, "ANSWER", 3.0)
    with dask_cluster(tmp_path) as cluster:
        below = cluster.everything()
        began = time.monotonic()
        with opened_executor(f"dask:{cluster.address}") as executor:

            def finished(outcome):
                if outcome.value == 2:
                    cluster.scheduler.send_signal(signal.SIGKILL)

            outcomes = run([job("twice", 1), *[job("sleep", 5)] * 3], executor, finished=finished)
        assert time.monotonic() - began < 60
    said = f"the Dask scheduler at {cluster.address} went away, and did not answer again within 3 s"
    assert [said in outcome.failure.reason for outcome in outcomes[1:]] == [True] * 3
    assert capfd.readouterr().err == ""
    assert not [pid for pid in below if os.path.exists(f"/proc/{pid}")]


def test_where_there_is_no_worker_it_waits_as_long_as_it_is_told_to(tmp_path, monkeypatch):
    monkeypatch.setattr(dask, "LOOK_EVERY", 0.5)
    with dask_cluster(tmp_path, workers=0) as cluster:
        with opened_executor(f"dask:{cluster.address},wait=2s") as executor:
            (outcome,) = run([job("twice", 1)], executor)
        assert "has had no worker for 2 s; start some: dask worker tcp://" in outcome.failure.reason
        with opened_executor(f"dask:{cluster.address},wait=60s") as executor:
            cluster.nannies.append(started_worker(cluster.address, tmp_path, nanny=False))
            assert run([job("twice", 1)], executor)[0].value == 2


def test_where_nobody_answers_it_takes_seconds_to_say_so(monkeypatch):
    monkeypatch.setattr(dask, "ANSWER", 1.0)
    began = time.monotonic()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes the call, and never says a word
        for address in ("127.0.0.1:1", f"tcp://127.0.0.1:{silent.getsockname()[1]}"):
            with pytest.raises(LandscapeError, match=f"no Dask scheduler answers at {address} within 1 s"):
                opened_executor(f"dask:{address}").__enter__()
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dask:", "names no scheduler"),
        ("dask:somewhere", "names no scheduler; write its address with the port"),
        ("dask:there.json", "there is no scheduler file there.json"),
        ("dask:tcp://a:1,wait=soon", "wait='soon' must be a time"),
        ("dask:tcp://a:1,wiat=2h", "there is no setting 'wiat'; there are wait"),
    ],
)
def test_what_names_no_scheduler_is_refused(text, said):
    with pytest.raises(UsageError, match=said):
        opened_executor(text).__enter__()


def test_without_dask_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "landscape.jobs.dask")
    with pytest.raises(UsageError, match=r"not installed: pip install 'landscape-curvature\[cluster\]'"):
        opened_executor("dask:tcp://127.0.0.1:8786").__enter__()
