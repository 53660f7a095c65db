"""One rule for every executor: what was lost is tried once more, and then has a reason; what raised is not."""

from __future__ import annotations

import pickle

import pytest

from landscape.errors import LandscapeError
from landscape.jobs import Job, LocalExecutor, ProcessDied, local, run, running
from landscape.jobs.executor import Abandoned
from tests.support import calls
from tests.support.processes import spawning


def job(name, *args):
    return Job(f"{name}{args}", f"tests.support.calls:{name}", args)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(running, "POLL_EVERY", 0.01)


@pytest.mark.parametrize("silent", [False, True])
def test_where_every_third_future_is_lost_every_job_has_its_value(silent):
    executor = calls.Losing(lambda number: number % 3 == 2, silent=silent)
    outcomes = run([job("twice", n) for n in range(20)], executor)
    assert [outcome.value for outcome in outcomes] == [2 * n for n in range(20)]
    assert [outcome.failure for outcome in outcomes] == [None] * 20
    assert max(executor.given.count(f"twice({n},)") for n in range(20)) == 2


def test_what_is_lost_twice_has_both_reasons_and_costs_no_other_job():
    executor, seen = calls.Losing(lambda number: executor.given[number] == "twice(1,)"), []
    outcomes = run([job("twice", n) for n in range(4)], executor, finished=seen.append)
    assert [outcome.value for outcome in outcomes] == [0, None, 4, 6]
    assert executor.given.count("twice(1,)") == 2
    assert outcomes[1].failure.kind == "lost"
    assert outcomes[1].failure.reason == (
        "its executor lost it: ConnectionError: the worker is gone (so it was when it was tried again)"
    )
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("error", "times", "kind"),
    [
        (ProcessDied("its node failed"), 2, "died"),
        (Abandoned("four died in turn"), 1, "died"),
        (LandscapeError("it could not be begun there"), 1, "raised"),
        (pickle.PicklingError("cannot pickle a lock"), 1, "lost"),
        (ModuleNotFoundError("No module named 'landscape'"), 1, "lost"),
        (TimeoutError("no heartbeat"), 2, "lost"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_would_go_wrong_anywhere_is_not_tried_again(error, times, kind):
    executor = calls.Losing(lambda number: True, error)
    (outcome,) = run([job("twice", 1)], executor)
    assert len(executor.given) == times
    assert outcome.failure.kind == kind
    assert str(error) in outcome.failure.reason


def test_what_a_job_raises_is_not_tried_again():
    executor = calls.Losing(lambda number: False)
    (outcome,) = run([job("divide", 1)], executor)
    assert executor.given == ["divide(1,)"]
    assert outcome.failure.kind == "raised"


def test_a_process_that_dies_under_a_job_has_it_tried_in_another(tmp_path):
    with LocalExecutor(1) as executor:
        first, second = run([job("die_once", str(tmp_path / "mark")), job("twice", 1)], executor)
    assert (first.value, first.failure, second.value) == ("alive", None, 2)


def test_a_pool_of_others_that_takes_no_more_says_why_each_job_was_lost():
    with spawning(1) as executor:
        (outcome,) = run([job("kill")], executor)
    assert outcome.failure.reason.startswith("its executor lost it: BrokenProcessPool: ")
    assert "; then its executor did not take it: BrokenProcessPool: " in outcome.failure.reason


def test_a_job_that_is_tried_again_carries_what_is_there_by_then():
    executor, made = calls.Losing(lambda number: number == 0), []

    def prepare(asked):
        made.append(asked)
        return Job(asked.name, asked.function, (len(made),))

    (outcome,) = run([job("twice", 0)], executor, prepare=prepare)
    assert outcome.value == 4


def test_no_more_jobs_are_out_than_an_executor_wants():
    out = [0, 0]

    class Narrow(calls.Silent):
        at_once = 2

        def submit(self, function, *args):
            out[0] += 1
            out[1] = max(out)
            return super().submit(function, *args)

    def finished(outcome):
        out[0] -= 1

    assert [o.value for o in run([job("twice", n) for n in range(6)], Narrow(), finished=finished)] == [
        0, 2, 4, 6, 8, 10,
    ]  # fmt: skip
    assert out[1] == 2


def test_a_future_whose_word_does_not_come_is_asked(monkeypatch):
    """As where a connection is gone, and its callbacks with it."""
    monkeypatch.setattr(running, "ASK_ALL_EVERY", 0.05)

    class Mute(calls.SilentFuture):
        def add_done_callback(self, function):
            pass

    class Connected:
        def submit(self, function, *args):
            return Mute(function, args)

    assert [o.value for o in run([job("twice", n) for n in range(3)], Connected())] == [0, 2, 4]


def test_a_process_that_cannot_be_started_costs_no_job_where_others_can(monkeypatch):
    started = []

    class Scarce(local.WorkerProcess):
        def __init__(self, *args):
            started.append(None)
            if len(started) >= 2:
                raise BlockingIOError(11, "Resource temporarily unavailable")
            super().__init__(*args)

    monkeypatch.setattr(local, "WorkerProcess", Scarce)
    with LocalExecutor(2) as executor:
        outcomes = run([job("sleep", 0.5), *(job("twice", n) for n in range(4))], executor)
    assert [outcome.failure for outcome in outcomes] == [None] * 5
    with LocalExecutor(2) as executor:
        (outcome,) = run([job("twice", 1)], executor)
    assert outcome.failure.reason.startswith("no process could be started to work in")
