"""Metrics of drawn examples: how often what they state holds what all examples say (docs/accuracy.md)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import landscape as ls

EXAMPLES, DRAWS, POINTS = 8_000, 60, 21
#: Networks at three places: labels that can be told apart, labels of which a fifth is wrong, and no training at all.
CASES = {"clean": (0.0, 100), "noisy": (0.2, 100), "at the start": (0.0, 0)}


def problem(wrong: float, steps: int) -> tuple[nn.Module, Tensor, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        x, teacher = torch.randn(EXAMPLES, 6), torch.randn(6, 4)
        y = (x @ teacher).argmax(1)
        y = torch.where(torch.rand(EXAMPLES) < wrong, torch.randint(0, 4, (EXAMPLES,)), y)
        model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(steps):
            rows = torch.randint(0, EXAMPLES, (64,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return model, x, y


def in_another_order(model: nn.Module, x: Tensor, y: Tensor, seed: int) -> ls.Objective:
    """The same question, of which other examples are drawn."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    return ls.Objective(model, nn.functional.cross_entropy, (x[order], y[order]), check=False)


@pytest.mark.campaign
@pytest.mark.parametrize("case", CASES)
def test_accuracy_of_drawn_examples_is_within_its_error_in_nineteen_of_twenty_draws(case):
    model, x, y = problem(*CASES[case])
    objective = in_another_order(model, x, y, 0)
    how = {"points": POINTS, "metrics": ("accuracy",)}
    held = {"loss": 0, "accuracy": 0}
    apart, stated, drawn = [], [], []
    directions = [ls.random_direction(objective, seed=seed) for seed in range(3)]
    truths = [ls.evaluate_line(objective, d, **how) for d in directions]
    for draw in range(DRAWS):
        which = draw % len(directions)
        found = ls.evaluate_line(in_another_order(model, x, y, draw + 1), directions[which], tol=0.1, **how)
        if not found.num_drawn:  # a line on which so few do not suffice is of all examples
            continue
        drawn.append(found.num_drawn)
        truth = truths[which]
        held["loss"] += bool(np.abs(found.loss - truth.loss).max() <= found.error)
        apart.append(np.abs(found.metric("accuracy") - truth.metric("accuracy")).max())
        stated.append(found.metric_errors["accuracy"])
        held["accuracy"] += bool(apart[-1] <= stated[-1])
    print(
        f"{case}: {np.median(drawn):.0f} of {EXAMPLES} drawn; held {held} of {len(drawn)}; accuracy off by "
        f"{np.median(apart):.4f} at the median and {max(apart):.4f} at most, stated {np.median(stated):.4f}"
    )
    assert len(drawn) >= 2 * DRAWS // 3
    assert held["loss"] >= 0.95 * len(drawn) - 4  # two standard deviations below 95 in 100
    assert held["accuracy"] >= 0.95 * len(drawn) - 4
    assert np.median(stated) <= 0.1
