"""A step against theory: closed forms on a quadratic, a step that is not convex, and gradient noise by enumeration."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import UsageError


def linear(features: int) -> nn.Linear:
    with torch.random.fork_rng():
        return nn.Linear(features, 1, bias=False).double()


@pytest.fixture(scope="module")
def regression():
    """Least squares ½ mean (xᵀθ)²: H = XᵀX/N, in uneven batches."""
    x = torch.tensor(np.random.default_rng(0).standard_normal((12, 3)) * [3.0, 1.0, 0.3])
    data = [(x[:8], torch.zeros(8, 1).double()), (x[8:], torch.zeros(4, 1).double())]
    objective = ls.Objective(linear(3), lambda f, t: ((f - t) ** 2).mean() / 2, data)
    return objective, (x.T @ x / 12).numpy()


def test_on_a_quadratic_every_figure_is_that_of_its_matrix(regression):
    objective, H = regression
    before, after = np.array([1.0, -2.0, 0.5]), np.array([0.7, -1.0, 0.6])
    d, found = after - before, ls.examine_step(objective, before, after)
    assert found.change == pytest.approx(after @ H @ after / 2 - before @ H @ before / 2)
    assert found.slope == pytest.approx(before @ H @ d)
    assert found.predicted == pytest.approx(found.change)  # there is nothing beyond second order
    assert found.curvature == pytest.approx(d @ H @ d / (d @ d)) == found.mean_curvature
    assert found.smoothness == pytest.approx(np.linalg.norm(H @ d) / np.linalg.norm(d))
    assert found.alignment == pytest.approx(-(before @ H @ d) / np.linalg.norm(H @ before) / np.linalg.norm(d))
    assert found.decrease_ratio == pytest.approx(1.0)
    assert found.is_convex


# --- the descent lemma, judged by what was known before the step ------------------------------------------------------


def gradient_step(regression, reach: float):
    """A step of η = reach · 2/λ_max along −g, straight uphill where the reach is negative."""
    objective, H = regression
    before, sharpest = np.array([1.0, 1.0, 1.0]), np.linalg.eigvalsh(H)[-1]
    after = before - reach * 2 / sharpest * H @ before
    return ls.examine_step(objective, before, after, smoothness=sharpest), sharpest


def test_a_gradient_step_of_one_over_the_sharpest_curvature_is_aligned_and_keeps_the_lemma(regression):
    found, sharpest = gradient_step(regression, 0.5)
    assert found.alignment == pytest.approx(1.0)
    assert found.descent_bound == pytest.approx(-(found.grad_norm**2) / (2 * sharpest))  # Nesterov (1.2.20)
    assert found.change <= found.descent_bound + found.rounding
    assert found.step_share == pytest.approx(0.5)
    assert found.promises_descent
    assert found.within_descent_bound


def test_a_step_straight_uphill_is_not_said_to_descend(regression):
    found, _ = gradient_step(regression, -0.5)
    assert found.change > 0
    assert found.change <= found.slope + 0.5 * found.smoothness * found.step_norm**2 + found.rounding  # Cauchy–Schwarz
    assert found.within_descent_bound is False
    assert found.step_size == np.inf
    assert "uphill" in str(found)


@pytest.mark.parametrize(("reach", "holds"), [(0.99, True), (1.01, False), (1.5, False)])
def test_a_step_beyond_two_over_the_sharpest_curvature_of_a_quadratic_is_not_said_to_descend(reach, holds):
    """½λθ² with λ = 4: from θ to θ(1 − 2·reach), lower exactly where reach < 1."""
    one = torch.full((1, 1), 2.0, dtype=torch.float64)
    objective = ls.Objective(linear(1), lambda f, t: ((f - t) ** 2).mean() / 2, (one, 0 * one))
    found = ls.examine_step(objective, np.array([1.0]), np.array([1 - 2 * reach]), smoothness=4.0)
    assert found.change == pytest.approx(2 * ((1 - 2 * reach) ** 2 - 1))
    assert found.promises_descent is holds
    assert found.within_descent_bound is holds
    assert found.step_share == pytest.approx(reach)
    assert ("η ≥ 2/ℓ" in str(found)) is not holds


def test_curvature_that_grows_on_the_way_breaks_the_promise_made_before_the_step():
    """Down −cos from 2: its curvature −cos 2 = 0.42 there, 1 at the minimum; a step of 4 ends as high as it began."""
    start, length = 2.0, 4.0
    found = ls.examine_step(wave(-1.0), np.array([start]), np.array([start - length]), smoothness=-np.cos(start))
    assert found.descent_bound == pytest.approx(-np.sin(start) * length - np.cos(start) * length**2 / 2)
    assert found.promises_descent
    assert found.change == pytest.approx(-np.cos(start - length) + np.cos(start), abs=1e-12)
    assert not found.within_descent_bound
    assert "BROKEN" in str(found)


def test_without_a_smoothness_known_before_nothing_is_judged(regression):
    found = ls.examine_step(regression[0], np.ones(3), np.zeros(3))
    assert found.within_descent_bound is None
    assert (found.descent_bound, found.promises_descent, found.step_share) == (None, None, None)
    assert "not judged" in str(found)
    with pytest.raises(UsageError, match="smoothness"):
        ls.examine_step(regression[0], np.ones(3), np.zeros(3), smoothness=np.inf)


def wave(sign: float) -> ls.Objective:
    """L(θ) = sign · cos θ."""
    one = torch.ones(1, 1, dtype=torch.float64)
    return ls.Objective(linear(1), lambda f, _: sign * torch.cos(f).mean(), (one, one))


def test_a_step_over_a_hill_is_not_convex():
    """From 0.1 to 1.0 along cos θ, which lies below its tangents there."""
    found = ls.examine_step(wave(1.0), np.array([0.1]), np.array([1.0]))
    assert not found.is_convex
    assert found.mean_curvature == pytest.approx((-np.sin(1.0) + np.sin(0.1)) / 0.9)
    assert found.curvature == pytest.approx(-np.cos(0.1))
    assert found.change == pytest.approx(np.cos(1.0) - np.cos(0.1))
    assert "not convex" in str(found)


def test_no_step_at_all_is_refused(regression):
    with pytest.raises(UsageError, match="the same"):
        ls.examine_step(regression[0], np.ones(3), np.ones(3))


# --- gradient noise ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_noise_of_a_batch_is_the_mean_over_all_batches_there_are():
    """E‖g_B − g‖² over all 70 batches of 4 of 8 examples, and by tr Σ/B (1 − B/N); the estimate over deals meets it."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((8, 2)), rng.standard_normal(8)
    theta = np.array([0.3, -0.7])
    single = (x @ theta - y)[:, None] * x  # gradients of ½(xᵀθ − y)²
    whole = single.mean(0)
    every = [np.sum((single[list(batch)].mean(0) - whole) ** 2) for batch in combinations(range(8), 4)]
    spread = np.cov(single.T).trace()
    assert np.mean(every) == pytest.approx(spread / 4 * (1 - 4 / 8))
    data = torch.tensor(x), torch.tensor(y)[:, None]
    objective = ls.Objective(linear(2), lambda f, t: ((f - t) ** 2).mean() / 2, data)
    found = [ls.gradient_noise(objective, batch_size=4, theta=theta, seed=s) for s in range(300)]
    values = np.array([f.value for f in found])
    assert abs(values.mean() - np.mean(every)) <= 4 * values.std() / 300**0.5
    assert all(any(np.isclose(f.samples[0], e) for e in every) for f in found[:20])


def test_noise_needs_two_batches_and_examples_of_their_own(regression):
    with pytest.raises(UsageError, match="gives 1 batch"):
        ls.gradient_noise(regression[0], batch_size=7)
    assert ls.gradient_noise(regression[0], batch_size=6).samples.size == 2
