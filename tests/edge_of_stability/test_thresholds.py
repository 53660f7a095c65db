"""Thresholds: just below, the optimizer itself converges on a quadratic; just above, it blows up."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn, optim

from landscape.edge_of_stability.settings import Settings
from landscape.edge_of_stability.thresholds import batch_threshold, curvature_threshold
from landscape.optimizers import make_optimizer
from landscape.params import ParamLayout

#: Denominators of adaptive optimizers are this, so that they stay as they are: then the recurrence is linear.
EPS = 1e4

#: name → (optimizer over parameters, what the curvature is divided by)
CASES = {
    "GD": (lambda p: optim.SGD(p, lr=0.1), 1.0),
    "GD with weight decay": (lambda p: optim.SGD(p, lr=0.1, weight_decay=3.0), 1.0),
    "heavy ball": (lambda p: optim.SGD(p, lr=0.1, momentum=0.9), 1.0),
    "heavy ball with weight decay": (lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=3.0), 1.0),
    "averaged gradients": (lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.9), 1.0),
    "Nesterov": (lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True), 1.0),
    "Adam": (lambda p: optim.Adam(p, lr=0.1, betas=(0.9, 0.9), eps=EPS), EPS),
    "AdamW": (lambda p: optim.AdamW(p, lr=0.1, betas=(0.9, 0.9), eps=EPS, weight_decay=1.5), EPS),
    "RMSprop": (lambda p: optim.RMSprop(p, lr=0.1, eps=EPS), EPS),
    "RMSprop with momentum": (lambda p: optim.RMSprop(p, lr=0.1, eps=EPS, momentum=0.8), EPS),
    "Adagrad": (lambda p: optim.Adagrad(p, lr=0.1, eps=EPS), EPS),
    "delayed gradients": (lambda p: make_optimizer("delayed-sgd", p, lr=0.1, delay=3), 1.0),
    "delayed gradients with momentum": (
        lambda p: make_optimizer("delayed-sgd", p, lr=0.1, delay=3, momentum=-0.5),
        1.0,
    ),
    "SOAP": (lambda p: make_optimizer("soap", p, lr=0.1, betas=(0.9, 0.9), eps=EPS), EPS),
}


def scalar(start: float = 1e-10) -> nn.Linear:
    with torch.random.fork_rng():
        model = nn.Linear(1, 1, bias=False).double()
    with torch.no_grad():
        model.weight.fill_(start)
    return model


def after(make, curvature: float, steps: int = 500) -> float:
    """|θ| over where it began, of the optimizer on ½·curvature·θ²."""
    model = scalar()
    optimizer = make(list(model.parameters()))
    for _ in range(steps):
        model.weight.grad = curvature * model.weight.detach().clone()
        optimizer.step(lambda: torch.zeros(()))
    return abs(float(model.weight.detach())) / 1e-10


def settings_of(make) -> Settings:
    model = scalar()
    return Settings(make(list(model.parameters())), model, ParamLayout.of(model))


@pytest.mark.parametrize("name", CASES)
def test_the_optimizer_converges_below_its_threshold_and_diverges_above(name):
    make, divided = CASES[name]
    found = curvature_threshold(settings_of(make))
    count = 2000 if "delayed" in name else 500  # a delay slows down what grows as well as what shrinks
    assert after(make, 0.98 * found.value * divided, count) < 0.05, found.rule
    assert after(make, 1.02 * found.value * divided, count) > 20, found.rule
    expected = "lambda_max" if divided == 1.0 else "preconditioned_sharpness"
    assert found.measure == expected


def test_adam_at_beta_nine_tenths_is_38_over_eta():
    found = curvature_threshold(settings_of(lambda p: optim.Adam(p, lr=1e-3)))
    assert found.value == pytest.approx(38_000.0)


def test_rates_of_its_own_for_each_group_make_it_the_preconditioned_one():
    model = nn.Sequential(scalar(), scalar())
    optimizer = optim.SGD([{"params": [p], "lr": r} for p, r in zip(model.parameters(), (0.1, 0.2), strict=True)])
    found = curvature_threshold(Settings(optimizer, model, ParamLayout.of(model)))
    assert (found.measure, found.value) == ("preconditioned_sharpness", pytest.approx(20.0))


def test_groups_that_differ_in_momentum_have_no_common_threshold():
    model = nn.Sequential(scalar(), scalar())
    groups = [{"params": [p], "betas": (b, 0.99)} for p, b in zip(model.parameters(), (0.9, 0.5), strict=True)]
    found = curvature_threshold(Settings(optim.Adam(groups), model, ParamLayout.of(model)))
    assert math.isnan(found.value)
    assert "groups differ in betas" in found.rule


def test_where_nothing_moves_nothing_is_unstable():
    assert curvature_threshold(settings_of(lambda p: optim.SGD(p, lr=0.0))).value == math.inf


def test_of_batches_it_is_that_of_plain_sgd_and_with_momentum_two_ends():
    assert batch_threshold(settings_of(lambda p: optim.SGD(p, lr=0.1))).value == pytest.approx(20.0)
    ends = batch_threshold(settings_of(lambda p: optim.SGD(p, lr=0.1, momentum=0.5)))
    assert math.isnan(ends.value)
    assert "= 10 of small and 2(1 + β)/η = 30 of large" in ends.rule
    assert math.isnan(batch_threshold(settings_of(lambda p: optim.Adam(p))).value)


def test_beyond_it_the_sharpest_direction_oscillates_and_grows_alone():
    """Two eigenvalues, one below and one above 2/η: only the sharper direction oscillates, and grows."""
    curvatures = torch.tensor([0.5 * 20.0, 1.05 * 20.0], dtype=torch.float64)
    theta = torch.ones(2, dtype=torch.float64)
    for _ in range(100):
        before, theta = theta, theta - 0.1 * curvatures * theta
    assert abs(theta[0]) < 1e-12
    assert theta[1] * before[1] < 0
    assert abs(theta[1]) > abs(before[1]) > 1
