"""What is called a minimum is one, on quadratics where it is known by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from landscape.results import Eigenpairs, PointValue, SecondOrderGain, StepHistory
from landscape.store.stationarity import MINIMUM, SADDLE, SLOPE, UNKNOWN, kinds_sentence, stationary


def at(loss, gradient, eigenvalues, *, gain=None):
    """A checkpoint with these numbers; both ends of the spectrum."""
    values = np.array(eigenvalues, dtype=float)
    pairs = Eigenpairs(values, np.empty((9, 0)), 1e-9 * np.ones(len(values)), np.ones(len(values), bool), 9, "done",
                       "both", "lanczos", 1e-3, 0, 9)  # fmt: skip
    records = {"point": PointValue(loss, gradient, 1.0), "eigenpairs": pairs}
    records |= {} if gain is None else {"second_order_gain": SecondOrderGain(1.0, over_one_step=gain)}
    return SimpleNamespace(step=1, metrics={}, records=records, not_converged=())


def test_a_bowl_is_a_minimum_at_its_floor_and_not_on_its_wall():
    """½·4·x² + 1: at x the gradient is 4x, and a Newton step promises 2x²."""
    assert stationary(at(1.0 + 2 * 0.01**2, 0.04, [4.0, 1.0])).kind == MINIMUM
    wall = stationary(at(1.0 + 2 * 0.5**2, 2.0, [4.0, 1.0]))
    assert wall.kind == SLOPE
    assert wall.left == pytest.approx(2 * 0.5**2 / 1.5)


def test_a_flat_direction_with_far_to_go_counts_by_what_newton_s_step_promises():
    """Gradient 0.01 along a curvature of 1e-4: a gradient step promises 5e-6 of the loss, Newton's step half of it."""
    assert stationary(at(1.0, 0.01, [10.0, 1e-4])).left == pytest.approx(5e-6)
    found = stationary(at(1.0, 0.01, [10.0, 1e-4], gain=1e5))
    assert found.left == pytest.approx(0.5)
    assert found.kind == SLOPE


def test_negative_curvature_beyond_rounding_is_a_saddle():
    assert stationary(at(1.0, 1e-6, [4.0, -1.0])).kind == SADDLE
    assert stationary(at(1.0, 1e-6, [4.0, -1e-5])).kind == MINIMUM


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_a_factor_on_the_loss_changes_no_verdict(factor):
    for loss, gradient, values in ((1.0, 0.04, [4.0, 1.0]), (1.0, 2.0, [4.0, 1.0]), (1.0, 1e-6, [4.0, -1.0])):
        scaled = at(factor * loss, factor * gradient, [factor * v for v in values])
        assert stationary(scaled).kind == stationary(at(loss, gradient, values)).kind


def test_without_the_numbers_nothing_is_claimed():
    assert stationary(SimpleNamespace(step=1, metrics={}, records={})).kind == UNKNOWN
    assert kinds_sentence([SimpleNamespace(step=1, metrics={}, records={})]) == ""


def test_the_sentence_counts_them():
    points = [at(1.0, 1e-6, [4.0, 1.0]), at(1.0, 1e-6, [4.0, -1.0]), at(1.0, 2.0, [4.0, 1.0])]
    assert kinds_sentence(points) == (
        "1 of 3 end points is a minimum, 1 still has negative curvature (λ_min down to -0.2 λ_max), at 1 training "
        "stopped on the way (a step promises up to 50 % of the loss by the quadratic model)."
    )


def test_a_loss_that_goes_to_zero_is_at_its_floor_once_a_hundred_millionth_of_the_first_is_left():
    """½·4·x² with nothing below it: a Newton step promises all of the loss at every x, however small."""
    history = StepHistory(("loss",), np.arange(1, 3), np.array([[8.0, 2.0]]))
    for x, kind in ((1e-3, SLOPE), (1e-5, MINIMUM)):
        one = at(2 * x**2, 4 * x, [4.0, 1.0])
        assert stationary(one).kind == SLOPE
        one.records["history"] = history
        assert stationary(one).kind == kind
        assert stationary(one).left == pytest.approx(1.0)
