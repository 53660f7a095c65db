"""Keskar's ε-sharpness: the highest loss in a box, in per cent of 1 + L."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from landscape.errors import ObjectiveError, UsageError
from landscape.geometry import sharpness
from landscape.objective import Objective
from tests.support.landscapes import LeastSquares, of_point, two_layers


@pytest.mark.parametrize("epsilon", [None, 5e-4, 0.3])
def test_at_the_minimum_of_a_diagonal_quadratic_it_is_its_value_at_any_corner_of_the_box(epsilon):
    """½ Σ H_ii ε²(|θ_i| + 1)², with L = 0 there."""
    problem = LeastSquares(diagonal=True)
    sides = (1e-3 if epsilon is None else epsilon) * (problem.minimum.abs().numpy() + 1)
    result = sharpness(problem.objective, measure="keskar", rho=epsilon, theta=problem.minimum)
    assert result.value == pytest.approx(100 * float(problem.hessian.diagonal() @ sides**2) / 2, rel=1e-9)
    assert result.rho == (1e-3 if epsilon is None else epsilon)
    assert result.p == math.inf


@pytest.mark.parametrize("seed", range(3))
def test_away_from_the_minimum_it_is_the_corner_uphill_over_one_plus_the_loss(seed):
    """Each coordinate by itself: |g_i| s_i + ½ H_ii s_i², where the whole side of the box lies on one slope."""
    problem = LeastSquares(diagonal=True)
    theta = problem.minimum + torch.tensor([1.0, -2.0, 0.5, 0.7, 3.0, -1.0], dtype=torch.float64)
    H, sides = problem.hessian.diagonal(), 0.05 * (theta.abs().numpy() + 1)
    step = (theta - problem.minimum).numpy()
    loss = float(H @ step**2) / 2
    assert (np.abs(step) > sides).all()
    rise = float(np.abs(H * step) @ sides + H @ sides**2 / 2)
    result = sharpness(problem.objective, measure="keskar", rho=0.05, theta=theta, seed=seed)
    assert result.value == pytest.approx(100 * rise / (1 + loss), rel=1e-9)


def test_of_a_full_quadratic_it_is_the_best_corner_and_never_more():
    """A convex function is largest at one of the 64 corners."""
    problem = LeastSquares()
    sides = 0.3 * (problem.minimum.abs().numpy() + 1)
    corners = sides * np.array(list(itertools.product((-1.0, 1.0), repeat=6)))
    truth = 100 * max(float(z @ problem.hessian @ z) / 2 for z in corners)
    few, many = (
        sharpness(problem.objective, measure="keskar", rho=0.3, theta=problem.minimum, restarts=n) for n in (1, 12)
    )
    assert few.value <= truth * (1 + 1e-10)
    assert many.value == pytest.approx(truth, rel=1e-9)


#: Neither convex nor concave in the box.
FUNCTIONS = {
    "a ridge": (lambda w: 3 + w[0] - 4 * (w[1] - w[0] ** 2) ** 2, [0.1, -0.2]),
    "waves": (lambda w: 2 + torch.sin(3 * w[0]) * torch.cos(2 * w[1]) + w[0] * w[1] / 4, [0.5, 1.5]),
    "a saddle": (lambda w: 5 + w[0] ** 2 - w[1] ** 2 + w[0] * w[2] - torch.cos(w[2]), [0.0, 0.3, -1.0]),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_in_two_and_three_dimensions_it_is_what_a_fine_grid_finds(case):
    function, start = FUNCTIONS[case]
    objective, theta = of_point(function, start), np.array(start)
    sides = 0.4 * (np.abs(theta) + 1)
    points = 401 if len(start) == 2 else 101
    axes = [torch.linspace(t - s, t + s, points, dtype=torch.float64) for t, s in zip(theta, sides, strict=True)]
    highest = float(function(torch.stack(torch.meshgrid(*axes, indexing="ij"))).max())
    truth = 100 * (highest - objective.loss()) / (1 + objective.loss())
    result = sharpness(objective, measure="keskar", rho=0.4, restarts=8, steps=20)
    assert result.kind == "lower bound"
    assert 0.999 * truth <= result.value <= truth + 0.01 * abs(truth)


def test_a_parameter_that_is_zero_moves_by_epsilon():
    """Unlike in the adaptive ball, where it stays."""
    objective = of_point(lambda w: 10 * w[0] ** 2, [0.0])
    assert sharpness(objective, measure="keskar", rho=0.1).value == pytest.approx(100 * 10 * 0.1**2)
    assert sharpness(objective, measure="adaptive_worst", rho=0.1).value == 0


def test_it_says_that_it_is_a_lower_bound_in_per_cent_and_whose():
    printed = str(sharpness(two_layers(), measure="keskar"))
    assert "≥" in printed
    assert "lower bound" in printed
    assert "Keskar et al. 2017, metric 2.1, in % of 1 + L" in printed


def test_what_each_ascent_reached_is_in_per_cent_too():
    result = sharpness(two_layers(), measure="keskar", rho=0.05, restarts=3)
    assert result.samples.shape == (3,)
    assert result.value == result.samples.max() > 0


def test_it_costs_at_most_as_many_gradients_as_documented(monkeypatch):
    objective, calls, original = two_layers(), [], Objective.loss_and_gradient
    monkeypatch.setattr(Objective, "loss_and_gradient", lambda self, *a: (calls.append(1), original(self, *a))[1])
    result = sharpness(objective, measure="keskar")
    assert result.num_evaluations == len(calls) <= 94


def test_where_one_plus_the_loss_is_not_positive_it_is_refused():
    with pytest.raises(ObjectiveError, match=r"divides by 1 \+ L, and the loss is -2"):
        sharpness(of_point(lambda w: w[0] ** 2 - 2, [0.0]), measure="keskar")


def test_nan_in_the_box_makes_it_nan():
    objective = of_point(lambda w: torch.log(w[0]) + 10 * w[0] ** 2 + 9, [0.01])
    result = sharpness(objective, measure="keskar", rho=0.1, strict=False)
    assert math.isnan(result.value)
    assert not result.converged


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"p": 2}, "has no ball of norm p=2"),
        ({"rho": -1.0}, "rho=-1.0 must be a positive number"),
        ({"num_probes": 3}, "does not use num_probes=3; it has restarts and steps"),
    ],
)
def test_what_it_does_not_have_is_refused(options, said):
    with pytest.raises(UsageError, match=said):
        sharpness(two_layers(), measure="keskar", **options)
