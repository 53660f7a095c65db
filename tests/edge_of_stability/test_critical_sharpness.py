"""Critical sharpness of an optimizer's update against a dense search along the line, and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.errors import NotConverged, UsageError
from tests.support.known_hessians import uneven_least_squares, with_eigenvalues
from tests.support.stepped import network, stepped


def dense_critical_step(objective, u, until):
    """The first crossing of L(θ − ηu) over L(θ) on a grid of 500 steps, then halved to 14 digits."""
    here, theta = objective.loss(), objective.theta

    def rises(eta):
        return objective.loss(theta - eta * torch.from_numpy(u)) > here

    grid = np.linspace(0, until, 501)[1:]
    last = next(i for i, eta in enumerate(grid) if rises(eta))
    low, high = (grid[last - 1] if last else 0.0), grid[last]
    for _ in range(45):
        middle = (low + high) / 2
        low, high = (low, middle) if rises(middle) else (middle, high)
    return high


@pytest.mark.parametrize("name", ["SGD", "momentum", "AdamW", "Lion", "Muon", "Shampoo"])
def test_it_is_that_of_a_dense_search_from_at_most_twelve_losses(name, monkeypatch):
    objective, _, _, optimizer = stepped(name)
    update = ls.optimizer_update(objective, optimizer)
    taken = []
    monkeypatch.setattr(objective, "loss", lambda *a, ask=objective.loss: taken.append(1) or ask(*a))
    found = ls.critical_sharpness(objective, update)
    assert len(taken) <= 12
    assert found.products == pytest.approx(len(taken) / 6)
    truth = 2 / dense_critical_step(objective, update.vector, 4 / found.value)
    assert abs(found.value - truth) <= found.bound
    assert found.bound <= 0.03 * truth


@pytest.mark.parametrize("start", [1e-5, 0.3, 1e3])
def test_on_a_quadratic_it_is_the_curvature_over_the_slope_from_any_guess(start):
    objective, hessian = uneven_least_squares()
    u = torch.linspace(0.5, 1.5, 6, dtype=torch.float64) + objective.gradient()
    g = objective.gradient()
    full = torch.stack([objective.hvp(e) for e in torch.eye(6, dtype=torch.float64)])
    truth = float(u @ full @ u / (g @ u))
    found = ls.critical_sharpness(objective, u, start=start, max_losses=20)
    assert abs(found.value - truth) <= found.bound <= 0.03 * truth


def test_along_the_gradient_it_is_at_most_the_largest_eigenvalue():
    objective, _ = with_eigenvalues([9.0, 4.0, 1.0, 0.1])
    found = ls.critical_sharpness(objective, objective.gradient())
    assert found.value - found.bound <= 9.0


def test_relative_to_other_data_the_losses_are_theirs():
    """The update of all data, on the loss of a part: uᵀH₂u/g₂ᵀu of least squares."""
    objective, _ = uneven_least_squares()
    other = objective.subset(np.arange(4))
    u = objective.gradient()
    truth = float(u @ other.hvp(u) / (other.gradient() @ u))
    found = ls.critical_sharpness(other, u)
    assert truth != pytest.approx(float(u @ objective.hvp(u) / (u @ u)), rel=0.02)
    assert abs(found.value - truth) <= found.bound


def test_where_the_update_is_no_way_down_it_is_infinite_and_says_so():
    objective, _ = with_eigenvalues([2.0, 1.0])
    with pytest.raises(NotConverged, match="no way down") as refused:
        ls.critical_sharpness(objective, -objective.gradient())
    assert refused.value.partial.value == math.inf
    assert not ls.critical_sharpness(objective, -objective.gradient(), strict=False).converged


def test_a_loss_that_falls_for_ever_has_no_crossing():
    one = torch.ones(1, 1, dtype=torch.float64)
    model = network()[0][0]
    objective = ls.Objective(model, lambda f, t: f.mean(), (one.expand(4, 3), one.expand(4, 1)), check=False)
    found = ls.critical_sharpness(objective, objective.gradient(), strict=False)
    assert not found.converged
    assert "still falls" in found.method
    assert found.value == 0.0 < found.bound


def test_decay_can_be_left_out_of_the_way():
    objective, _, _, optimizer = stepped("AdamW")
    update = ls.optimizer_update(objective, optimizer)
    bare = ls.critical_sharpness(objective, update, decay=False)
    by_hand = ls.critical_sharpness(objective, update.without_decay, start=update.lr)
    assert bare.value == by_hand.value != ls.critical_sharpness(objective, update).value


def test_no_update_is_refused():
    objective, _ = with_eigenvalues([2.0, 1.0])
    with pytest.raises(UsageError, match="length 0"):
        ls.critical_sharpness(objective, np.zeros(2))
    with pytest.raises(UsageError, match=r"shape \(3,\) does not fit"):
        ls.critical_sharpness(objective, np.ones(3))
