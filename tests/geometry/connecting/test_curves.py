"""Curves between minima: their ends, their best bends in closed form, valleys that turn, and what is not found."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.results.connection import shares
from tests.support.landscapes import LeastSquares, draw, network, of_point


def ring(w):
    return (w.square().sum() - 1) ** 2


LEFT, RIGHT = torch.tensor([-1.0, 0.05]), torch.tensor([1.0, 0.0])


@pytest.mark.parametrize(("curve", "bends"), [("bezier", 1), ("bezier", 3), ("polygon", 1), ("polygon", 9)])
def test_around_a_ring_of_minima_the_line_goes_over_the_middle_and_the_curve_around_it(curve, bends):
    found = ls.connect(of_point(ring, [1.0, 0.0]), LEFT, RIGHT, curve=curve, bends=bends, steps=400, lr=0.05)
    assert found.line_barrier == pytest.approx(1.0, abs=0.01)
    lowest = {("bezier", 1): 0.25, ("bezier", 3): 0.01, ("polygon", 1): 0.4, ("polygon", 9): 0.01}[curve, bends]
    assert found.barrier < lowest
    assert len(found.bends) == bends
    assert found.length > 1.25 * found.distance


@pytest.mark.parametrize("curve", ["bezier", "polygon"])
@pytest.mark.parametrize("batch", [None, 5])
def test_the_bends_of_a_quadratic_are_those_that_minimise_the_mean_loss_on_the_curve(curve, batch):
    """A quadratic of the bends: H(Σ E[cⱼcₖ]wₖ + E[cⱼc₀]a + E[cⱼc₁]b − E[cⱼ]θ*) = 0 with c what each point counts at t,
    and H is regular, so the bends solve a system of K equations."""
    quadratic, bends = LeastSquares(diagonal=True), 2
    a, b = quadratic.minimum + draw(6, seed=5), quadratic.minimum + draw(6, seed=6)
    found = ls.connect(quadratic.objective, a, b, curve=curve, bends=bends, steps=600, batch=batch, lr=0.1)
    t = (np.arange(20_000) + 0.5) / 20_000
    counts = shares(curve, t, bends + 2)
    moments, means = counts.T @ counts / len(t), counts.mean(0)
    known = moments[1:-1, [0, -1]] @ np.stack([a.numpy(), b.numpy()])
    best = np.linalg.solve(moments[1:-1, 1:-1], np.outer(means[1:-1], quadratic.minimum.numpy()) - known)
    assert np.abs(best - found.bends).max() < (0.05 if batch is None else 0.2) * np.abs(best).max()

    def mean_loss(points):
        away = counts @ np.concatenate([a.numpy()[None], points, b.numpy()[None]]) - quadratic.minimum.numpy()
        return 0.5 * np.einsum("ij,jk,ik->i", away, quadratic.hessian, away).mean()

    straight = np.linspace(a.numpy(), b.numpy(), bends + 2)[1:-1]
    assert mean_loss(found.bends) - mean_loss(best) < (1e-3 if batch is None else 1e-2) * (
        mean_loss(straight) - mean_loss(best)
    )


def test_both_ends_are_as_given_to_the_last_bit_and_the_points_of_the_curve_are_where_its_losses_are():
    objective = network(nn.Tanh, dtype=torch.float32)
    a, b = draw(objective.layout.size, seed=1).float(), 1e3 * draw(objective.layout.size, seed=2).float()
    for curve in ("bezier", "polygon"):
        found = ls.connect(objective, a, b.numpy(), curve=curve, bends=2, steps=20, points=7)
        assert found.loss[0] == objective.loss(a) == found.ends[0] == found.line[0]
        assert found.loss[-1] == objective.loss(b) == found.ends[1] == found.line[-1]
        np.testing.assert_array_equal(found.at(0), a.numpy())
        np.testing.assert_array_equal(found.at(1), b.numpy())
        losses = [objective.loss(found.at(t)) for t in found.t]
        np.testing.assert_allclose(losses, found.loss, rtol=1e-4)
        assert found.at(0.5).dtype == np.float32
    with pytest.raises(UsageError, match="t=1.5 must lie between 0"):
        found.at(1.5)


def test_before_any_step_both_curves_are_the_straight_line():
    """So training begins where nothing is better yet, and a line without a hill needs none."""
    quadratic = LeastSquares()
    a, b = quadratic.minimum - 1, quadratic.minimum + 1
    for curve in ("bezier", "polygon"):
        found = ls.connect(quadratic.objective, a, b, curve=curve, bends=3, points=9, tol=0.1)
        assert found.history.size == 0
        assert "no step was needed" in found.reason
        np.testing.assert_allclose(found.loss, found.line, rtol=1e-12, atol=1e-25)
        assert found.length == pytest.approx(found.distance, rel=1e-12)


def test_training_ends_where_the_curve_is_as_low_as_asked_and_says_so():
    objective = of_point(ring, [1.0, 0.0])
    whole = ls.connect(objective, LEFT, RIGHT, bends=3, steps=500, lr=0.05)
    early = ls.connect(objective, LEFT, RIGHT, bends=3, steps=500, lr=0.05, tol=0.2)
    assert 0 < early.history.size < whole.history.size == 500
    assert early.highest <= max(early.line[[0, -1]]) + 0.2 * (early.line.max() - max(early.line[[0, -1]]))
    assert early.reason == f"ended after {early.history.size} steps: the curve is as low as asked"
    assert early.num_losses < whole.num_losses + 10 + 31
    np.testing.assert_array_equal(early.history, whole.history[: early.history.size])


def test_a_training_that_blows_up_ends_with_the_bends_before_it_and_says_so():
    objective = of_point(lambda w: torch.where(w[1].abs() < 0.5, ring(w), torch.nan), [1.0, 0.0])
    found = ls.connect(objective, LEFT, RIGHT, steps=200, lr=1.0)
    assert np.isfinite(found.bends).all()
    assert found.history.size < 200
    assert "a smaller lr may help" in found.reason
    assert "a smaller lr may help" in str(found)


def test_the_same_seed_gives_the_same_curve_and_another_one_another():
    objective = network(nn.Tanh)
    a, b = draw(objective.layout.size, seed=1), draw(objective.layout.size, seed=2)
    first, again, other = (ls.connect(objective, a, b, steps=30, batch=8, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.control, again.control)
    assert np.abs(first.bends - other.bends).max() > 0


def test_weight_decay_draws_the_networks_of_the_curve_to_zero_and_is_in_no_reported_loss():
    """Of a loss that is the same everywhere: the best bend makes E_t‖φ(t)‖² least."""
    objective = of_point(lambda w: 0 * w.sum() + 3, [1.0, 0.0])
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    found = ls.connect(objective, a, b, steps=500, weight_decay=0.1, lr=0.03)
    counts = shares("bezier", (np.arange(2000) + 0.5) / 2000, 3)
    moments = counts.T @ counts
    best = -(moments[1, 0] * a.numpy() + moments[1, 2] * b.numpy()) / moments[1, 1]
    np.testing.assert_allclose(found.bends[0], best, atol=0.03)
    assert (found.loss == 3).all()
    assert "weight decay 0.1" in found.method


def test_the_cost_is_that_of_the_batches():
    objective = network(nn.Tanh)  # 40 examples
    a, b = draw(objective.layout.size, seed=1), draw(objective.layout.size, seed=2)
    told = []
    found = ls.connect(
        objective, a, b, steps=50, batch=8, points=5, progress=lambda done, most: told.append((done, most))
    )
    assert found.num_gradients == pytest.approx(10)
    assert (found.history.size, len(found.t), found.num_losses) == (50, 5, 10)
    assert ls.connect(objective, a, b, steps=3, batch=None, points=3).num_gradients == 3
    assert told[-1] == (60, 60)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_a_polygon_has_each_bend_on_its_grid_with_a_point_between():
    objective = of_point(ring, [1.0, 0.0])
    found = ls.connect(objective, LEFT, RIGHT, curve="polygon", bends=6, steps=5, points=3)
    assert len(found.t) == 15
    for k, bend in enumerate(found.bends, start=1):
        np.testing.assert_allclose(found.at(found.t[2 * k]), bend, rtol=1e-12)


@pytest.mark.parametrize(
    ("given", "said"),
    [({"curve": "spline"}, "'bezier', 'polygon'"), ({"optimizer": "lbfgs"}, "'adam', 'sgd'"),
     ({"batch_statistics": "interpolate"}, "'recompute', 'fixed'")],
)  # fmt: skip
def test_what_is_no_choice_is_refused_with_the_choices(given, said):
    with pytest.raises(UsageError, match=said):
        ls.connect(of_point(ring, [1.0, 0.0]), LEFT, RIGHT, **given)


def test_a_curve_has_two_ends_of_the_shape_of_theta():
    objective = of_point(ring, [1.0, 0.0])
    with pytest.raises(UsageError, match="a curve has two ends"):
        ls.connect(objective)
    with pytest.raises(UsageError, match=r"θ has shape \(2,\)"):
        ls.connect(objective, LEFT, torch.ones(3))


def test_the_model_its_gradients_and_the_generators_are_as_before():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3)).train()
    objective = Objective(model, nn.functional.cross_entropy, (draw(30, 4).float(), torch.arange(30) % 3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state, theta = torch.get_rng_state(), objective.theta
    ls.connect(objective, theta, theta + 1, steps=5, batch=7, points=3)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(part.training for part in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(part._forward_pre_hooks for part in model.modules())
    assert torch.equal(torch.get_rng_state(), state)
