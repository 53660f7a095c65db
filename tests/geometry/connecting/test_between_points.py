"""How high a function rises between its points: never above what is said where it bends as its values show."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import landscape as ls
from landscape.errors import UsageError
from landscape.results import Connection, LineSlice
from landscape.results.barriers import highest_between
from tests.support.landscapes import draw, network, one_dimensional


def line(loss, **fields):
    loss = np.asarray(loss, dtype=float)
    return LineSlice(np.linspace(0, 1, len(loss)), loss, "between", 1.0, "interpolation", **fields)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-5, 5), st.integers(3, 9))
@settings(max_examples=60, deadline=None)
def test_of_a_parabola_it_is_the_highest_point_of_each_interval(a, b, c, points):
    """Whose second difference is its curvature: exact where it bends downwards, above it where it bends upwards."""
    t = np.linspace(0, 1, points)

    def at(x):
        return a + b * x + c * x**2

    found = highest_between(t, at(t))
    truth = np.array([at(np.linspace(left, right, 501)).max() for left, right in itertools.pairwise(t)])
    assert (found >= truth - 1e-9).all()
    if c <= 0:
        np.testing.assert_allclose(found, truth, atol=3e-5)
    assert (found <= np.maximum(at(t)[1:], at(t)[:-1]) + abs(c) / (4 * (points - 1) ** 2) + 1e-9).all()


@pytest.mark.parametrize("points", [9, 17, 33])
def test_of_a_smooth_function_it_holds_and_is_tight(points):
    """Hills of a width of several intervals; the excess falls with the square of their length."""
    rng = np.random.default_rng(points)
    t, dense = np.linspace(0, 1, points), np.linspace(0, 1, 40 * (points - 1) + 1)
    missed, excess = [], []
    for _ in range(200):
        phases, frequencies = rng.uniform(0, 2 * np.pi, 3), rng.uniform(1, points / 3, 3)

        def at(x, phases=phases, frequencies=frequencies):
            return sum(np.sin(f * x + p) for f, p in zip(frequencies, phases, strict=True))

        found = highest_between(t, at(t)).max()
        excess.append(found - at(dense).max())
        missed.append(max(-excess[-1], 0))
    assert np.mean(np.array(missed) > 1e-12) <= 0.01
    assert max(missed) < 1e-3
    assert np.median(excess) < 0.1


def test_at_a_corner_of_the_way_no_difference_is_taken_across_it():
    """|t − ½| has slopes alone: with the corner known there is nothing between the points, else much."""
    t = np.linspace(0, 1, 9)
    kinks = t == 0.5
    values = np.abs(t - 0.5)
    np.testing.assert_allclose(highest_between(t, values, kinks=kinks), np.maximum(values[1:], values[:-1]))
    assert highest_between(t, values)[3] > values[3]


def test_what_is_not_a_number_stays_so():
    found = highest_between(np.linspace(0, 1, 9), np.array([0, 0, 0, 0, np.nan, 0, 0, 0, 0.0]))
    assert np.isnan(found[2:6]).all()
    assert np.isfinite(found[[0, 7]]).all()


def test_the_bound_of_a_networks_line_holds_on_a_grid_twenty_times_as_fine():
    for activation in (nn.Tanh, nn.ReLU):
        for seed in range(2):
            objective = network(activation, seed=seed)
            a, b = draw(objective.layout.size, seed=seed), draw(objective.layout.size, seed=seed + 10)
            coarse, fine = (ls.interpolate(objective, a, b, points=points) for points in (13, 241))
            assert coarse.barrier <= fine.barrier <= coarse.barrier_bound
            assert coarse.barrier_bound - coarse.barrier < 0.2 * np.ptp(fine.loss)


def test_barriers_in_other_units():
    """By hand: L = 2, 5, 4 over the chord 2, 3, 4 rises by 2, of a mean of 3."""
    values = np.array([[0.9, 0.5, 0.7], [1.0, 1.0, 3.0], [1.0, 4.0, 1.0]])
    names = ("accuracy", "test", "norm")
    loss = line([2.0, 5.0, 4.0], metric_names=names, metric_values=values, metric_losses=names[1:2])
    assert loss.barrier == loss.barrier_of("loss") == 2
    assert loss.relative_barrier == pytest.approx(2 / 3)
    assert loss.barrier_of("accuracy") == pytest.approx(0.3)  # 0.8 on the chord
    assert loss.error_barrier() == pytest.approx(0.5 - 0.2)  # largest error 0.5, mean of 0.1 and 0.3
    assert loss.barrier_of("test") == 0
    assert loss.barrier_of("test", worse="lower") == 1
    assert loss.barrier_of("norm", worse="higher") == 3
    lower = replace(loss, metric_values=np.array([[0.9, 0.9, 0.5], [1, 1, 3], [1, 4, 1]]))
    assert lower.error_barrier() == pytest.approx(0.5 - 0.3)  # at an end, where the chord has no barrier
    assert lower.barrier_of("accuracy") == 0


def test_a_barrier_of_something_else_is_refused():
    found = line([2.0, 5.0, 4.0])
    with pytest.raises(UsageError, match="no metric 'accuracy'"):
        found.error_barrier()
    with pytest.raises(UsageError, match="'loss' is a loss"):
        found.error_barrier("loss")
    with pytest.raises(UsageError, match="worse='more' is not one of"):
        found.barrier_of("loss", worse="more")
    leaving = replace(found, kind="direction")
    for ask in (lambda: leaving.barrier, lambda: leaving.barrier_bound, lambda: leaving.relative_barrier,
                lambda: leaving.barrier_of("loss"), leaving.error_barrier):  # fmt: skip
        with pytest.raises(UsageError, match="a barrier lies between two minima"):
            ask()


def test_a_barrier_over_ends_of_loss_zero_has_no_relative_size():
    assert line([0.0, 1.0, 0.0]).relative_barrier == np.inf
    assert np.isnan(line([0.0, 0.0, 0.0]).relative_barrier)


def test_the_length_of_a_curve_is_that_of_its_chords():
    """A polygon through (0,0), (1,1), (2,0): 2√2. A parabola y = x(2 − x)/2·…: by quadrature of its speed."""
    control = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]])
    found = Connection(
        np.linspace(0, 1, 5), np.zeros(5), np.zeros(5), control, "polygon", np.zeros(2), np.zeros(1), 1.0, 10, "adam"
    )
    assert found.length == pytest.approx(2 * np.sqrt(2), rel=1e-12)
    assert found.distance == 2
    t = (np.arange(100_000) + 0.5) / 100_000
    speed = np.hypot(2.0, 2 * (1 - 2 * t))  # of the Bézier curve (2t, 2t(1 − t))
    assert replace(found, curve="bezier").length == pytest.approx(speed.mean(), rel=1e-5)
    np.testing.assert_allclose(found.at(0.25), [0.5, 0.5])
    np.testing.assert_allclose(replace(found, curve="bezier").at(0.25), [0.5, 0.375])


def test_a_double_well_has_its_hill_and_the_bound_reaches_over_it():
    objective = one_dimensional(lambda w: (w**2 - 1) ** 2)
    found = ls.interpolate(objective, np.array([-1.0]), torch.tensor([1.0]), points=8)  # no point at the top
    assert found.barrier < 1 <= found.barrier_bound < 1.2
