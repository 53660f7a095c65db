"""Measuring on a time: coarse first, then finer; nothing is begun that does not fit; what there is is always valid."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

import landscape as ls
from landscape import tables
from landscape.analysis import clock, measuring, pipeline, rounds
from landscape.analysis.clock import Clock
from landscape.analysis.costs import Cost
from landscape.analysis.recording import cost_of
from landscape.cli.app import exit_status
from landscape.store import rows
from tests.support.command_line import typed
from tests.support.runs import SMALL, make_runs

PLAN = ls.Plan(**{
    **SMALL.fields(), "last": 2, "barriers": 0, "trace_probes": None, "tol": None, "max_matvecs": 2000,
    "accuracy": None, "time": 1000,
})  # fmt: skip
#: A second a product.
RATE = Cost(1.0, 0.5, 1 / 6)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return make_runs(tmp_path_factory.mktemp("runs"))


class World:
    """A clock that goes by what is measured, and notes of it."""

    def __init__(self, monkeypatch):
        self.seconds, self.measured, self.states = 0.0, [], []
        original, written = measuring.measure, pipeline._Analysis.written

        def measure(store, run, step, quantity, key, context, clock):
            before, left = self.seconds, context.affordable
            record = original(store, run, step, quantity, key, context, clock)
            spent = cost_of(record).products or quantity.cost.products
            self.seconds += spent
            self.measured.append((before, run, step, quantity.name, context.plan.accuracy, spent, left))
            return record

        def noting(analysis):
            path = written(analysis)
            self.states.append((self.seconds, rows(ls.load_results(path))))
            return path

        monkeypatch.setattr(measuring, "measure", measure)
        monkeypatch.setattr(pipeline._Analysis, "written", noting)
        monkeypatch.setattr(pipeline, "write_report", lambda results: None)
        for module in (rounds, pipeline):
            monkeypatch.setattr(module, "now", lambda: self.seconds)
        monkeypatch.setattr(Clock, "calibrate", lambda clock, context: setattr(clock, "seconds_per", RATE))
        monkeypatch.setattr(Clock, "guess", lambda clock, *sizes: setattr(clock, "seconds_per", RATE))
        monkeypatch.setattr(Clock, "learn", lambda clock, cost, seconds: None)
        monkeypatch.setattr(Clock, "hear", lambda clock, run, text, share=0.0: clock.show(f"{run}  {text}"))


@pytest.fixture
def world(runs, tmp_path, monkeypatch):
    found = World(monkeypatch)
    found.folder = shutil.copytree(runs, tmp_path / "runs")
    return found


def error_of(row):
    return row["trace_sem"] / abs(row["trace"])


def test_what_happens_once_in_the_first_chunk_is_not_taken_for_the_time_of_all(monkeypatch):
    """Ten seconds until the first hundredth is done, then a tenth of a second for each: ten seconds in all."""
    seconds, said = [0.0], []
    monkeypatch.setattr(clock.time, "perf_counter", lambda: seconds[0])
    timed = Clock(SimpleNamespace(update=lambda doing, **kw: said.append(doing)), left=Cost(losses=6))
    timed.hear("run", "all examples")
    for done in range(1, 101):
        seconds[0] = 10 + 0.1 * (done - 1)
        timed.hear("run", "all examples", done / 100)
    assert timed.seconds_per.losses == pytest.approx(10)
    assert next(text for text in said if "expected" in text).startswith("run  expected: about 60 s")


def test_rounds_go_down_to_what_is_asked_or_to_one_per_cent():
    assert rounds.accuracies(ls.Plan(time=60)) == (0.2, 0.1, 0.05, 0.02, 0.01)
    assert rounds.accuracies(ls.Plan(time=60, accuracy=0.05)) == (0.2, 0.1, 0.05)
    assert rounds.accuracies(ls.Plan(time=60, accuracy=0.3)) == (0.3,)
    assert rounds.accuracies(ls.Plan(time=60, accuracy=0.001))[-2:] == (0.01, 0.001)


def test_the_time_left_belongs_to_the_runs_that_are_not_done(monkeypatch):
    monkeypatch.setattr(rounds, "now", lambda: 40.0)
    shares = [rounds.Round(100.0, i, 4, at_once, True, False).begin().left for i in range(4) for at_once in (1, 2)]
    assert shares == pytest.approx([15, 30, 20, 40, 30, 60, 60, 60])


@pytest.fixture(scope="module")
def enough(runs, tmp_path_factory):
    """An analysis that had time for all its rounds, of two runs."""
    with pytest.MonkeyPatch.context() as patch:
        found = World(patch)
        found.folder = shutil.copytree(runs, tmp_path_factory.mktemp("enough") / "runs")
        for name in ("adam-s1", "sgd-s1"):
            shutil.rmtree(found.folder / name)
        ls.analyze(found.folder, replace(PLAN, time=6000, accuracy=0.03))
        yield found


def test_errors_shrink_from_round_to_round_and_every_table_is_whole(enough):
    assert len(enough.states) == 4
    finals = [[row for row in found if row["step"] == 3] for _, found in enough.states]
    assert all(len(final) == 2 and all(row["lambda_max"] and row["trace"] for row in final) for final in finals)
    for earlier, later in pairwise(finals):
        for a, b in zip(earlier, later, strict=True):
            assert error_of(b) <= error_of(a)
    assert max(map(error_of, finals[-1])) < 0.03 / 1.95 < max(map(error_of, finals[0]))
    assert exit_status(ls.load_results(enough.folder)) == 0


def test_every_run_is_measured_coarsely_before_any_is_measured_well(enough):
    by_round = [accuracy for *_, accuracy, _, _ in enough.measured]
    assert by_round == sorted(by_round, reverse=True)
    first = {run for _, run, _, name, accuracy, _, _ in enough.measured if (name, accuracy) == ("trace", 0.2)}
    assert first == {"adam-s0", "sgd-s0"}


def test_what_is_good_enough_is_left_alone(enough):
    counted = [name for _, run, step, name, *_ in enough.measured if (run, step) == ("sgd-s0", 3)]
    for name in ("point", "plane", "density", "sharpness_worst", "line_random_0", "second_order_gain"):
        assert counted.count(name) == 1, name
    assert 1 < counted.count("trace") <= 4
    before = len(enough.measured)
    ls.analyze(enough.folder, replace(PLAN, time=6000, accuracy=0.03))
    assert len(enough.measured) == before


def test_what_rounds_repeat_is_about_the_last_of_them_at_most(enough):
    """Each round begins again, with four times the work or so, and a pilot, which is most of it on few examples."""
    for run in ("adam-s0", "sgd-s0"):
        spent = [cost for _, of, step, name, _, cost, _ in enough.measured if (of, step, name) == (run, 3, "trace")]
        assert sum(spent[:-1]) <= 1.25 * spent[-1]


@pytest.mark.parametrize("budget", [150, 400, 1000])
def test_nothing_is_begun_that_does_not_fit_and_what_was_not_is_named(world, budget):
    ls.analyze(world.folder, replace(PLAN, time=budget))
    assert world.seconds <= 1.05 * budget  # an iteration ends at whole blocks
    results = ls.load_results(world.folder)
    assert {run.name for run in results.runs if "eigenpairs" in run.last.records} == {
        "adam-s0", "adam-s1", "sgd-s0", "sgd-s1",
    }  # fmt: skip
    named = [entry for entry in results.info["skipped"] if entry["reason"].startswith("not begun: it needs about")]
    for run in results.runs:
        there = {*run.last.records}
        left_out = {e["file"].rpartition(": ")[2] for e in named if e["file"].startswith(f"{run.name}/step_00000003")}
        assert not there & left_out
        assert {"trace", "plane", "density", "sharpness_worst"} <= there | left_out
    assert (exit_status(results) == 1) == bool(named or any(run.last.not_converged for run in results.runs))


@pytest.mark.parametrize(("accuracy", "limit"), [(0.02, 60), (0.01, 100)])
def test_an_accuracy_that_was_asked_for_with_the_time_and_not_reached_is_said(world, accuracy, limit):
    """Also where the last round finds nothing better than the one before, which ended on the same limit."""
    ls.analyze(world.folder, replace(PLAN, time=6000, accuracy=accuracy, max_matvecs=limit))
    results = ls.load_results(world.folder)
    lines = [line for line in tables.caption_lines(results) if line.startswith("* ") and "trace ±" in line]
    assert len(lines) == 4
    assert exit_status(results) == 1


def test_what_ended_on_its_limit_of_products_is_not_tried_again(world):
    ls.analyze(world.folder, replace(PLAN, time=6000, last=1, max_matvecs=60))
    spent = [cost for _, run, _, name, _, cost, _ in world.measured if (run, name) == ("sgd-s0", "trace")]
    assert sum(cost > 50 for cost in spent) == 1  # whole samples leave something of the limit
    assert 50 < spent[-1] <= 60


SCRIPT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from landscape.analysis import measuring
original = measuring.measure
def measure(store, run, step, quantity, key, context, clock):
    if context.plan.accuracy < 0.1:  # in the middle of a later round
        Path("begun").touch()
        time.sleep(60)
    return original(store, run, step, quantity, key, context, clock)
measuring.measure = measure
from landscape.cli import main
main()
"""


@pytest.mark.slow
def test_an_interrupt_in_a_later_round_leaves_table_and_report_of_what_there_is(runs, tmp_path):
    folder = shutil.copytree(runs, tmp_path / "runs")
    options = typed({n: v for n, v in PLAN.fields().items() if n not in ("time", "check", "mode")})
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "analyze", str(folder), *options, "--time", "10m"], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    end = time.monotonic() + 300
    while not (tmp_path / "begun").exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    assert process.poll() is None, process.communicate()[1]
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "kept and drawn" in err
    assert (folder / "report.html").exists()
    assert (folder / "tables" / "summary.csv").exists() or (folder / "summary.csv").exists()
    found = [row for row in rows(ls.load_results(folder)) if row["step"] == 3]
    assert len(found) == 4
    assert all(error_of(row) < 0.1 for row in found)
    json.dumps(found, allow_nan=False)
    assert not list(folder.glob("results.h5.parts/*"))
