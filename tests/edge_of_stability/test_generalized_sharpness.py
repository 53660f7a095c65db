"""The largest curvature in norms that are not Euclidean, against all corners of the ball."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.edge_of_stability.norm_balls import BALLS, LargestEntry
from landscape.errors import NotConverged, UsageError
from landscape.optimizers import make_optimizer
from tests.support.known_hessians import with_eigenvalues
from tests.support.networks import seeded


def layout_of(*layers):
    """An objective whose θ has these shapes; its Hessian is given apart."""
    model = seeded(lambda: nn.Sequential(*(nn.Linear(*shape, bias=bias) for *shape, bias in layers))).double()
    x = torch.randn(5, layers[0][0], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return ls.Objective(model, lambda f, t: (f**2).mean(), (x, x[:, :1]), check=False)


def symmetric(dim, seed, *, indefinite=False):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((dim, dim))
    return (a + a.T) / 2 if indefinite else a @ a.T / dim


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("indefinite", [False, True])
def test_over_signs_it_is_the_largest_of_all_corners_or_below_and_the_bound_above(seed, indefinite):
    objective = layout_of((3, 3, False), (3, 1, False))
    A = symmetric(12, seed, indefinite=indefinite)
    corners = np.array(list(product((-1.0, 1.0), repeat=12)))
    truth = np.einsum("ki,ij,kj->k", corners, A, corners).max()
    found = ls.generalized_sharpness(objective, norm="linf", hessian=ls.MatrixOperator(A), starts=8, strict=False)
    assert 0.9 * truth <= found.value <= found.upper * (1 + 1e-9)
    if not indefinite:  # a convex function is largest at a corner
        assert found.value <= truth * (1 + 1e-9)
    assert truth <= found.upper * (1 + 1e-9)
    assert found.upper <= 12 * np.linalg.eigvalsh(A)[-1] * (1 + 0.05)


def orthogonal(angle, sign):
    return np.array([[np.cos(angle), -sign * np.sin(angle)], [np.sin(angle), sign * np.cos(angle)]])


@pytest.mark.parametrize("seed", range(4))
def test_over_singular_values_it_is_the_largest_of_all_pairs_of_orthogonal_matrices(seed):
    """Two 2 × 2 tensors: a convex function of both is largest where all singular values are 1."""
    objective = layout_of((2, 2, False), (2, 2, False))
    A = symmetric(8, seed)
    grid = np.linspace(0, 2 * np.pi, 181)
    every = np.array([orthogonal(angle, sign).ravel() for angle in grid for sign in (1, -1)])
    left, right = every @ A[:4, :4], every @ A[4:, 4:]
    alone = np.einsum("ki,ki->k", left, every)[:, None] + np.einsum("ki,ki->k", right, every)[None]
    truth = (alone + 2 * every @ A[:4, 4:] @ every.T).max()
    found = ls.generalized_sharpness(objective, norm="spectral", hessian=ls.MatrixOperator(A), starts=8)
    assert found.value == pytest.approx(truth, rel=2e-3)
    assert truth <= found.upper <= 4 * np.linalg.eigvalsh(A)[-1] * 1.05


def test_a_tensor_with_one_axis_is_measured_by_its_length():
    """Then the spectral ball is the Euclidean one, and the sharpness λ_max."""
    objective = layout_of((4, 1, False))
    A = np.diag([5.0, 2.0, 1.0, -3.0])
    found = ls.generalized_sharpness(objective, norm="spectral", hessian=ls.MatrixOperator(A))
    assert found.value == pytest.approx(5.0, rel=1e-3)
    assert found.upper == pytest.approx(5.0, rel=0.03)


def test_of_a_diagonal_hessian_the_bound_is_the_maximum_itself():
    """Σ aᵢ over signs, where λ_max·P would say 12·12."""
    objective = layout_of((3, 3, False), (3, 1, False))
    found = ls.generalized_sharpness(objective, norm="linf", hessian=ls.MatrixOperator(np.diag(np.arange(1.0, 13.0))))
    assert found.value == pytest.approx(78.0)
    assert found.upper == pytest.approx(78.0, rel=0.03)
    ball = LargestEntry(objective.layout)
    weighted, total = ball.weighted(ls.MatrixOperator(np.diag(np.arange(1.0, 13.0))), torch.arange(1.0, 13.0).double())
    assert float(torch.linalg.eigvalsh(weighted.dense())[-1]) * total == pytest.approx(78.0)


def test_an_update_gives_radii_and_what_is_held_stays():
    objective = layout_of((2, 2, False), (2, 2, False))
    A = symmetric(8, 1)
    model = objective.module.model
    groups = [{"params": [model[0].weight]}, {"params": [model[1].weight], "lr": 0.2}]
    signs = make_optimizer("signsgd", groups, lr=0.1)
    update = ls.optimizer_update(objective, signs)
    scale = np.repeat([1.0, 2.0], 4)
    corners = np.array(list(product((-1.0, 1.0), repeat=8))) * scale
    truth = np.einsum("ki,ij,kj->k", corners, A, corners).max()
    found = ls.generalized_sharpness(objective, norm="linf", update=update, hessian=ls.MatrixOperator(A), starts=8)
    assert found.value == pytest.approx(truth, rel=1e-6)
    assert found.dual_norm == pytest.approx(float(np.abs(scale * objective.gradient().numpy()).sum()))
    part = ls.generalized_sharpness(objective, norm="linf", hold="1.*", hessian=ls.MatrixOperator(A), starts=8)
    few = np.array(list(product((-1.0, 1.0), repeat=4)))
    assert part.value == pytest.approx(np.einsum("ki,ij,kj->k", few, A[:4, :4], few).max(), rel=1e-6)
    assert part.upper >= part.value


@pytest.mark.parametrize("norm", ["linf", "spectral"])
def test_the_weighted_bound_is_one_for_any_weights_and_the_maximum_for_those_of_the_best_point(norm):
    """dᵀHd ≤ λ_max(W^{-1/2}HW^{-1/2})·max dᵀWd, with radii, from dense matrices."""
    layout = layout_of((2, 3, False), (3, 1, False)).layout
    ball, A = BALLS[norm](layout, (1.0, 2.0)), torch.from_numpy(symmetric(9, 2))
    generator = torch.Generator().manual_seed(1)
    best = max(
        (ball.farthest(torch.randn(9, generator=generator).double()) for _ in range(300)), key=lambda d: d @ A @ d
    )
    for pull in (torch.randn(9, generator=generator).double(), A @ best):
        weighted, total = ball.weighted(ls.MatrixOperator(A), pull)
        assert float(torch.linalg.eigvalsh(weighted.dense())[-1]) * total >= float(best @ A @ best)


@pytest.mark.parametrize(("reach", "falls"), [(0.97, True), (1.03, False)])
def test_steepest_descent_of_a_quadratic_raises_the_loss_only_beyond_the_threshold(reach, falls):
    """H = 4·1, whose every corner is as good: a step by signs lowers the loss exactly below 2‖g‖₁/S, S = 4·4."""
    objective, _ = with_eigenvalues([4.0, 4.0, 4.0, 4.0])
    found = ls.generalized_sharpness(objective, norm="linf")
    assert found.value == pytest.approx(16.0)
    assert found.threshold(0.5) == pytest.approx(2 * float(objective.gradient().abs().sum()) / 0.5)
    lr = reach * found.threshold(1.0) / found.value
    after = objective.theta - lr * objective.gradient().sign()
    assert (objective.loss(after) < objective.loss()) is falls


def test_too_few_steps_are_said():
    objective = layout_of((6, 6, False))
    A = symmetric(36, 3, indefinite=True)
    with pytest.raises(NotConverged, match="lower bound that it is"):
        ls.generalized_sharpness(objective, norm="linf", hessian=ls.MatrixOperator(A), starts=1, steps=1, tol=1e-9)
    with pytest.raises(UsageError, match="norm='l1' is not one of"):
        ls.generalized_sharpness(objective, norm="l1")
