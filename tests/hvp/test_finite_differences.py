"""Products by differences of gradients are off by about the error they give, also where nothing else is possible."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls
from landscape.hvp.finite_differences import Differences
from tests.support.networks import dense_hessian, make
from tests.support.products import seeded_vector


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-6), (torch.float32, 2e-2)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_differences_are_off_by_about_the_error_they_give(dtype, limit, scale):
    model, loss_fn, batches = make("mlp")
    exact = dense_hessian(model, loss_fn, batches)
    H = ls.HessianOperator(ls.Objective(model.to(dtype), loss_fn, batches, check=False), route="differences")
    v = scale * seeded_vector(H.dim, 0, dtype)
    expected = exact @ v.double()
    off = float((H @ v - expected).norm() / expected.norm())
    assert off <= H._product.error <= limit


def test_differences_are_there_where_torch_has_no_second_derivative():
    """ctc_loss: double backward is refused with this way named, and the Rayleigh quotient agrees with the loss."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Linear(3, 5).double()
        x, target = torch.randn(6, 2, 3).double(), torch.randint(1, 5, (2, 2))

    def loss(model, batch):
        logits = model(batch[0].transpose(0, 1)).log_softmax(-1)
        sizes = torch.full((logits.shape[1],), 6), torch.full((logits.shape[1],), 2)
        return F.ctc_loss(logits, batch[1], *sizes)

    objective = ls.Objective.from_loss(model, loss, (x.transpose(0, 1), target), check=False)
    with pytest.raises(ls.ObjectiveError, match="route='differences'"):
        ls.HessianOperator(objective) @ objective.theta
    H = ls.HessianOperator(objective, route="differences")
    v, h = seeded_vector(H.dim, 0), 1e-4
    theta = objective.theta
    second = objective.loss(theta + h * v) - 2 * objective.loss(theta) + objective.loss(theta - h * v)
    assert float(v @ (H @ v)) == pytest.approx(second / h**2, rel=1e-4)


def test_differences_that_are_not_finite_have_no_finite_error():
    model, loss_fn, batches = make("mlp")
    objective = ls.Objective(model, loss_fn, batches, check=False)
    product = Differences(objective.parts(), objective.theta)
    v = seeded_vector(68, 0)
    product(v)
    assert 0 < product.error < 1e-4
    product(v * math.nan)
    assert product.error == math.inf
    product(v)
    assert product.error == math.inf
