"""Critical sharpness in a training loop, against closed forms."""

from __future__ import annotations

import pytest
import torch

import landscape as ls
from tests.support.loops import ByHand, linear


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_in_a_loop_it_is_that_of_the_update(momentum):
    """Least squares in float64: along u, η_c = 2 gᵀu / uᵀHu, with H and g by algebra and u from the two θ."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(20, 4, generator=generator, dtype=torch.float64)
    y = torch.randn(20, 1, generator=generator, dtype=torch.float64)
    model = linear(4, 1, bias=False).double()
    with torch.no_grad():
        model.weight.fill_(2.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=momentum)
    clock = ByHand()
    monitor = ls.Monitor(
        model, torch.nn.functional.mse_loss, (x, y), optimizer=optimizer, measures="critical_sharpness", clock=clock
    )
    hessian = 2 / 20 * x.T @ x
    seen = 0
    for _ in range(12):
        before = model.weight.detach().clone().reshape(-1)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
        clock.now += 1.0
        found = monitor.step()
        if found is None:
            continue
        seen += 1
        u = (before - model.weight.detach().reshape(-1)) / 0.01
        g = hessian @ before - 2 / 20 * (x.T @ y).reshape(-1)
        truth = float(u @ hessian @ u / (g @ u))
        assert abs(found["landscape/critical_sharpness"] - truth) <= found["landscape/critical_sharpness_error"]
        assert found["landscape/critical_sharpness_error"] <= 0.02 * truth
    assert seen >= 4


def test_without_an_optimizer_it_is_along_the_gradient():
    x = torch.diag(torch.tensor([3.0, 1.0, 0.5]))
    model = linear(3, 1, bias=False)
    objective = ls.Objective(model, torch.nn.functional.mse_loss, (x, torch.zeros(3, 1)))
    found = ls.Monitor(objective, measures="critical_sharpness").measure()
    g = objective.gradient()
    truth = float(g @ objective.hvp(g) / (g @ g))
    assert abs(found["landscape/critical_sharpness"] - truth) <= found["landscape/critical_sharpness_error"]


def test_of_a_step_of_no_length_there_is_none():
    """As at the first step of a warm-up; it is not that of the gradient instead."""
    clock, model = ByHand(), linear(2, 1)
    x = torch.eye(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    monitor = ls.Monitor(model, torch.nn.functional.mse_loss, (x, x[:, :1]), optimizer=optimizer, clock=clock)
    for _ in range(2):
        clock.now += 1.0
        found = monitor.step()
    assert "landscape/lambda_max" in found
    assert "landscape/critical_sharpness" not in found
