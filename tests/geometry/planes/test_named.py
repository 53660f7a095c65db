"""Directions by name: what each is in closed form, what a name needs, and what slices make of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.errors import UsageError
from tests.support.landscapes import Quadratic, draw


@pytest.fixture
def problem():
    return Quadratic(torch.float32)


def test_the_gradient_is_that_of_the_quadratic_and_of_length_one(problem):
    theta = draw(4, seed=7).numpy()
    found = ls.direction(problem.objective, "gradient", theta=theta)
    gradient = 2 / 10 * problem.x.numpy().T @ (problem.x.numpy() @ theta - problem.y.numpy()[:, 0])
    assert found.vector.numpy() == pytest.approx(gradient / np.linalg.norm(gradient), rel=1e-5)
    line = ls.evaluate_line(problem.objective, found, theta=theta, points=5)
    assert line.direction == "gradient"
    rise = (line.loss[3] - line.loss[1]) / (2 * line.t[3])
    assert rise == pytest.approx(np.linalg.norm(gradient), rel=1e-5)


def test_the_difference_ends_at_the_other_point(problem):
    other = draw(4, seed=8)
    found = ls.direction(problem.objective, "difference", to=other)
    line = ls.evaluate_line(problem.objective, found, points=3)
    assert line.loss[2] == pytest.approx(problem.loss(other.numpy()), rel=1e-5)


def test_eigenvectors_are_those_from_either_end_of_the_spectrum(problem):
    values, vectors = np.linalg.eigh(problem.hessian)
    eigs = ls.top_eigenpairs(ls.HessianOperator(problem.objective), 2, which="both", tol=1e-6)
    for name, index, column in (("top", 0, 3), ("top", 1, 2), ("bottom", 0, 0), ("bottom", 1, 1)):
        found = ls.direction(problem.objective, name, eigs=eigs, index=index)
        assert abs(found.vector.numpy() @ vectors[:, column]) == pytest.approx(1, abs=1e-5)
        line = ls.evaluate_line(problem.objective, found, points=5)
        assert line.curvature == pytest.approx(values[column], rel=1e-5)
        assert f"eigenvector {index + 1}" in line.direction


def test_two_directions_span_a_plane_that_has_their_names(problem):
    eigs = ls.top_eigenpairs(ls.HessianOperator(problem.objective), 1, tol=1e-6)
    both = ls.direction(problem.objective, "top", eigs=eigs), ls.direction(problem.objective, "gradient")
    surface = ls.evaluate_plane(problem.objective, both, points=5)
    d, w = torch.stack([one.vector for one in both], dim=1).double().numpy(), problem.objective.theta.double().numpy()
    wanted = [[problem.loss(w + x * d[:, 0] + y * d[:, 1]) for x in surface.x] for y in surface.y]
    np.testing.assert_allclose(surface.loss, wanted, rtol=1e-5)
    assert surface.directions == (both[0].label, "gradient")
    unnamed = ls.evaluate_plane(problem.objective, (both[0], np.ones(4)), points=3)
    assert unnamed.directions == (both[0].label, "direction 2")


def test_a_random_one_is_the_random_direction_of_that_number(problem):
    found = ls.direction(problem.objective, "random", index=2, seed=5)
    assert torch.equal(found.vector, ls.random_direction(problem.objective, index=2, seed=5))


def test_what_a_name_needs_is_said(problem):
    objective, eigs = problem.objective, ls.top_eigenpairs(ls.HessianOperator(problem.objective), 1, tol=1e-3)
    minimum = np.linalg.lstsq(problem.x.numpy(), problem.y.numpy()[:, 0], rcond=None)[0]
    for name, given, said in (
        ("uphill", {}, "is not one of 'gradient', 'difference'"),
        ("difference", {}, "needs the other point"),
        ("difference", {"to": objective.theta}, "the other point is θ itself"),
        ("top", {}, "needs eigenpairs"),
        ("top", {"eigs": eigs, "index": 1}, "eigenvector 2 from the top is not among these eigenpairs"),
        ("bottom", {"eigs": eigs}, "eigenvector 1 from the bottom is not among"),
        ("top", {"eigs": eigs.without_vectors()}, "without their vectors"),
    ):
        with pytest.raises(UsageError, match=said):
            ls.direction(objective, name, **given)
    flat = ls.Objective.from_loss(objective.module.model, lambda m, b: 0.0 * m.weight.sum() + b.sum(), torch.ones(2, 1),
                                  check=False)  # fmt: skip
    with pytest.raises(UsageError, match="the gradient has length 0 here"):
        ls.direction(flat, "gradient", theta=minimum)
    with pytest.raises(UsageError, match="has two directions, not 3"):
        ls.evaluate_plane(objective, (np.ones(4),) * 3)
    with pytest.raises(UsageError, match="parallel"):
        ls.evaluate_plane(objective, (np.ones(4), -2 * np.ones(4)))
