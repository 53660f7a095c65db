"""When the monitor measures: by a clock that the test turns."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

import landscape as ls
from landscape.monitoring.budget import LONGEST_PAUSE, Stopwatch
from tests.support.loops import ByHand, linear

X = torch.arange(12.0).reshape(6, 2).sin()


def watched(cost, clock, **options):
    """A monitor whose one measure takes ``cost()`` seconds by the clock."""

    def slow(objective):
        clock.now += cost()
        return 1.0

    model = linear(2, 1)
    data = (X, X.sum(1, keepdim=True))
    return ls.Monitor(model, torch.nn.functional.mse_loss, data, measures=[slow], clock=clock, **options)


def steps_measured(monitor, clock, steps, seconds=1.0):
    found = []
    for step in range(1, steps + 1):
        clock.now += seconds
        if monitor.step() is not None:
            found.append(step)
    return found


@pytest.mark.parametrize("budget", [0.02, 0.1])
def test_a_measurement_comes_when_the_training_has_paid_for_it(budget):
    """Each takes 2 s and a step 1 s: they come 2/budget steps apart."""
    clock = ByHand()
    monitor = watched(lambda: 2.0, clock, budget=budget)
    found = steps_measured(monitor, clock, 1000)
    assert monitor.share <= budget
    assert monitor.share >= 0.75 * budget
    assert {b - a for a, b in pairwise(found[2:])} == {round(2 / budget)}


def test_costs_that_vary_keep_the_share():
    clock = ByHand()
    costs = iter([1.0, 6.0, 1.0, 1.0, 6.0, 2.0] * 100)
    monitor = watched(lambda: next(costs), clock)
    steps_measured(monitor, clock, 20_000)
    assert len(monitor.history) > 50
    assert monitor.share <= 0.02
    assert monitor.history[-1]["landscape/share"] <= 0.02


def test_every_is_the_fewest_steps_between_two():
    clock = ByHand()
    monitor = watched(lambda: 0.0, clock, every=7)
    assert steps_measured(monitor, clock, 30) == [1, 8, 15, 22, 29]


def test_a_night_in_a_notebook_is_no_training_time():
    """Nor does it pay for measurements: it counts as ten steps."""
    clock = ByHand()
    watch = Stopwatch(clock)
    watch.start()
    for seconds in [1.0] * 10 + [36_000.0] + [1.0] * 10:
        clock.now += seconds
        with watch.inside(after_a_step=True):
            clock.now += 0.1
    assert watch.trained == pytest.approx(20 + LONGEST_PAUSE)
    assert watch.spent == pytest.approx(2.1)


def test_what_is_asked_for_out_of_turn_is_paid_for_later():
    clock = ByHand()
    monitor = watched(lambda: 2.0, clock)
    monitor.measure()
    found = steps_measured(monitor, clock, 500)
    assert found[0] >= 200
    assert monitor.share <= 0.02


def test_what_log_gets_are_plain_numbers():
    clock, got = ByHand(), []
    monitor = watched(lambda: 0.0, clock, log=got.append)
    steps_measured(monitor, clock, 2)
    assert got == monitor.history
    assert got[0]["step"] == 1
    assert got[0]["landscape/slow"] == 1.0
    assert {type(value) for value in got[0].values()} <= {int, float}


def test_wrong_arguments_are_refused():
    data = (X, X.sum(1, keepdim=True))
    model = linear(2, 1)
    with pytest.raises(ls.UsageError, match="budget=2 must lie between 0 and 1: 0.02, not 2"):
        ls.Monitor(model, torch.nn.functional.mse_loss, data, budget=2)
    with pytest.raises(ls.UsageError, match="measures='lambda' is not one of 'lambda_max', 'trace'"):
        ls.Monitor(model, torch.nn.functional.mse_loss, data, measures=["lambda"])
    with pytest.raises(ls.UsageError, match="leaves nothing to measure"):
        ls.Monitor(model, torch.nn.functional.mse_loss, data, measures=[])
    with pytest.raises(ls.UsageError, match="pass an Objective, or model, loss_fn and data"):
        ls.Monitor(model)
    objective = ls.Objective(model, torch.nn.functional.mse_loss, data)
    with pytest.raises(ls.UsageError, match="an Objective has its loss and data"):
        ls.Monitor(objective, torch.nn.functional.mse_loss)
