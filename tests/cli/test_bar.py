"""The bar moves from the first second, as expected, and what is expected is said once."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

import landscape as ls
from landscape import progress_bar
from landscape.analysis import pipeline
from landscape.analysis.clock import Clock, expectation, expected_in
from landscape.analysis.costs import Cost
from landscape.progress_bar import BarReporter, MovingBar, MovingShare, shown
from tests.support.runs import SMALL, save_run


def test_between_two_reports_the_bar_goes_at_the_pace_expected_and_stays_before_the_end():
    at = np.array([shown(10, 70, seconds) for seconds in np.linspace(0, 600, 200)])
    assert at[0] == 10
    assert np.all(np.diff(at) > 0)
    assert at[-1] < 70
    assert shown(10, 70, 2) == pytest.approx(12, abs=0.05)
    assert shown(5, None, 100) == 5


def test_what_is_drawn_moves_without_a_report(monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr(progress_bar.time, "perf_counter", lambda: seconds[0])
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    bar = Progress(MovingBar(24), MovingShare(), console=console, auto_refresh=False)
    reporter = BarReporter(bar, bar.add_task("analyze", total=None, doing="", left="", at=0.0))
    reporter.update(done=0.0, total=20.0, doing="checking")

    def share():
        return int(str(MovingShare().render(bar.tasks[0])).split()[0])

    assert share() == 0
    seconds[0] = 2.0
    assert share() == 10
    assert MovingBar(24).render(bar.tasks[0]).completed == pytest.approx(1.9, abs=0.1)
    reporter.update(done=12.0, total=20.0, doing="trace")
    assert share() == 60


def test_a_clock_never_goes_back_whatever_it_learns():
    reports = []

    class Listener:
        def update(self, *, done, total, doing):
            reports.append((done, total))

    clock = Clock(Listener(), left=Cost(matvecs=100, gradients=10))
    clock.guess(29_000_000, 1000)
    clock.show("checking")
    guessed = reports[-1][1]
    assert guessed == pytest.approx(210 * 6 * 29e6 * 1000 / 2e10)
    clock.show("eigenpairs", ahead=0.5 * guessed)
    clock.learn(Cost(matvecs=50), 10.0)
    clock.finish(Cost(matvecs=50))
    clock.show("trace")
    clock.finish(Cost(matvecs=50), skipped=True)
    clock.finish(Cost(gradients=10))
    clock.show("end")
    dones = [done for done, _ in reports]
    assert dones == sorted(dones)
    assert reports[-1][0] == pytest.approx(reports[-1][1])


def test_time_and_memory_are_said_once_and_the_first_report_comes_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "write_report", lambda results: None)
    for seed in (0, 1):
        save_run(tmp_path / "runs" / f"sgd-s{seed}", optimizer="sgd", seed=seed)
    said, doing = [], []

    class Listener:
        def update(self, *, done, total, **rest):
            doing.append(rest["doing"])

    ls.analyze(tmp_path / "runs", SMALL, reporter=Listener(), say=said.append)
    assert len(said) == 1
    assert said[0].startswith("expected: about ")
    assert doing[0] == "reading checkpoints"
    phases = [text.split("  ", 1)[1] for text in doing if text.startswith("sgd-s0")]
    begun = ["reading", "checking the loss", "reading the data", "checking derivatives", "planning"]
    assert [phase for phase in phases if phase in begun][:5] == begun


def test_a_part_of_a_long_loss_says_what_all_should_take(monkeypatch):
    now, doing = [0.0], []

    class Listener:
        def update(self, **rest):
            doing.append(rest["doing"])

    monkeypatch.setattr("landscape.analysis.clock.time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr("landscape.analysis.clock.used_so_far", lambda device: 3e8)
    clock = Clock(Listener(), left=Cost(matvecs=10, gradients=2, losses=4))
    clock.guess(10**6, 100)
    clock.hear("a", "evaluating")
    now[0] = 7.0
    clock.hear("a", "evaluating", 0.1)  # with what happens once
    now[0] = 9.0
    clock.hear("a", "evaluating", 0.2)  # a loss of 20 s, a gradient of 60, a product of 120
    assert clock.expected(clock.left) == pytest.approx(1400)
    assert doing[2] == "a  expected: about 1400 s, 416 MB"  # and 24 products, a vector of 4 MB each, and five beside
    now[0] = 10.0
    clock.hear("a", "evaluating", 0.3)
    assert clock.expected(clock.left) == pytest.approx(1050)
    assert [text for text in doing if "expected" in text] == doing[2:3]


def test_a_short_loss_leaves_it_to_what_is_timed_later(monkeypatch):
    now, doing = [0.0], []
    reporter = SimpleNamespace(update=lambda **rest: doing.append(rest["doing"]))
    monkeypatch.setattr("landscape.analysis.clock.time", SimpleNamespace(perf_counter=lambda: now[0]))
    clock = Clock(reporter, left=Cost(matvecs=10))
    clock.hear("a", "evaluating")
    now[0] = 0.1
    clock.hear("a", "evaluating", 0.5)
    assert doing == ["a  evaluating"] * 2


def test_what_is_expected_of_all_runs_is_that_of_one_times_their_number():
    line = expectation(100.4, 1.5e9)
    assert expected_in(f"sgd-s0  {line}", jobs=6, at_once=1) == "expected: about 10 min, 1.5 GB"
    assert expected_in(f"sgd-s0  {line}", jobs=6, at_once=3) == "expected: about 3 min, 4.5 GB"
