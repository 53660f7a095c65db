"""The gain of a damped Newton step over a gradient step, held against dense linear algebra."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import landscape as ls
from landscape.errors import UsageError


def decrease(H: np.ndarray, g: np.ndarray, step: np.ndarray) -> float:
    """By how much the quadratic model falls along a step."""
    return -float(g @ step + step @ H @ step / 2)


def truth(H: np.ndarray, g: np.ndarray, damping: float) -> float:
    """Both steps taken, by a dense solve."""
    values = np.linalg.eigvalsh(H)
    shift = max(damping * values[-1], -2 * values[0])
    newton = -np.linalg.solve(H + shift * np.eye(len(g)), g)
    return decrease(H, g, newton) / decrease(H, g, -g / values[-1])


def problem(values, seed: int):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((len(values), len(values))))[0]
    return (Q * values) @ Q.T, rng.standard_normal(len(values))


def estimate(H, g, *, damping=1e-2, num_steps=20):
    op = ls.MatrixOperator(torch.tensor(H))
    eigs = ls.top_eigenpairs(op, 1, which="both", tol=1e-10)
    return ls.second_order_gain(op, torch.tensor(g), eigs=eigs, damping=damping, num_steps=num_steps)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("num_steps", [3, 6, 12])
def test_the_gain_of_two_steps_taken_lies_within_the_bound(seed, num_steps):
    H, g = problem(np.geomspace(1e-3, 10, 40), seed)
    found = estimate(H, g, num_steps=num_steps)
    assert abs(found.value - truth(H, g, 1e-2)) <= found.bound * (1 + 1e-9) + 1e-9 * found.value
    assert found.num_matvecs == num_steps


def test_the_bound_shrinks_to_nothing_as_steps_are_added():
    H, g = problem(np.geomspace(1e-3, 10, 40), 0)
    bounds = [estimate(H, g, num_steps=steps).bound for steps in (3, 6, 12, 24)]
    assert all(b < a for a, b in pairwise(bounds))
    assert bounds[-1] < 1e-3 * truth(H, g, 1e-2)
    whole = estimate(H, g, num_steps=40)
    assert whole.value == pytest.approx(truth(H, g, 1e-2), rel=1e-8)


def test_negative_curvature_is_damped_away_by_twice_its_size():
    H, g = problem(np.concatenate([[-0.5, -0.1], np.geomspace(1e-3, 10, 30)]), 1)
    found = estimate(H, g, num_steps=15)
    assert abs(found.value - truth(H, g, 1e-2)) <= found.bound * (1 + 1e-9)
    assert "0.1 λ₁" in found.method  # 2 · 0.5 of 10


def test_along_the_sharpest_direction_nothing_is_gained():
    H = np.diag([4.0, 1.0, 0.1])
    found = estimate(H, np.array([1.0, 0.0, 0.0]), damping=1e-12)
    assert found.value == pytest.approx(1.0)
    assert found.bound == 0.0


def test_along_a_flat_direction_the_gain_is_the_ratio_of_what_both_steps_lower():
    """g along λ = 0.1: Newton without damping lowers g²/0.2, the gradient step g²(1/4 − 0.1/32)."""
    H = np.diag([4.0, 1.0, 0.1])
    found = estimate(H, np.array([0.0, 0.0, 2.0]), damping=1e-12)
    assert found.value == pytest.approx((1 / 0.2) / (1 / 4 - 0.1 / 32))


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(-3, 10), min_size=2, max_size=15),
    scale=st.sampled_from([1e-12, 1.0, 1e12]),
    steps=st.integers(2, 8),
    seed=st.integers(0, 100),
)
def test_over_random_spectra_the_truth_is_inside(values, scale, steps, seed):
    values = scale * np.array(values)
    values[0] = 10 * scale  # positive curvature somewhere
    H, g = problem(values, seed)
    found = estimate(H, g, num_steps=steps)
    want = truth(H, g, 1e-2)
    assert abs(found.value - want) <= found.bound + 1e-6 * abs(want)


def test_what_has_no_gain_is_refused_with_the_reason():
    op = ls.MatrixOperator(torch.diag(torch.tensor([2.0, 1.0])))
    both, one = ls.top_eigenpairs(op, 1, which="both"), ls.top_eigenpairs(op, 1)
    g = torch.ones(2)
    with pytest.raises(UsageError, match="not zero"):
        ls.second_order_gain(op, torch.zeros(2), eigs=both)
    with pytest.raises(UsageError, match="which='both'"):
        ls.second_order_gain(op, g, eigs=one)
    with pytest.raises(UsageError, match="must be a positive number"):
        ls.second_order_gain(op, g, eigs=both, damping=0.0)
    with pytest.raises(UsageError, match=r"must be \(2,\)"):
        ls.second_order_gain(op, torch.ones(3), eigs=both)
    down = ls.MatrixOperator(torch.diag(torch.tensor([-2.0, -1.0])))
    with pytest.raises(UsageError, match="no positive curvature"):
        ls.second_order_gain(down, g, eigs=ls.top_eigenpairs(down, 1, which="both"))
