"""The ascent to the worst case in a ball: it settles on the highest point and never leaves the ball."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from landscape.geometry import sharpness
from landscape.geometry.sharpness.ascent import Ball
from tests.support.landscapes import DOUBLE, LeastSquares, of_point, two_layers


def test_a_worst_case_is_a_lower_bound_and_says_so():
    """Never above the true maximum, with its restarts beside it, the best of them the value."""
    problem = LeastSquares()
    result = sharpness(problem.objective, measure="worst", rho=0.1, theta=problem.minimum, restarts=3, steps=2)
    assert result.kind == "lower bound"
    assert result.error is None
    assert result.samples.shape == (3,)
    assert result.value == result.samples.max() <= 0.1**2 / 2 * problem.top() * (1 + 1e-10)
    assert "≥" in str(result)
    assert "lower bound" in str(result)


def test_more_restarts_never_lower_the_bound():
    objective = two_layers()
    values = [sharpness(objective, measure="worst", rho=0.5, restarts=n, steps=3).value for n in (1, 2, 4, 8)]
    assert values == sorted(values)


@pytest.mark.parametrize("steps", [1, 3])
def test_an_ascent_that_still_climbs_is_not_called_converged(steps):
    """A curved ridge, as in Rosenbrock's valley turned over: each step goes a little further along it."""
    ridge = of_point(lambda w: w[0] - 100 * (w[1] - w[0] ** 2) ** 2, [0.0, 0.0])
    result = sharpness(ridge, measure="worst", rho=1.0, steps=steps, restarts=2, strict=False)
    longer = sharpness(ridge, measure="worst", rho=1.0, steps=200, restarts=2)
    assert longer.value > 1.05 * result.value
    assert (result.converged, longer.converged) == (False, True)


def test_along_a_curved_ridge_the_default_ascent_settles_on_the_highest_point_of_the_ball():
    ridge = of_point(lambda w: w[0] - 100 * (w[1] - w[0] ** 2) ** 2, [0.0, 0.0])
    result = sharpness(ridge, measure="worst", rho=1.0)
    angle = np.linspace(0, np.pi / 2, 1_000_001)
    x, y = np.cos(angle), np.sin(angle)
    highest = float((x - 100 * (y - x**2) ** 2).max())
    assert result.converged
    assert 0.99 * highest <= result.value <= highest * (1 + 1e-9)


@pytest.mark.parametrize("side", [-0.5, 0.5])
def test_both_ends_of_the_sharpest_direction_are_tried(side):
    """w² + side·w³ has a maximum at either end of the ball; ascent from one never sees the other."""
    objective = of_point(lambda w: w[0] ** 2 + side * w[0] ** 3, [0.0])
    result = sharpness(objective, measure="worst", rho=0.4, restarts=1)
    assert result.value == pytest.approx(0.4**2 + 0.5 * 0.4**3)


def test_of_two_hills_random_starts_find_the_one_that_is_not_uphill():
    """The wide hill lies along the gradient; the higher one is seen only from where it stands."""

    def hills(w: torch.Tensor) -> torch.Tensor:
        wide, narrow = (torch.tensor(place, dtype=DOUBLE) for place in ([0.8, 0.0], [-0.2, 0.4]))
        return torch.exp(-((w - wide) ** 2).sum() / 0.3) + 3 * torch.exp(-((w - narrow) ** 2).sum() / 0.02)

    objective = of_point(hills, [0.0, 0.0])
    few, many = (sharpness(objective, measure="worst", rho=1.0, restarts=n, steps=20) for n in (2, 30))
    assert few.value < 1
    assert many.value > 2.5


def test_along_negative_curvature_the_ascent_does_not_bounce():
    """H = diag(1, −5): steps of the plain power method run into the −5 and end below zero."""
    objective = of_point(lambda w: w[0] ** 2 / 2 - 5 * w[1] ** 2 / 2, [0.0, 0.0])
    result = sharpness(objective, measure="worst", rho=0.2, restarts=4, steps=20)
    assert (result.samples > 0.95 * 0.2**2 / 2).all()


def test_at_a_maximum_the_worst_case_is_zero():
    objective = of_point(lambda w: -(w**2).sum(), [0.0, 0.0])
    assert sharpness(objective, measure="worst", rho=0.2).value == 0


@pytest.mark.parametrize("p", [2, math.inf])
@pytest.mark.parametrize("measure", ["worst", "adaptive_worst"])
def test_no_point_outside_the_ball_is_ever_evaluated(measure, p, monkeypatch):
    seen: list[torch.Tensor] = []
    original = Ball.rise

    def watched(self, z):
        seen.append(z)
        return original(self, z)

    monkeypatch.setattr(Ball, "rise", watched)
    result = sharpness(two_layers(), measure=measure, rho=0.3, p=p)
    norms = torch.stack(seen).norm(dim=1) if p == 2 else torch.stack(seen).abs().amax(dim=1)
    assert float(norms.max()) <= 0.3 * (1 + 1e-12)
    assert len(seen) == result.num_evaluations


def test_random_starts_are_uniform_in_the_ball():
    """In 6 dimensions ‖z‖⁶/ρ⁶ is uniform on [0, 1], and each direction as likely as its opposite."""
    problem = LeastSquares()
    ball = Ball(problem.objective, problem.minimum, torch.ones(6, dtype=DOUBLE), rho=2.0, p=2, tick=lambda: None)
    points = torch.stack([ball.random_point(i, seed=0) for i in range(400)])
    assert stats.kstest((points.norm(dim=1) / 2).numpy() ** 6, "uniform").pvalue > 1e-3
    assert float(points.mean(0).abs().max()) < 5 * 2 / (8 * 400) ** 0.5
