"""Which minimum a point belongs to: double wells whose minima, ridges and curvature are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.errors import UsageError


def objective_of(size, loss):
    """``loss(w)`` of the weight of a linear layer, in float32 as networks have it."""
    with torch.random.fork_rng():
        model = torch.nn.Linear(size, 1, bias=False)
    data = torch.ones(4, size), torch.zeros(4, 1)
    return ls.Objective.from_loss(model, lambda net, batch: loss(net.weight[0]) + 0 * batch[0].sum(), data, check=False)


def wells(w):
    """(x² − 1)² + 10(y − x)²: minima at (1, 1) and (−1, −1), a saddle at the origin."""
    return (w[0] ** 2 - 1) ** 2 + 10 * (w[1] - w[0]) ** 2


def test_gradient_flow_in_one_dimension_goes_to_the_minimum_on_its_side():
    """w⁴/4 − w²/2 + w/10: minima at the outer roots of w³ − w + 1/10, the ridge at the middle one."""
    objective = objective_of(1, lambda w: (w**4 / 4 - w**2 / 2 + w / 10).sum())
    low, ridge, high = np.sort(np.roots([1, 0, -1, 0.1]).real)
    starts = np.array([5.0, 0.4, ridge + 0.01, ridge - 0.01, -3.0])
    found = ls.basins(objective, starts[:, None])
    assert found.minima[:, 0] == pytest.approx([low, high], abs=1e-9)
    assert found.index.tolist() == [1, 1, 1, 0, 0]
    assert found.losses == pytest.approx([w**4 / 4 - w**2 / 2 + w / 10 for w in (low, high)])
    assert found.lambda_max == pytest.approx([3 * low**2 - 1, 3 * high**2 - 1])
    assert found.counts.tolist() == [2, 3]


def test_in_two_dimensions_flow_follows_the_valley_where_a_long_step_would_leave_it():
    """Independent route: gradient descent with a thousandth of the stable step, from 25 starts."""
    objective = objective_of(2, wells)
    starts = np.random.default_rng(0).uniform(-2, 2, (25, 2))
    found = ls.basins(objective, starts)
    assert np.sort(found.minima[:, 0]) == pytest.approx([-1, 1])
    assert found.lambda_min == pytest.approx(np.linalg.eigvalsh([[28, -20], [-20, 20]])[[0, 0]])
    theta = starts.copy()
    for _ in range(40_000):
        x, y = theta.T
        pull = 20 * (y - x)
        theta -= 2e-4 * np.stack([4 * x * (x**2 - 1) - pull, pull], axis=1)
    assert found.minima[found.index] == pytest.approx(theta, abs=1e-2)


def test_the_wells_of_the_problem_are_found_with_the_widths_it_was_given():
    problem = ls.get_problem("two-well", {"narrow": 20.0, "wide": 1.0, "noise": 0.0})
    objective = problem.objective(problem.make_model(0), check=False)
    found = ls.basins(objective, [[-2.3, 0.2], [0.0, 1.0], [3.0, -1.0]])
    assert found.lambda_max[found.index] == pytest.approx([20.0, 1.0, 1.0], rel=1e-6)
    assert found.minima[found.index] == pytest.approx(np.array([[-2, 0], [2, 0], [2, 0]]), abs=1e-6)


def test_past_a_saddle_the_flow_goes_on():
    """From (1e-9, 1) it nearly rests at the saddle of x⁴/4 − x²/2 + y²/2 before it turns off to (1, 0)."""
    objective = objective_of(2, lambda w: w[0] ** 4 / 4 - w[0] ** 2 / 2 + w[1] ** 2 / 2)
    found = ls.basins(objective, [[1e-9, 1.0], [-1e-9, 1.0]])
    assert found.minima[found.index] == pytest.approx(np.array([[1, 0], [-1, 0]]), abs=1e-6)


@pytest.mark.parametrize("slope", [1e-3, 3e-4, 1e-4, 3e-5, 1e-5])
def test_over_a_plateau_the_flow_goes_on_where_newton_s_method_would_jump(slope):
    """L' = w((w − 1)² + slope)(w + 1)(w + 2): minima at 0 and −2, and nearly a third at 1, on the way from 3 to 0."""
    plain = np.polynomial.Polynomial.fromroots([0, -1, -2])
    primitive = (plain * np.polynomial.Polynomial([1 + slope, -2, 1])).integ()
    objective = objective_of(1, lambda w: sum(c * w[0] ** k for k, c in enumerate(primitive.coef.tolist())))
    found = ls.basins(objective, [[3.0]])
    assert found.minima == pytest.approx(np.array([[0.0]]), abs=1e-6)


def test_points_without_an_isolated_minimum_are_told():
    """A valley floor, a slope without end, and a point on top of a hill."""
    for loss, start in (
        (lambda w: (w[0] - w[1]) ** 2, [1.0, 0.0]),
        (lambda w: torch.nn.functional.softplus(-w[0]) + w[1] ** 2, [0.0, 1.0]),
        (lambda w: -(w**2).sum() + (w**4).sum(), [0.0, 0.0]),
    ):
        found = ls.basins(objective_of(2, loss), [start])
        assert (len(found), found.index.tolist()) == (0, [-1])
        assert "1 reached none" in str(found)


def test_the_model_stays_where_it_is_and_its_type_does_not_limit_the_minimum():
    objective = objective_of(2, wells)
    before = objective.theta.clone()
    found = ls.basins(objective, torch.tensor([[0.5, 0.4]]))
    assert torch.equal(objective.theta, before)
    assert np.abs(found.minima - 1).max() < 1e-9
    assert found.num_gradients > 0
    assert found.num_matvecs % 2 == 0


def test_points_that_do_not_fit_are_refused():
    objective = objective_of(2, wells)
    for points, said in (([], "S at least 1"), ([[1.0]], r"shape \(1, 1\)"), ([[np.nan, 0.0]], "1 of 1 points")):
        with pytest.raises(UsageError, match=said):
            ls.basins(objective, points)
    with pytest.raises(UsageError, match="radius=0"):
        ls.basins(objective, [[1.0, 1.0]], radius=0)
    with pytest.raises(UsageError, match="interpolate"):
        ls.basins(objective_of(501, lambda w: (w**2).sum()), np.zeros((1, 501)))
