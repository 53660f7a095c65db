"""The line between two points: its ends as given, the barrier above the chord, and what it needs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from landscape.errors import UsageError
from landscape.geometry import interpolate
from landscape.objective import Objective
from tests.support.classified import classified
from tests.support.landscapes import Quadratic, draw, network, one_dimensional


def test_the_barrier_of_a_double_well_is_its_hill():
    """L = (w² − 1)² has minima at ±1 and height 1 between them; tilted by 0.1·w, the chord falls with it."""
    for tilt in (0.0, 0.1):
        objective = one_dimensional(lambda w, tilt=tilt: (w**2 - 1) ** 2 + tilt * w)
        line = interpolate(objective, np.array([-1.0]), np.array([1.0]), points=5)
        np.testing.assert_allclose(line.t, [0, 0.25, 0.5, 0.75, 1])
        np.testing.assert_allclose(line.loss, [-tilt, 0.5625 - tilt / 2, 1, 0.5625 + tilt / 2, tilt], atol=1e-15)
        assert line.barrier == pytest.approx(1.0)
        assert line.step_norm == pytest.approx(2.0)
        assert line.kind == "interpolation"


def test_the_ends_of_an_interpolation_are_evaluated_as_given():
    objective = network(nn.Tanh, dtype=torch.float32)
    a, b = draw(objective.layout.size, seed=1).float(), 1e3 * draw(objective.layout.size, seed=2).float()
    line = interpolate(objective, a, b.numpy(), points=7)
    assert line.loss[0] == objective.loss(a)
    assert line.loss[-1] == objective.loss(b)
    middle = interpolate(objective, b, a, points=7).loss[::-1]
    np.testing.assert_allclose(line.loss, middle, rtol=1e-5)


def test_between_a_point_and_itself_there_is_no_barrier():
    objective = Quadratic().objective
    line = interpolate(objective, objective.theta, objective.theta, points=3)
    assert line.barrier == pytest.approx(0, abs=1e-15)
    assert line.step_norm == 0


def test_nan_between_the_ends_makes_the_barrier_nan():
    line = interpolate(one_dimensional(lambda w: torch.log(w.abs() - 0.5)), np.array([-1.0]), np.array([1.0]), points=5)
    assert np.isnan(line.loss).tolist() == [False, False, True, False, False]
    assert np.isnan(line.barrier)


@pytest.mark.parametrize("points", [2, 0, 2.5])
def test_an_interpolation_needs_something_between_its_ends(points):
    with pytest.raises(UsageError, match="at least 3"):
        interpolate(Quadratic().objective, np.zeros(4), np.ones(4), points=points)


def test_an_end_of_another_shape_is_refused():
    with pytest.raises(UsageError, match=r"θ has shape \(4,\)"):
        interpolate(Quadratic().objective, np.zeros(4), np.ones(3))


def trained_pair():
    """Two trainings of one network from two starts, on 600 examples."""
    objectives = []
    for seed in (0, 1):
        objective = classified("end", N=600, width=8, seed=0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            theta = objective.theta + 0.3 * torch.randn_like(objective.theta)
        objectives.append(theta)
    return objective, *objectives


def test_with_a_tolerance_few_points_are_evaluated_the_ends_exactly_and_the_error_holds():
    objective, a, b = trained_pair()
    exact = interpolate(objective, a, b, points=41)
    line = interpolate(objective, a, b, points=41, tol=0.02)
    assert line.num_evaluations < 20 < 41 == exact.num_evaluations
    assert line.loss[0] == exact.loss[0]
    assert line.loss[-1] == exact.loss[-1]
    np.testing.assert_array_equal(line.t, exact.t)
    apart = np.abs(line.loss - exact.loss).max()
    assert 0 < apart <= line.error <= 0.02 * np.ptp(exact.loss)
    assert line.barrier == pytest.approx(exact.barrier, abs=2 * line.error)


def test_where_statistics_move_too_every_point_is_evaluated_and_it_says_why():
    def built():
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))

    data = draw(60, 3).float(), torch.arange(60) % 2
    ends = []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = built()
            model.train()(data[0] * (1 + seed))
        ends.append(Objective(model.eval(), nn.functional.cross_entropy, data))
    line, exact = (interpolate(*ends, points=21, tol=tol) for tol in (0.05, None))
    np.testing.assert_array_equal(line.loss, exact.loss)
    assert line.reason == "every point was evaluated: statistics or other buffers move too"
    assert (line.num_evaluations, line.error, exact.reason) == (21, 0.0, "")
