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
    assert found.is_convex
    assert found.within_descent_bound


def test_a_gradient_step_of_one_over_the_sharpest_curvature_is_aligned_and_keeps_the_lemma(regression):
    objective, H = regression
    before = np.array([1.0, 1.0, 1.0])
    found = ls.examine_step(objective, before, before - H @ before / np.linalg.eigvalsh(H)[-1])
    assert found.alignment == pytest.approx(1.0)
    assert found.change <= -(found.grad_norm**2) / (2 * np.linalg.eigvalsh(H)[-1]) + found.rounding


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


def test_a_bend_within_the_step_breaks_the_lemma_with_the_smoothness_seen_at_its_end():
    """Along −cos from 0.5 to 2π + 0.5 the gradient is the same at both ends: ℓ = 0 allows no more than the slope."""
    found = ls.examine_step(wave(-1.0), np.array([-0.5]), np.array([2 * np.pi - 0.5]))
    assert found.smoothness == pytest.approx(0, abs=1e-12)
    assert found.slope < -1
    assert found.change == pytest.approx(0, abs=1e-12)
    assert not found.within_descent_bound


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
