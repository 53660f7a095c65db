"""The parabola over a half-plane: its solution, its minima and their curvature by routes that know no closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from landscape.errors import UsageError
from landscape.operators import HessianOperator
from landscape.problems import get_problem
from landscape.problems.builtin.half_plane import TO_MINIMUM, TO_SOLUTION, VIOLATION

ACTIVE, INACTIVE = (-1.5, 0.5), (1.5, 0.5)
WAYS = [("none", 10.0), ("square", 10.0), ("penalty", 1.0), ("penalty", 10.0), ("penalty", 1000.0)]
A = np.array([1.0, 1.0]) / 2**0.5
H = np.diag([1.0, 4.0])


def solved(c):
    """By sequential quadratic programming, which is told the constraint."""
    found = minimize(
        lambda x: 0.5 * (x - c) @ H @ (x - c), [1.0, 2.0], jac=lambda x: H @ (x - c), method="SLSQP",
        constraints={"type": "ineq", "fun": lambda x: A @ x, "jac": lambda x: A}, options={"ftol": 1e-15},
    )  # fmt: skip
    assert found.success
    return found.x


def settled(problem, seed=0):
    """The model in float64 at the minimum of the training loss, by Newton's method with exact Hessians."""
    model = problem.make_model(seed).double()
    for _ in range(60):
        objective = problem.objective(model, dtype=torch.float64)
        # The square has a saddle at 0 between two equal minima: a step along |H| leaves it, H⁻¹ would not.
        bends, V = torch.linalg.eigh(HessianOperator(objective).dense())
        step = V @ ((V.T @ objective.gradient()) / bends.abs().clamp(min=1e-12))
        with torch.no_grad():
            model.w -= step * min(1.0, 0.5 / max(float(step.norm()), 1e-9))
    return model, objective


@pytest.mark.parametrize("c", [ACTIVE, INACTIVE])
@pytest.mark.parametrize(("method", "penalty"), WAYS)
def test_minimum_distance_violation_and_condition_are_those_that_descent_and_a_dense_hessian_find(c, method, penalty):
    problem = get_problem("half-plane", {"c": c, "method": method, "penalty": penalty})
    model, objective = settled(problem)
    x, solution = model.x.detach().numpy(), solved(c)
    measured = problem.measures(model, "train")
    assert measured[TO_MINIMUM] == pytest.approx(0.0, abs=1e-6)
    assert problem.chart.solution == pytest.approx(solution, abs=1e-6)
    for own, truth in ((TO_SOLUTION, np.linalg.norm(x - solution)), (VIOLATION, max(-A @ x, 0.0))):
        assert measured[own] == pytest.approx(truth, abs=1e-6)
        assert problem.known[own] == pytest.approx(truth, abs=1e-6)
    low, high = torch.linalg.eigvalsh(HessianOperator(objective).dense()).tolist()
    assert problem.known["spectral_ratio"] == pytest.approx(high / low, rel=1e-5)


def test_a_larger_penalty_is_nearer_and_worse_conditioned_and_an_inactive_constraint_costs_nothing():
    def known(penalty, c):
        return get_problem("half-plane", {"c": c, "method": "penalty", "penalty": penalty}).known

    weak, strong = known(10.0, ACTIVE), known(1000.0, ACTIVE)
    assert strong[VIOLATION] < weak[VIOLATION] / 50
    assert strong["spectral_ratio"] > 50 * weak["spectral_ratio"]
    assert known(10.0, INACTIVE) == known(1000.0, INACTIVE) == {"spectral_ratio": 4.0, TO_SOLUTION: 0.0, VIOLATION: 0.0}


def test_all_methods_begin_at_one_admissible_place_and_the_chart_has_the_training_loss_there():
    for seed in range(10):
        problems = [get_problem("half-plane", {"method": m}) for m in ("none", "square", "penalty")]
        models = [problem.make_model(seed) for problem in problems]
        places = torch.stack([p.chart.place(m) for p, m in zip(problems, models, strict=True)])
        assert torch.allclose(places, places[:1].expand(3, 2), atol=1e-6)
        assert float(problems[0].chart.room(places[:1])) > 0
        losses = [problem.objective(model).loss() for problem, model in zip(problems, models, strict=True)]
        assert losses == pytest.approx([float(problems[0].chart.loss(places[:1]))] * 3, rel=1e-5)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"c": (1.0, -1.0)}, "lies on the boundary"),
        ({"start": (-1.0, 0.0)}, "must lie where the constraint holds"),
        ({"curvatures": (1.0, 0.0)}, "must both be positive"),
        ({"c": (1.0,)}, "c=.* must be two numbers"),
        ({"angle": float("nan")}, "angle=nan must be a finite number"),
    ],
)
def test_a_half_plane_that_is_none_is_refused(config, said):
    with pytest.raises(UsageError, match=said):
        get_problem("half-plane", config)
