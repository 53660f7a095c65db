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


def test_the_noise_scale_is_the_trace_of_the_covariance_over_the_squared_gradient():
    """With batches of one example it is exact; with others within its error, whatever their size."""
    objective, trace = regression(count=100)
    truth = trace / float(objective.gradient().square().sum())
    exact = ls.gradient_noise_scale(objective)
    assert exact.value == pytest.approx(truth, rel=1e-12)
    assert abs(exact.value - truth) <= exact.bound <= 1e-12 * truth
    for size in (4, 10, 25):
        found = ls.gradient_noise_scale(objective, batch_size=size)
        assert abs(found.value - truth) <= 4 * found.sem
        assert found.sem > 0
    given = ls.gradient_noise_scale(objective, batch_size=4, gradient=objective.gradient())
    assert given.value == ls.gradient_noise_scale(objective, batch_size=4).value
    noise = ls.gradient_noise(objective, batch_size=4)
    assert given.value == pytest.approx(noise.value * 4 / (1 - 4 / 100) / float(objective.gradient().square().sum()))


def test_intervals_of_the_noise_scale_cover_and_its_mean_is_not_off():
    objective, trace = regression()
    truth = trace / float(objective.gradient().square().sum())
    found = [ls.gradient_noise_scale(objective, seed=s) for s in range(60)]
    assert found[0].samples.size == 66
    hits = sum(low <= truth <= high for low, high in (f.interval() for f in found))
    assert hits >= stats.binom.ppf(0.001, 60, 0.9)
    values = np.array([f.value for f in found])
    assert abs(values.mean() - truth) <= 4 * stats.sem(values)


def test_without_a_gradient_or_two_batches_there_is_no_noise_scale():
    x = torch.tensor([[1.0], [-1.0]])
    model = seeded(lambda: nn.Linear(1, 1, bias=False))
    still = ls.Objective(model, nn.functional.mse_loss, (x, x * model.weight.detach()), check=False)
    assert ls.gradient_noise_scale(still).value == float("inf")
    objective, _ = regression(count=10)
    with pytest.raises(UsageError, match="batch_size=6 gives 1 batch of 10 examples; need two"):
        ls.gradient_noise_scale(objective, batch_size=6)
    assert ls.gradient_noise_scale(objective, batch_size=3).error is None, "three batches are no sample"


def test_two_batches_that_are_all_of_the_data_have_one_distance_and_so_no_error():
    objective, _ = regression(count=10)
    found = ls.gradient_noise(objective, batch_size=5)
    assert found.samples[0] == pytest.approx(found.samples[1])
    assert found.error is None
    assert ls.gradient_noise(objective, batch_size=3).error > 0
