"""Clients that take steps of their own and meet: SGD where they always do, their mean where they never do."""

from __future__ import annotations

import pytest
import torch

from landscape.optimizers import make_optimizer
from tests.support.stepping import START, LossOf, steps

pytestmark = pytest.mark.usefixtures("generator_of_its_own")


CENTRES = list(torch.diag(torch.tensor([1.0, 2.0, -3.0], dtype=torch.float64)))
CLIENTS = [lambda x, c=c, k=k: 0.5 * (k + 1) * ((x - c) ** 2).sum() for k, c in enumerate(CENTRES)]


def test_clients_that_meet_every_step_do_sgd_on_the_mean_of_their_losses():
    local, losses, _ = _local(5, period=1)

    def mean(theta):
        return sum(f(theta) for f in CLIENTS) / 3

    plain, plain_losses, _ = steps("sgd", 5, mean, lr=0.1)
    assert torch.allclose(torch.stack(local), torch.stack(plain), rtol=1e-12)
    assert losses == pytest.approx(plain_losses)


def test_clients_that_never_meet_go_their_own_ways_and_the_model_is_their_mean():
    local, _, _ = _local(400, period=1000)
    assert torch.allclose(local[-1], sum(CENTRES) / 3, atol=1e-6)


def test_between_two_meetings_every_client_takes_its_own_steps():
    local, _, _ = _local(4, period=2)
    theta = START.clone()
    for _ in range(2):
        ends = []
        for k, c in enumerate(CENTRES):
            own = theta.clone()
            for _ in range(2):
                own = own - 0.1 * (k + 1) * (own - c)
            ends.append(own)
        theta = sum(ends) / 3
    assert torch.allclose(local[-1], theta, rtol=1e-12)


def _local(count, *, period):
    parameter = torch.nn.Parameter(START.clone())
    optimizer = make_optimizer("local-sgd", [parameter], lr=0.1, clients=3, period=period)
    closure = LossOf(parameter, None, CLIENTS)
    places, losses = [], []
    for _ in range(count):
        losses.append(float(optimizer.step(closure)))
        places.append(parameter.detach().clone())
    return places, losses, optimizer
