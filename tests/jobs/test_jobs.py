"""Jobs: the same outcomes whichever executor does them, and whatever goes wrong with one is that one's outcome."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from landscape.errors import LandscapeError, UsageError
from landscape.jobs import Job, LocalExecutor, ThisProcess, run
from landscape.jobs.job import function_at, torch_threads
from landscape.jobs.progress import Total
from tests.support import calls
from tests.support.processes import alive, descendants, spawning

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are looked up in /proc")


EXECUTORS = {
    "this process": ThisProcess, "one process": lambda: LocalExecutor(1), "three processes": lambda: LocalExecutor(3),
    "threads": lambda: ThreadPoolExecutor(2), "another's processes": lambda: spawning(2), "silent": calls.Silent,
}  # fmt: skip


def job(name, *args, threads=None):
    return Job(f"{name}{args}", f"tests.support.calls:{name}", args, threads)


@pytest.fixture(params=EXECUTORS)
def executor(request):
    made = EXECUTORS[request.param]()
    yield made
    if hasattr(made, "shutdown"):
        made.shutdown()


def test_outcomes_are_the_same_whichever_executor_does_the_jobs_and_stand_in_their_order(executor):
    jobs = [*(job("twice", n) for n in range(4)), job("divide", 1), job("leave"), job("no_such_function")]
    seen = []
    outcomes = run(jobs, executor, finished=seen.append)
    assert [outcome.value for outcome in outcomes] == [0, 2, 4, 6, None, None, None]
    assert [outcome.name for outcome in outcomes] == [job.name for job in jobs]
    assert {outcome.name for outcome in seen} == {job.name for job in jobs}
    divided, left, missing = (outcome.failure for outcome in outcomes[4:])
    assert divided.reason.startswith("ZeroDivisionError: division by zero (tests/support/calls.py:")
    assert "in divide" in divided.traceback
    assert "in divide" in str(divided.as_error().__cause__)
    assert left.reason.startswith("SystemExit: no more")
    assert "tests.support.calls:no_such_function of a job cannot be imported" in missing.reason
    assert type(missing.as_error()) is UsageError
    assert {failure.kind for failure in (divided, left, missing)} == {"raised"}


def test_jobs_and_outcomes_are_plain_data():
    for outcome in run([job("twice", 2), job("divide", 1)], ThisProcess()):
        assert json.loads(json.dumps(asdict(outcome)))["name"] == outcome.name
        assert pickle.loads(pickle.dumps(outcome)) == outcome


def test_a_process_that_is_killed_costs_its_own_job_alone():
    jobs = [job("kill") if n in (1, 4) else job("twice", n) for n in range(7)]
    with LocalExecutor(2) as executor:
        outcomes = run(jobs, executor)
    assert [outcome.value for outcome in outcomes] == [0, None, 4, 6, None, 10, 12]
    for outcome in (outcomes[1], outcomes[4]):
        assert outcome.failure.kind == "died"
        assert "ended by SIGKILL" in outcome.failure.reason
        assert "fewer processes need less of it" in outcome.failure.reason
        assert "\n" not in outcome.failure.reason


def test_a_process_that_dies_while_it_has_nothing_to_do_costs_no_job():
    with LocalExecutor(1) as executor:
        (first,) = run([job("process")], executor)
        os.kill(first.value, signal.SIGKILL)
        time.sleep(0.3)
        (second,) = run([job("process")], executor)
    assert second.failure is None
    assert second.value != first.value


def test_a_pool_of_others_that_breaks_leaves_each_job_with_an_outcome():
    with spawning(1) as executor:
        outcomes = run([job("twice", 1), job("kill"), job("twice", 2)], executor)
        again = run([job("twice", 3)], executor)
    assert outcomes[0].value == 2
    assert "its executor lost it: BrokenProcessPool: " in outcomes[1].failure.reason
    assert outcomes[1].failure.kind == "lost"
    assert outcomes[2].failure is not None
    assert "its executor did not take it: BrokenProcessPool: " in again[0].failure.reason


def test_futures_that_raise_are_cancelled_or_give_nonsense_are_outcomes_of_their_jobs():
    outcomes = run([job("twice", n) for n in range(5)], calls.Odd())
    again = " (so it was when it was tried again)"
    assert [outcome.failure and outcome.failure.reason for outcome in outcomes] == [
        "its executor lost it: ConnectionError: the worker is gone" + again,
        "it was cancelled" + again,
        "its executor gave back a str where the outcome of a job belongs" + again,
        None,
        None,
    ]
    assert [outcome.value for outcome in outcomes[3:]] == [6, 8]


def test_an_executor_that_takes_no_job_is_the_outcome_of_each():
    outcomes = run([job("twice", n) for n in range(3)], calls.Refusing())
    assert all("did not take it: RuntimeError: cannot schedule new" in o.failure.reason for o in outcomes)


def test_what_is_no_executor_is_refused_with_what_is_one():
    with pytest.raises(UsageError, match=r"executor=4 has no submit.*ProcessPoolExecutor"):
        run([job("twice", 1)], 4)


def test_what_a_job_prints_reads_or_forks_does_not_come_between(capfd):
    with LocalExecutor(2) as executor:
        outcomes = run([job("disturb", n) for n in range(4)], executor)
    assert [outcome.value for outcome in outcomes] == [0, 2, 4, 6]
    assert capfd.readouterr() == ("", "")


def test_a_value_or_an_argument_that_cannot_be_pickled_is_said_and_the_process_goes_on():
    with LocalExecutor(1) as executor:
        outcomes = run([job("a_lock"), job("twice", calls.a_lock()), job("twice", 1)], executor)
    assert "cannot pickle" in outcomes[0].failure.reason
    assert "cannot pickle" in outcomes[1].failure.reason
    assert outcomes[2].value == 2


def test_a_function_that_no_other_process_can_import_is_refused():
    with LocalExecutor(1) as executor, pytest.raises(UsageError, match="move it into a module of its own"):
        executor.submit(lambda: 1)
    with pytest.raises(LandscapeError, match="this executor is closed"):
        executor.submit(calls.twice, 1)
    with pytest.raises(UsageError, match="is a str, not a function"):
        function_at("tests.support.calls:__doc__")


@pytest.mark.parametrize("name", ["this process", "one process", "threads", "another's processes"])
def test_a_job_has_the_threads_that_it_is_given(name):
    before = torch.get_num_threads()
    executor = EXECUTORS[name]()
    found = run([job("threads", threads=2), job("threads", threads=3)], executor)
    if hasattr(executor, "shutdown"):
        executor.shutdown()
    assert [outcome.value[0] for outcome in found] == [2, 3]
    assert torch.get_num_threads() == before


def test_the_processes_of_a_local_executor_have_as_many_openmp_threads_as_it_says():
    with LocalExecutor(1, threads=5) as executor:
        assert executor.submit(calls.threads).result()[1] == "5"
    with torch_threads(None):
        assert torch.get_num_threads() == 1


def test_jobs_in_threads_of_one_process_take_turns():
    with ThreadPoolExecutor(4) as executor:
        assert [outcome.value for outcome in run([job("alone")] * 4, executor)] == [1] * 4


def test_a_process_forked_while_a_job_runs_here_can_do_jobs():
    read, write = os.pipe()
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(run, [job("sleep", 1.0)], ThisProcess())
        time.sleep(0.3)
        child = os.fork()
        if not child:
            signal.alarm(10)  # a lock that is never released must not hold up the test
            os.write(write, str(run([job("twice", 4)], ThisProcess())[0].value).encode())
            os._exit(0)
        os.waitpid(child, 0)
        waiting.result()
    os.close(write)
    assert os.read(read, 10) == b"8"
    os.close(read)


# --- progress ---------------------------------------------------------------------------------------------------------


class Listener:
    def __init__(self):
        self.heard = []

    def update(self, *, done, total, doing):
        self.heard.append((done, total, doing))


@pytest.mark.parametrize("name", ["this process", "one process", "three processes"])
def test_the_progress_of_jobs_is_added_up(name):
    listener, executor = Listener(), EXECUTORS[name]()
    run([job("report", 2), job("report", 4)], executor, reporter=listener)
    if hasattr(executor, "shutdown"):
        executor.shutdown()
    assert listener.heard[-1][:2] == (6, 6)
    assert len(listener.heard) == 6
    assert {doing for *_, doing in listener.heard} == {f"part {n}" for n in (1, 2, 3, 4)}


@pytest.mark.parametrize("name", ["threads", "silent"])
def test_executors_of_others_tell_which_jobs_are_done(name):
    listener, executor = Listener(), EXECUTORS[name]()
    run([job("report", 2), job("report", 4)], executor, reporter=listener)
    assert [heard[:2] for heard in listener.heard] == [(1, 2), (2, 2)]
    assert {doing for *_, doing in listener.heard} == {"report(2,)", "report(4,)"}


def test_a_job_not_begun_should_take_as_long_as_the_others():
    listener = Listener()
    total = Total(listener, 3)
    total.part(0).update(done=1, total=4, doing="a")
    total.part(2).update(done=2, total=6, doing="b")
    assert listener.heard == [(1, 12, "a"), (3, 15, "b")]


@pytest.mark.parametrize("name", ["this process", "one process", "threads"])
def test_a_reporter_that_raises_ends_the_run_with_its_error(name):
    class Broken:
        def update(self, **_):
            raise ValueError("no terminal")

    executor = EXECUTORS[name]()
    with pytest.raises(ValueError, match="no terminal"):
        run([job("report", 2)] * 3, executor, reporter=Broken())
    if hasattr(executor, "shutdown"):
        executor.shutdown()


# --- what is handed out, and when all is to stop ----------------------------------------------------------------------


def test_no_more_jobs_are_prepared_than_may_be_out_at_once():
    out = [0, 0]

    def prepare(job):
        out[0] += 1
        out[1] = max(out)
        return job

    def finished(outcome):
        out[0] -= 1

    with LocalExecutor(3) as executor:
        jobs = [job("twice", n) for n in range(9)]
        outcomes = run(jobs, executor, prepare=prepare, finished=finished, at_once=2)
    assert [outcome.value for outcome in outcomes] == [2 * n for n in range(9)]
    assert out[1] == 2


def test_a_job_that_cannot_be_prepared_is_an_outcome():
    def prepare(job):
        if job.args == (1,):
            raise FileNotFoundError(2, "No such file", "step_00000001.h5")
        return job

    outcomes = run([job("twice", n) for n in range(3)], ThisProcess(), prepare=prepare)
    assert [outcome.value for outcome in outcomes] == [0, None, 4]
    assert "No such file" in outcomes[1].failure.reason


@needs_proc
def test_where_the_caller_stops_the_processes_end_and_nothing_more_begins():
    def stop(outcome):
        raise KeyboardInterrupt

    began, before = time.monotonic(), descendants(os.getpid())
    with pytest.raises(KeyboardInterrupt), LocalExecutor(2) as executor:
        run([job("twice", 1), job("sleep", 60), job("sleep", 60), job("sleep", 60)], executor, finished=stop)
    assert time.monotonic() - began < 20
    wait_until(lambda: not alive(descendants(os.getpid()) - before))
    assert not alive(descendants(os.getpid()) - before)


def test_where_the_caller_stops_the_jobs_that_others_have_not_begun_are_cancelled(tmp_path):
    def stop(outcome):
        raise KeyboardInterrupt

    marks = [str(tmp_path / str(n)) for n in range(4)]
    with ThreadPoolExecutor(1) as executor, pytest.raises(KeyboardInterrupt):
        run([job("sleep", 0.3, mark) for mark in marks], executor, finished=stop)
    assert len(list(tmp_path.iterdir())) <= 2


#: Where tests run in the background, a shell has SIGINT ignored, which processes inherit; at a terminal it is not.
SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from landscape.jobs import Job, LocalExecutor, run
jobs = [Job(str(n), "tests.support.calls:sleep", (60, f"{sys.argv[1]}/{n}")) for n in range(4)]
with LocalExecutor(2) as executor:
    run(jobs, executor)
"""


@needs_proc
@pytest.mark.parametrize("how", ["Ctrl-C", "killed"])
def test_the_processes_end_with_the_one_that_began_them(tmp_path, how):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2], start_new_session=True,
    )  # fmt: skip
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    below = descendants(process.pid)
    assert len(alive(below)) == 2
    if how == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes
    else:
        process.kill()
    out, err = process.communicate(timeout=20)
    wait_until(lambda: not alive(below))
    assert not alive(below)
    assert len(list(tmp_path.iterdir())) == 2
    assert out == ""
    assert (err.strip().splitlines()[-1:] == ["KeyboardInterrupt"]) == (how == "Ctrl-C")


def wait_until(holds, limit=20.0):
    end = time.monotonic() + limit
    while time.monotonic() < end and not holds():
        time.sleep(0.02)
