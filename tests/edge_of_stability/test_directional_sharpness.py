"""The curvature along an update, and its split: against the dense Hessian, and what the step then does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.errors import UsageError
from tests.support.known_hessians import uneven_least_squares
from tests.support.stepped import stepped


@pytest.mark.parametrize("name", ["SGD", "AdamW", "Muon", "Shampoo"])
def test_the_parts_are_those_of_the_dense_hessian_and_add_up(name):
    objective, _, _, optimizer = stepped(name)
    update = ls.optimizer_update(objective, optimizer)
    found = ls.directional_sharpness(objective, update)
    H, u = ls.HessianOperator(objective).dense().numpy(), update.vector
    cuts = [slice(0, 15), slice(15, 30)]
    expected = np.array([[u[a] @ H[a, b] @ u[b] for b in cuts] for a in cuts]) / (u @ u)
    np.testing.assert_allclose(found.parts, expected, rtol=1e-8, atol=1e-12)
    assert found.value == pytest.approx(u @ H @ u / (u @ u), rel=1e-9)
    assert found.within + found.across == pytest.approx(found.value, rel=1e-9)
    assert abs(found.parts.sum() - found.value) <= found.bound
    np.testing.assert_allclose(found.shares, [u[c] @ u[c] / (u @ u) for c in cuts])
    assert found.shares.sum() == pytest.approx(1.0)
    assert found.num_matvecs == 3


def test_groups_are_those_that_are_asked_for():
    objective, _, _, optimizer = stepped("AdamW")
    update = ls.optimizer_update(objective, optimizer)
    whole = ls.directional_sharpness(objective, update, groups=None)
    named = ls.directional_sharpness(objective, update, groups={"all": "*"})
    assert (whole.num_matvecs, named.names) == (1, ("all",))
    assert named.parts[0, 0] == pytest.approx(whole.value, rel=1e-9)
    with pytest.raises(UsageError, match="in no group"):
        ls.directional_sharpness(objective, update, groups=["0.weight"])


@pytest.mark.parametrize(("reach", "falls"), [(0.98, True), (1.02, False)])
def test_a_step_at_the_threshold_is_where_the_loss_stops_falling(reach, falls):
    """On a quadratic, in any direction: L(θ − ηu) < L(θ) exactly for η below 2gᵀu/uᵀHu."""
    objective, _ = uneven_least_squares()
    u = objective.gradient() * torch.linspace(0.2, 2.0, 6, dtype=torch.float64)
    found = ls.directional_sharpness(objective, u)
    lr = reach * 2 * found.slope / found.value
    assert (objective.loss(objective.theta - lr * u) < objective.loss()) is falls
    assert found.value / found.threshold(lr) == pytest.approx(reach)


def test_along_the_gradient_the_threshold_is_two_over_eta():
    objective, _ = uneven_least_squares()
    found = ls.directional_sharpness(objective, objective.gradient())
    assert found.threshold(0.1) == pytest.approx(20.0)


def test_decay_and_a_hessian_that_is_there_already():
    objective, _, _, optimizer = stepped("AdamW")
    update, H = ls.optimizer_update(objective, optimizer), ls.HessianOperator(objective)
    bare = ls.directional_sharpness(objective, update, hessian=H, decay=False)
    u = update.without_decay
    assert bare.value == pytest.approx(u @ (H @ u).numpy() / (u @ u), rel=1e-9)
    with pytest.raises(UsageError, match="length 0"):
        ls.directional_sharpness(objective, np.zeros(30))
