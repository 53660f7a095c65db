"""In a repaired average every neuron has the mean and spread of those at the ends, by a plain pass of the model."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import landscape as ls
from landscape.errors import UsageError
from landscape.problems.builtin.networks import MLP, LeNet5
from landscape.problems.builtin.residual import ResNet
from tests.support.planted import VGG, seeded

IMAGES = torch.randn(40, 1, 32, 32, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
ROWS = torch.randn(40, 5, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
LABELS = torch.arange(40) % 4


def ends(build, x):
    models = [seeded(build, seed).double() for seed in (0, 1)]
    return models, [ls.Objective(model, F.cross_entropy, (x, LABELS), chunk=16) for model in models]


def with_theta(model, found):
    """A copy of the model with this θ and, where they were gathered, its running statistics."""
    twin = copy.deepcopy(model)
    torch.nn.utils.vector_to_parameters(torch.from_numpy(found.theta), twin.parameters())
    named, at = dict(twin.named_buffers()), 0
    for name, size in zip(found.buffers, found.buffer_sizes.tolist(), strict=True):
        named[name].copy_(torch.from_numpy(found.buffer_values[at : at + size]).view(named[name].shape))
        at += size
    return twin


def spread(model, path, x):
    """Mean and standard deviation of each neuron of a layer."""
    heard = []
    layer = model.get_submodule(path)
    handle = layer.register_forward_hook(lambda m, a, out: heard.append(out.detach()))
    model.eval()(x)
    handle.remove()
    rest = [d for d in range(heard[0].ndim) if d != (1 if heard[0].ndim == 4 else heard[0].ndim - 1)]
    return heard[0].mean(rest), heard[0].std(rest, correction=0)


@pytest.mark.parametrize(("build", "x"), [(lambda: MLP(5, (9, 7), 4), ROWS), (lambda: LeNet5(num_classes=4), IMAGES)])
@pytest.mark.parametrize("t", [0.5, 0.25])
def test_each_hidden_layer_has_the_spread_between_those_of_the_ends(build, x, t):
    models, objectives = ends(build, x)
    found = ls.repair(*objectives, t=t)
    twin = with_theta(models[0], found)
    last = list(dict(twin.named_children()))[-1]
    assert set(found.layers) == set(dict(twin.named_children())) - {last}
    for path in found.layers:
        seen, at_a, at_b = (spread(model, path, x) for model in (twin, *models))
        for mine, a, b in zip(seen, at_a, at_b, strict=True):
            torch.testing.assert_close(mine, (1 - t) * a + t * b, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.spread, 1, rtol=1e-9)
    assert found.spread_before.max() < 1
    assert found.loss == pytest.approx(float(F.cross_entropy(twin(x), LABELS)), rel=1e-12)
    assert found.chord == pytest.approx((1 - t) * objectives[0].loss() + t * objectives[1].loss())
    plain = (1 - t) * objectives[0].theta + t * objectives[1].theta
    assert found.loss_before == pytest.approx(objectives[0].loss(plain), rel=1e-12)
    assert torch.equal(objectives[0].point(found), torch.from_numpy(found.theta))


def test_equal_ends_stay_where_they_are():
    _, (objective, _) = ends(lambda: MLP(5, (9, 7), 4), ROWS)
    found = ls.repair(objective, objective.theta, objective.theta)
    np.testing.assert_allclose(found.theta, objective.theta.numpy(), rtol=1e-10, atol=1e-12)


def test_without_a_bias_the_spread_alone_is_right_and_that_is_said():
    models, objectives = ends(lambda: MLP(5, (9, 7), 4, bias=False), ROWS)
    found = ls.repair(*objectives)
    assert found.without_shift == ("fc1", "fc2")
    twin = with_theta(models[0], found)
    stds = [spread(model, "fc1", ROWS)[1] for model in (twin, *models)]
    torch.testing.assert_close(stds[0], (stds[1] + stds[2]) / 2, rtol=1e-9, atol=1e-9)
    assert "no bias" in str(found)


@pytest.mark.parametrize("build", [lambda: ResNet(channels=4, num_classes=4), VGG])
def test_running_statistics_are_those_of_the_data_and_what_feeds_them_is_left(build):
    models, objectives = ends(build, IMAGES)
    found = ls.repair(*objectives)
    twin = with_theta(models[0], found)
    other = copy.deepcopy(twin)
    for part in other.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.momentum = None
            part.train()
    with torch.no_grad():
        other(IMAGES)
    for (name, mine), theirs in zip(twin.named_buffers(), other.buffers(), strict=True):
        if mine.is_floating_point():
            torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8, msg=name)
    assert found.loss == pytest.approx(float(F.cross_entropy(twin(IMAGES), LABELS)), rel=1e-10)
    assert found.batch_statistics == "recompute"
    if build is VGG:
        assert found.layers == ("features.0", "features.6", "classifier.0")
        assert any(remark == "features.2: a normalisation follows" for remark in found.skipped)
    else:
        assert found.layers == ()


def test_layers_that_cannot_be_reset_alone_are_named():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.again, self.last = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 4)

        def forward(self, x):
            return self.last(self.again(self.again(self.first(x).relu()).relu()).relu())

    _, objectives = ends(Twice, ROWS)
    found = ls.repair(*objectives)
    assert found.layers == ("first",)
    assert found.skipped == ("again: called 2 times",)


def test_what_is_no_place_between_the_ends_is_refused():
    _, objectives = ends(lambda: MLP(5, (9,), 4), ROWS)
    with pytest.raises(UsageError, match="t=2 must lie between 0 and 1"):
        ls.repair(*objectives, t=2)
