"""The pretended device itself: that it computes, refuses what CUDA refuses, and sees a planted fault."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import grad, jvp, linearize, vmap

from tests.support.pretended_device import (
    NoFloat64Error,
    WrongSideError,
    counts,
    on_pretended_device,
    refusals,
    without_float64,
)

MIXTURES = {
    "a matrix": (lambda x: x + torch.ones(4, 3), "same device"),
    "a matrix of a product": (lambda x: x @ torch.ones(3, 2), "same device"),
    "a number in a concatenation": (lambda x: torch.stack([x[0, 0], torch.tensor(1.0)]), "same device"),
    "what is written into": (lambda x: torch.ones(3).add_(x[0]), "same device"),
    "indices of rows": (lambda x: x.index_select(0, torch.tensor([0])), "same device"),
    "indices of the device, into the CPU": (lambda x: torch.ones(3)[x[0].long()], "indices should be either on cpu"),
    "a generator": (lambda x: torch.randn(3, device=x.device, generator=torch.Generator()), "for generator"),
    "weights of a model": (lambda x: F.linear(x, torch.ones(2, 3)), "same device"),
    "targets of a loss": (lambda x: F.cross_entropy(x, torch.zeros(4, dtype=torch.long)), "same device"),
    "NumPy": (lambda x: x.numpy(), "can't convert"),
    "NumPy's own call": (np.asarray, "can't convert"),
}


@pytest.mark.parametrize("what", MIXTURES)
@on_pretended_device
def test_what_lies_on_the_other_side_is_refused(device, what):
    call, says = MIXTURES[what]
    with pytest.raises((RuntimeError, TypeError), match=says):
        call(torch.ones(4, 3, device=device))
    refusals.clear()


@on_pretended_device
def test_what_cuda_takes_is_taken(device):
    x = torch.arange(12.0, device=device).reshape(4, 3)
    assert (x * torch.tensor(2.0)).cpu().equal(2 * x.cpu())  # a number of the CPU
    assert x[torch.tensor([2, 0])].cpu().equal(x.cpu()[[2, 0]])  # an index on the CPU
    x[torch.tensor([1]), torch.tensor([1])] = 7.0
    assert float(x[1, 1]) == 7.0
    there = torch.ones(3).to(device)
    there.copy_(torch.zeros(3))
    assert there.device == device
    assert float(there.sum()) == 0.0


@on_pretended_device
def test_views_share_memory_and_copies_do_not(device):
    x = torch.zeros(4, 3, device=device)
    row, twin = x[1], copy.deepcopy(x)
    row += 1
    x.data.t()[2] -= 1
    assert x.cpu().tolist() == [[0, 0, -1], [1, 1, 0], [0, 0, -1], [0, 0, -1]]
    assert not twin.cpu().any()
    assert row.data_ptr() == x.data_ptr() + 12


@on_pretended_device
def test_derivatives_are_those_of_the_cpu(device):
    generator = torch.Generator().manual_seed(0)
    x, w, v = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (4, 5, 5))
    there = [t.to(device) for t in (x, w, v)]

    def loss(w, x):
        return torch.tanh(x @ w.T).square().mean() + F.cross_entropy(x @ w.T, (x[:, 0] > 0).long())

    def products(x, w, v):
        def slope(at):
            return grad(loss)(at, x)

        at = w.clone().requires_grad_()
        (g,) = torch.autograd.grad(loss(at, x), at, create_graph=True)
        (double,) = torch.autograd.grad(g, at, v)
        forward = jvp(slope, (w,), (v,))[1]
        several = vmap(lambda u: jvp(slope, (w,), (u,))[1])(torch.stack([v, 2 * v]))
        return [double, forward, several[1] / 2, linearize(slope, w)[1](v)]

    for ours, its in zip(products(x, w, v), products(*there), strict=True):
        assert its.device == device
        assert torch.equal(its.cpu(), ours)


@on_pretended_device
def test_an_optimizer_trains_a_network_there_as_on_the_cpu(device):
    def trained(place):
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(0)
            net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3))
        x = torch.linspace(-1, 1, 150).reshape(6, 1, 5, 5).to(place)
        net.to(place)
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(net(x), torch.arange(6).to(place) % 3).backward()
            optimizer.step()
        return [t.cpu() for t in net.state_dict().values()]

    for ours, its in zip(trained("cpu"), trained(device), strict=True):
        assert torch.allclose(ours, its, rtol=1e-6, atol=1e-7)


@on_pretended_device
def test_reading_numbers_and_going_across_is_counted(device):
    counts.clear()
    x = torch.ones(3).to(device)
    float(x.sum())
    bool(x.any())
    x.tolist()
    assert counts["reads"] == 2
    assert counts["to the device"] == 1
    assert counts["to the CPU"] == 1


@on_pretended_device
def test_its_random_numbers_are_not_those_of_the_cpu(device):
    before = torch.random.get_rng_state()
    with torch.random.fork_rng(devices=[device], device_type=device.type):
        first = torch.randn(5, device=device)
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch.random.fork_rng(devices=[device], device_type=device.type):
        assert torch.equal(first, torch.randn(5, device=device))


@on_pretended_device
def test_what_nobody_has_written_is_not_a_number(device):
    assert bool(torch.empty(3, device=device).isnan().all())


@on_pretended_device
def test_float64_is_refused_where_there_is_none(device):
    x = torch.ones(3, device=device)
    with without_float64():
        assert (2.5 * x).dtype == torch.float32
        for call in (x.double, lambda: torch.ones(3, dtype=torch.float64).to(device)):
            with pytest.raises(NoFloat64Error, match="no float64"):
                call()
    assert x.double().dtype == torch.float64


@on_pretended_device
def test_a_refusal_that_somebody_catches_is_remembered(device):
    with pytest.raises(WrongSideError):
        torch.cat([torch.ones(2, device=device), torch.ones(2)])
    assert refusals.pop().startswith("Expected all tensors to be on the same device")
