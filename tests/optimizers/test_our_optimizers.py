"""Of every optimizer: impossible options are refused by name, and a state saved and loaded goes on bit for bit."""

from __future__ import annotations

import copy

import pytest
import torch

from landscape.errors import UsageError
from landscape.optimizers import OPTIMIZERS, make_optimizer
from tests.support.stepping import START, LossOf, quadratic

pytestmark = pytest.mark.usefixtures("generator_of_its_own")


WRONG = [
    ("polyak-sgd", {"c": 0.0}, "c=0.0 must be a positive number"),
    ("polyak-adam", {"betas": [1.0, 0.9]}, r"betas\[0\]=1.0 must be at least 0 and below 1"),
    ("spsa", {"c": -1.0}, "c=-1.0 must be a positive number"),
    ("spsa", {"alpha": -1.0}, "alpha=-1.0 must not be negative"),
    ("line-search", {"shrink": 1.0}, "shrink=1.0 must lie between 0 and 1"),
    ("line-search", {"grow": 0.5}, "grow=0.5"),
    ("barzilai-borwein", {"kind": "middle"}, "'middle' is not one of 'long', 'short', 'diagonal'"),
    ("frank-wolfe", {"radius": 0.0}, "radius=0.0 must be a positive number"),
    ("coordinate-descent", {"block": 0}, "block=0 must be a whole number of at least 1"),
    ("coordinate-descent", {"block": 1.5}, "block=1.5 does not fit"),
    ("quantized-sgd", {"bits": 1}, "bits=1 must be a whole number from 2 to 24"),
    ("delayed-sgd", {"delay": -1}, "delay=-1"),
    ("delayed-sgd", {"momentum": -1.0}, "momentum=-1.0 must lie between -1 and 1"),
    ("delayed-sgd", {"law": "normal"}, "'normal' is not one of 'fixed', 'geometric'"),
    ("private-sgd", {"clip": 0.0}, "clip=0.0 must be a positive number"),
    ("private-sgd", {"noise_multiplier": -1.0}, "noise_multiplier=-1.0 must not be negative"),
    ("hypergradient-sgd", {"hyper_lr": -1.0}, "hyper_lr=-1.0 must not be negative"),
    ("hypergradient-adam", {"rule": "divided"}, "'divided' is not one of 'multiplicative', 'additive'"),
    ("hypergradient-adam", {"betas": [0.9, 1.0]}, r"betas\[1\]=1.0 must be at least 0 and below 1"),
    ("local-sgd", {"clients": 0}, "clients=0"),
    ("local-sgd", {"skew": 2.0}, "skew=2.0 must lie between 0 and 1"),
    ("local-sgd", {"period": 0}, "period=0 must be a whole number of at least 1"),
    ("decentralized-sgd", {"graph": "tree"}, "'tree' is not one of 'ring', 'star', 'complete'"),
    ("decentralized-sgd", {"clients": 0}, "clients=0 must be a whole number of at least 1"),
]


@pytest.mark.parametrize(("name", "options", "said"), WRONG)
def test_impossible_options_are_refused_by_name(name, options, said):
    with pytest.raises(UsageError, match=said):
        make_optimizer(name, [torch.nn.Parameter(torch.ones(2))], lr=0.1, **options)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_state_saved_and_loaded_goes_on_bit_for_bit(name):
    """With every draw from torch's generator the same."""

    def run(optimizer, parameter, count):
        centres = [lambda x, i=i: 0.5 * ((x - i) ** 2).sum() for i in range(8)]
        closure = LossOf(parameter, lambda x: quadratic(x) + 0.1 * (x**4).sum(), centres)
        with torch.random.fork_rng():
            torch.manual_seed(count)
            for _ in range(count):
                optimizer.step(closure)

    lr = OPTIMIZERS[name].lr
    first = torch.nn.Parameter(START.clone())
    optimizer = make_optimizer(name, [first], lr=lr)
    run(optimizer, first, 5)
    second = torch.nn.Parameter(first.detach().clone())
    twin = make_optimizer(name, [second], lr=lr)
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(optimizer, first, 7)
    run(twin, second, 7)
    assert torch.equal(first, second)
    assert not torch.equal(first, START)
