"""Problems with curvature by formula: the quadratic and the two wells have what was asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.errors import UsageError
from landscape.problems import get_problem


@pytest.mark.parametrize(
    "config", [{}, {"eigenvalues": [5.0, 2.0, 2.0, 0.0]}, {"dim": 3, "condition": 1e4, "noise": 0}]
)
def test_quadratic_has_the_eigenvalues_asked_for_and_says_its_hessian(config):
    problem = get_problem("quadratic", config)
    dim = problem.train[0].shape[1]
    wanted = config.get("eigenvalues") or np.geomspace(1, 1 / config.get("condition", 100.0), dim)
    found = torch.linalg.eigvalsh(problem.hessian).flip(0).numpy()
    assert np.abs(found - wanted).max() <= 1e-6 * max(wanted)
    objective = problem.objective(problem.make_model(0), dtype=torch.float64)
    v = torch.randn(dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert (objective.hvp(v) - problem.hessian @ v).norm() <= 1e-13 * v.norm() * max(wanted)


def test_quadratic_s_minimum_is_half_the_squared_noise_and_minibatches_disagree_about_it():
    problem = get_problem("quadratic", {"noise": 0.3, "condition": 10.0})
    objective = problem.objective(problem.make_model(0), dtype=torch.float64)
    theta = objective.theta
    theta = theta - torch.linalg.solve(problem.hessian, objective.gradient(theta))
    assert objective.loss(theta) == pytest.approx(0.045, rel=1e-5)
    (x, y), half = problem.train, 64
    part = objective.on_batches([(x[:half], y[:half])])
    assert part.gradient(theta).norm() > 1e-3 > 1e6 * objective.gradient(theta).norm()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"eigenvalues": [1, -1]}, "none negative"),
        ({"eigenvalues": []}, "at least one number"),
        ({"num_examples": 10}, "must exceed the 10"),
        ({"condition": 0.5}, "at least 1"),
        ({"noise": -1}, "noise=-1 must be a number of at least 0"),
    ],
)
def test_an_impossible_quadratic_is_refused(config, said):
    with pytest.raises(UsageError, match=said):
        get_problem("quadratic", config)


def test_two_well_has_a_narrow_and_a_wide_minimum_with_the_curvatures_asked_for():
    problem = get_problem("two-well", {"narrow": 16.0, "wide": 2.0})
    inputs, targets = (t.double() for t in problem.train)
    model = problem.make_model(0).double()

    def loss(theta):
        return problem.loss_fn(theta - inputs, targets)

    variance = inputs.var(0, correction=0).sum()
    for centre, curvature in ((-2.0, 16.0), (2.0, 2.0)):
        minimum = torch.tensor([centre, 0.0], dtype=torch.float64) + inputs.mean(0)
        with torch.no_grad():
            model.position.copy_(minimum)
        value = problem.mean_loss(model, (inputs, targets))
        assert torch.autograd.grad(value, model.position)[0].norm() < 1e-6
        hessian = torch.autograd.functional.hessian(loss, minimum)
        assert torch.allclose(hessian, curvature * torch.eye(2, dtype=torch.float64), atol=1e-4)
        assert float(value.detach()) == pytest.approx(0.5 * curvature * float(variance), rel=1e-5)


def test_two_well_refuses_shapes_that_are_none():
    for config in ({"narrow": 0}, {"temperature": -1}, {"separation": 0}, {"noise": -0.1}, {"num_points": 0}):
        with pytest.raises(UsageError, match=next(iter(config))):
            get_problem("two-well", config)
