"""Optimizers and schedules: the first steps follow the published formulas, and options are checked by name."""

from __future__ import annotations

import math

import pytest
import torch

from landscape.errors import UsageError
from landscape.optimizers import (
    LEARNING_RATES,
    OPTIMIZERS,
    SCHEDULES,
    make_optimizer,
    make_schedule,
    optimizer_options,
    schedule_options,
)

GRADIENTS = torch.tensor([[2.0, -0.5, 1.0], [1.0, 0.25, -3.0]], dtype=torch.float64)
START = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def positions(name, lr, **options):
    """Where the parameter stands after each of two steps with given gradients."""
    parameter = torch.nn.Parameter(START.clone())
    optimizer = make_optimizer(name, [parameter], lr=lr, **options)
    seen = []
    for gradient in GRADIENTS:
        parameter.grad = gradient.clone()
        optimizer.step()
        seen.append(parameter.detach().clone())
    return seen


def moved(*steps):
    return [START + sum(steps[: i + 1]) for i in range(len(steps))]


def adam_steps(lr, b1=0.9, b2=0.999, eps=1e-8):
    m = v = torch.zeros(3, dtype=torch.float64)
    steps = []
    for t, g in enumerate(GRADIENTS, start=1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        steps.append(-lr * (m / (1 - b1**t)) / ((v / (1 - b2**t)).sqrt() + eps))
    return steps


#: Some of the options of these are the optimizer's, not a group's.
PUBLISHED = ("muon", "adahessian", "shampoo", "soap", "lion", "sam", "asam", "signsgd", "sophia")
g1, g2 = GRADIENTS
DECAYED = START - 0.1 * (g1 + 0.5 * START)
V1 = 0.01 * g1**2
V2 = 0.99 * V1 + 0.01 * g2**2


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("gd", {}, moved(-0.1 * g1, -0.1 * g2)),
        ("sgd", {}, moved(-0.1 * g1, -0.1 * g2)),
        ("sgd", {"weight_decay": 0.5}, [DECAYED, DECAYED - 0.1 * (g2 + 0.5 * DECAYED)]),
        ("momentum", {"momentum": 0.8}, moved(-0.1 * g1, -0.1 * (0.8 * g1 + g2))),
        ("nesterov", {}, moved(-0.1 * 1.9 * g1, -0.1 * (g2 + 0.9 * (0.9 * g1 + g2)))),
        ("adam", {}, moved(*adam_steps(0.1))),
        ("adam", {"betas": [0.5, 0.9], "eps": 1e-3}, moved(*adam_steps(0.1, 0.5, 0.9, 1e-3))),
        ("adamw", {"weight_decay": 0.0}, moved(*adam_steps(0.1))),
        ("rmsprop", {}, moved(-0.1 * g1 / (V1.sqrt() + 1e-8), -0.1 * g2 / (V2.sqrt() + 1e-8))),
        ("adagrad", {}, moved(-0.1 * g1 / (g1.abs() + 1e-10), -0.1 * g2 / ((g1**2 + g2**2).sqrt() + 1e-10))),
    ],
)  # fmt: skip
def test_two_steps_follow_the_formula(name, options, expected):
    for seen, wanted in zip(positions(name, 0.1, **options), expected, strict=True):
        assert torch.allclose(seen, wanted, rtol=1e-12, atol=1e-14)


def test_adamw_decays_the_weights_apart_from_the_gradient():
    decayed = positions("adamw", 0.1, weight_decay=0.3)[0]
    assert torch.allclose(decayed, START * (1 - 0.1 * 0.3) + adam_steps(0.1)[0], rtol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_builds_with_its_default_learning_rate_and_every_option_it_lists(name):
    options = optimizer_options(name)
    optimizer = make_optimizer(name, [torch.nn.Parameter(torch.ones(1))], lr=LEARNING_RATES[name], **options)
    if name not in PUBLISHED:
        for key, value in options.items():
            assert optimizer.param_groups[0][key] == value


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("lyon", {}, "optimizer='lyon' is not one of 'gd', 'sgd'"),
        ("sgd", {"momentum": 0.9}, "optimizer 'sgd' has no option 'momentum'; it has weight_decay"),
        ("adam", {"beta1": 0.9}, "no option 'beta1'; it has betas, eps"),
        ("adam", {"betas": 0.9}, r"betas=0.9 does not fit; an example is \(0.9, 0.999\)"),
        ("adam", {"betas": [0.9]}, "does not fit"),
        ("adam", {"amsgrad": 1}, "amsgrad=1 does not fit"),
        ("momentum", {"momentum": "high"}, "momentum='high' does not fit"),
        ("momentum", {"momentum": True}, "momentum=True does not fit"),
        ("momentum", {"momentum": -0.5}, "Invalid momentum value"),
        ("adam", {"betas": [1.5, 0.9]}, "Invalid beta parameter"),
    ],
)
def test_unknown_names_and_impossible_options_are_refused(name, options, said):
    with pytest.raises(UsageError, match=said):
        make_optimizer(name, [torch.nn.Parameter(torch.ones(1))], lr=0.1, **options)


@pytest.mark.parametrize("lr", [0, -1.0, math.inf, math.nan, "fast", True])
def test_a_learning_rate_is_a_positive_number(lr):
    with pytest.raises(UsageError, match="lr="):
        make_optimizer("sgd", [torch.nn.Parameter(torch.ones(1))], lr=lr)


def rates(name, total, **options):
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = make_optimizer("sgd", [parameter], lr=2.0)
    schedule = make_schedule(name, optimizer, total_steps=total, **options)
    seen = []
    for _ in range(total):
        seen.append(optimizer.param_groups[0]["lr"])
        parameter.grad = torch.zeros(1)
        optimizer.step()
        schedule.step()
    return [*seen, optimizer.param_groups[0]["lr"]]


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("constant", {}, lambda t: 2.0),
        ("step", {}, lambda t: 2.0 * 0.1 ** (t // 4)),
        ("step", {"drops": 1, "factor": 0.5}, lambda t: 2.0 * 0.5 ** (t // 6)),
        ("exponential", {}, lambda t: 2.0 * 0.01 ** (t / 12)),
        ("cosine", {}, lambda t: 1 + math.cos(math.pi * t / 12)),
        ("cosine", {"final": 0.5}, lambda t: 1.5 + 0.5 * math.cos(math.pi * t / 12)),
        ("polynomial", {"power": 2.0}, lambda t: 2.0 * (1 - t / 12) ** 2),
        ("cyclic", {"cycles": 3, "lowest": 0.5}, lambda t: 2.0 * [0.5, 0.75, 1.0, 0.75][t % 4]),
        ("warmup", {"share": 0.25}, lambda t: 2.0 * min(1, (t + 1) / 3)),
        ("warmup", {"share": 0.25, "then": "linear"}, lambda t: 2.0 * ((t + 1) / 3 if t < 3 else 1 - (t - 3) / 9)),
        (
            "warmup",
            {"share": 0.25, "then": "cosine", "final": 0.5},
            lambda t: 2.0 * ((t + 1) / 3 if t < 3 else 0.75 + 0.25 * math.cos(math.pi * (t - 3) / 9)),
        ),
    ],
)
def test_a_schedule_follows_its_formula_from_first_to_last_step(name, options, expected):
    assert rates(name, 12, **options) == pytest.approx([expected(t) for t in range(13)], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("warm", {}, "schedule='warm' is not one of 'constant', 'step'"),
        ("constant", {"gamma": 1}, "schedule 'constant' has no option 'gamma'; it has none"),
        ("step", {"drops": 0}, "drops=0"),
        ("step", {"factor": -1.0}, "factor=-1.0 must be a positive number"),
        ("exponential", {"final": 0}, "final=0 must be a positive number"),
        ("polynomial", {"power": "two"}, "power='two' does not fit"),
    ],
)
def test_unknown_schedules_and_impossible_options_are_refused(name, options, said):
    optimizer = make_optimizer("sgd", [torch.nn.Parameter(torch.ones(1))], lr=0.1)
    with pytest.raises(UsageError, match=said):
        make_schedule(name, optimizer, total_steps=10, **options)


def test_defaults_are_written_out():
    assert optimizer_options("adam", {"eps": 1e-7}) == {
        "betas": (0.9, 0.999), "eps": 1e-7, "weight_decay": 0.0, "amsgrad": False,
    }  # fmt: skip
    assert schedule_options("step", {"drops": 3}) == {"drops": 3, "factor": 0.1}
    assert set(SCHEDULES) == {"constant", "step", "exponential", "cosine", "polynomial", "cyclic", "warmup"}
