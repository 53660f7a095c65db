"""Gradient noise to an asked accuracy, against the covariance of per-example gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import landscape as ls
from landscape.errors import NotConverged, UsageError
from tests.support.networks import seeded


def regression(count=400, dim=6):
    """Least squares: the gradient of one example is 2 (θᵀx − y) x."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((count, dim)), rng.standard_normal((count, 1))
    model = seeded(lambda: nn.Linear(dim, 1, bias=False)).double()
    theta = model.weight.detach().numpy().ravel()
    gradients = 2 * (x @ theta[:, None] - y) * x
    objective = ls.Objective(model, nn.functional.mse_loss, (torch.tensor(x), torch.tensor(y)), check=False)
    return objective, float(np.trace(np.cov(gradients.T)))


@pytest.mark.parametrize("batch_size", [4, 100])
def test_the_value_is_the_trace_of_the_covariance_over_the_batch(batch_size):
    objective, trace = regression()
    truth = trace / batch_size * (1 - batch_size / 400)
    found = ls.gradient_noise(objective, batch_size=batch_size, tol=0.2)
    low, high = found.interval()
    assert max(high - found.value, found.value - low) <= 0.2 * found.value
    assert abs(found.value - truth) <= 4 * found.sem
    assert found.converged
    assert "gradients over all data" in found.method


@pytest.mark.slow
def test_intervals_cover_over_seeds_with_the_draws_of_data_in_them():
    objective, trace = regression(count=1000)
    truth = trace / 10 * (1 - 10 / 1000)
    found = [ls.gradient_noise(objective, batch_size=10, tol=0.2, seed=s) for s in range(100)]
    hits = sum(low <= truth <= high for low, high in (f.interval() for f in found))
    values = np.array([f.value for f in found])
    assert hits >= stats.binom.ppf(0.001, 100, 0.92)
    assert abs(values.mean() - truth) <= 4 * stats.sem(values)


def test_an_absolute_tolerance_and_a_limit_end_the_work():
    objective, trace = regression()
    loose = ls.gradient_noise(objective, batch_size=10, atol=trace / 20)
    assert loose.interval()[1] - loose.value <= trace / 20
    with pytest.raises(NotConverged, match="from 0.5 gradients over all data"):
        ls.gradient_noise(objective, batch_size=10, tol=0.001, max_gradients=0.5)
    assert not ls.gradient_noise(objective, batch_size=10, tol=0.001, max_gradients=0.5, strict=False).converged
    with pytest.raises(UsageError, match="max_gradients= limits tol="):
        ls.gradient_noise(objective, batch_size=10, max_gradients=3.0)
