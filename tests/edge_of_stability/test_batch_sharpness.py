"""Batch sharpness against its exact mean over all batches there are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import landscape as ls
from landscape.errors import NotConverged, ObjectiveError, UsageError
from tests.support.networks import seeded

N, B = 8, 3


def regression(zero: int = 0):
    """Least squares on eight points in the plane, and what each batch of three has: closed form by example."""
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((N, 2)) * [2.0, 0.7], rng.standard_normal(N)
    model = seeded(lambda: nn.Linear(2, 1, bias=False)).double()
    theta = model.weight.detach().numpy().ravel()
    x[:zero] = 0.0
    values = []
    for rows in combinations(range(N), B):
        part, target = x[list(rows)], y[list(rows)]
        g, H = 2 / B * part.T @ (part @ theta - target), 2 / B * part.T @ part
        values.append(g @ H @ g / (g @ g) if g.any() else np.nan)
    data = torch.tensor(x), torch.tensor(y)[:, None]
    return ls.Objective(model, nn.functional.mse_loss, data, check=False), np.array(values)


def test_every_sample_is_that_of_a_batch_and_the_mean_is_near_that_of_all_56():
    objective, every = regression()
    found = ls.batch_sharpness(objective, batch_size=B, num_batches=15, seed=1)  # two of a deal, then a new deal
    assert all(np.isclose(every, sample).any() for sample in found.samples)
    assert abs(found.value - every.mean()) <= 4 * found.sem
    assert found.value != pytest.approx(float(np.mean(every[:15])))


@pytest.mark.slow
def test_by_seed_intervals_hold_the_mean_over_all_batches():
    objective, every = regression()
    found = [ls.batch_sharpness(objective, batch_size=B, num_batches=16, seed=s) for s in range(60)]
    hits = sum(low <= every.mean() <= high for low, high in (f.interval() for f in found))
    assert hits >= stats.binom.ppf(0.001, 60, 0.92)
    assert abs(np.mean([f.value for f in found]) - every.mean()) <= 4 * stats.sem([f.value for f in found])
    assert all("deals" in f.method for f in found)


@pytest.mark.slow
def test_the_error_of_whole_deals_is_the_spread_over_seeds():
    """Batches of a deal share no example: their mean is surer than that of independent ones, and the error knows it."""
    objective, _ = regression()
    objective = objective.subset(np.arange(6))
    found = [ls.batch_sharpness(objective, batch_size=3, num_batches=40, seed=s) for s in range(40)]
    spread = np.std([f.value for f in found], ddof=1)
    assert np.mean([f.sem for f in found]) == pytest.approx(spread, rel=0.35)


def test_an_asked_accuracy_is_met_or_refused():
    objective, _ = regression()
    found = ls.batch_sharpness(objective, batch_size=B, tol=0.2)
    assert found.reach() <= 0.2 * found.value
    with pytest.raises(NotConverged, match="raise max_batches") as refused:
        ls.batch_sharpness(objective, batch_size=1, tol=0.001, max_batches=20)
    assert not refused.value.partial.converged
    assert not ls.batch_sharpness(objective, batch_size=1, tol=0.001, max_batches=20, strict=False).converged
    with pytest.raises(UsageError, match="pass one of them"):
        ls.batch_sharpness(objective, batch_size=B, tol=0.2, num_batches=4)


def test_one_batch_of_all_data_is_the_curvature_along_the_gradient():
    objective, _ = regression()
    g = objective.gradient()
    found = ls.batch_sharpness(objective, batch_size=N, tol=0.01)
    assert found.value == pytest.approx(float(g @ objective.hvp(g) / (g @ g)))
    assert found.bound < 1e-12
    assert found.converged


def test_batches_without_a_gradient_are_left_out_and_counted():
    objective, _ = regression(zero=4)
    found = ls.batch_sharpness(objective, batch_size=1, num_batches=16)
    assert "8 without a gradient left out" in found.method
    assert len(found.samples) == 8
    assert np.isfinite(found.value)
    flat = objective.subset(np.arange(4))
    with pytest.raises(UsageError, match="all 3 batches are zero"):
        ls.batch_sharpness(flat, batch_size=1, num_batches=3)


def test_what_cannot_be_dealt_is_refused():
    objective, _ = regression()
    with pytest.raises(UsageError, match="more than the 8 examples"):
        ls.batch_sharpness(objective, batch_size=9)
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = ls.Objective(
        seeded(lambda: nn.Linear(2, 1)).double(), nn.functional.mse_loss, [(x[:3], x[:3, :1]), (x[3:], x[3:, :1])],
        interacting=True,
    )  # fmt: skip
    with pytest.raises(ObjectiveError, match="stay as they came"):
        ls.batch_sharpness(whole, batch_size=2)
    assert ls.batch_sharpness(whole, batch_size=6).converged
