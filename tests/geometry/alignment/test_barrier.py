"""Between networks that were trained apart the barrier falls once their neurons are matched, and again by REPAIR."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

import landscape as ls
from landscape.problems.builtin.networks import MLP


def trained(seed, x, y):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MLP(64, (64, 64), 10, activation="relu")
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(150):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model


@pytest.fixture(scope="module")
def objectives():
    digits = load_digits()
    x, y = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
    return [ls.Objective(trained(seed, x, y), F.cross_entropy, (x, y)) for seed in (0, 1)]


@pytest.mark.parametrize("method", ["weights", "activations"])
def test_matched_neurons_lower_the_barrier_and_the_distance(objectives, method):
    a, b = objectives
    before = ls.interpolate(a, b, points=11).barrier
    found = ls.align(a, a, b, method=method)
    line = ls.interpolate(a, a.theta, found, points=11)
    assert line.loss[-1] == pytest.approx(b.loss(), rel=1e-4)
    assert before > 0.5
    assert line.barrier < 0.4 * before
    assert found.distance < found.distance_before
    assert found.similarity > found.similarity_before


def test_repair_lowers_what_is_left_of_it(objectives):
    a, b = objectives
    found = ls.repair(a, a.theta, ls.align(a, a, b))
    assert found.spread_before.min() < 0.9
    assert found.barrier < found.barrier_before
