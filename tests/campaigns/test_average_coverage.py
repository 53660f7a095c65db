"""How often the intervals of average sharpness and gradient noise to a tolerance cover, with the draws of data in them:
what docs/accuracy.md states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import landscape as ls
from tests.support.averages import LOSSES, average_rise, perceptron

SEEDS = 400
#: The share that docs/accuracy.md states.
STATED = 0.9


@pytest.mark.campaign
@pytest.mark.parametrize("count", [2000, 20_000])
@pytest.mark.parametrize("steps", [0, 300])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("measure", ["average", "adaptive_average"])
def test_intervals_of_averages_cover_the_value_on_all_data(loss, steps, measure, count):
    objective = perceptron(loss, steps, count=count)
    theta = objective.theta
    scale = torch.full_like(theta, 0.05) if measure == "average" else 0.1 * theta.abs()
    truth, error = average_rise(objective, scale, draws=20_000)
    found = [ls.sharpness(objective, measure=measure, tol=0.2, seed=s, strict=False) for s in range(SEEDS)]
    low, high = np.array([f.interval() for f in found]).T
    hits = int(((low - error <= truth) & (truth <= high + error)).sum())
    cost = np.mean([f.cost for f in found])
    print(f"{measure}, {loss}, {steps} steps, N={count}: {hits / SEEDS:.3f} from {cost:.2f} losses")
    assert hits >= stats.binom.ppf(0.001, SEEDS, STATED)


@pytest.mark.campaign
@pytest.mark.parametrize("steps", [0, 300])
@pytest.mark.parametrize("loss", LOSSES)
def test_intervals_of_gradient_noise_cover_the_trace_of_the_covariance(loss, steps):
    objective = perceptron(loss, steps)
    rows = torch.stack([objective.subset([i]).gradient() for i in range(2000)]).double().numpy()
    truth = float(rows.var(axis=0, ddof=1).sum()) / 50 * (1 - 50 / 2000)
    found = [ls.gradient_noise(objective, batch_size=50, tol=0.2, seed=s) for s in range(SEEDS)]
    hits = sum(low <= truth <= high for low, high in (f.interval() for f in found))
    print(f"gradient noise, {loss}, {steps} steps: {hits / SEEDS:.3f}")
    assert hits >= stats.binom.ppf(0.001, SEEDS, STATED)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_a_few_of_these_seeds_cover_often_enough(loss):
    objective = perceptron(loss, 300, count=1000)
    truth, error = average_rise(objective, torch.full((114,), 0.05), draws=3000)
    found = [ls.sharpness(objective, measure="average", tol=0.3, seed=s) for s in range(40)]
    hits = sum(low - 2 * error <= truth <= high + 2 * error for low, high in (f.interval() for f in found))
    assert hits >= stats.binom.ppf(0.001, 40, STATED)
