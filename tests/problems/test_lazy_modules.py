"""A model of lazy modules is built, saved and measured like any other."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls

DRAW = torch.Generator().manual_seed(0)
X, Y = torch.randn(20, 4, generator=DRAW), torch.randint(3, (20,), generator=DRAW)


def build():
    return nn.Sequential(nn.LazyLinear(5), nn.LazyBatchNorm1d(), nn.Tanh(), nn.Dropout(), nn.LazyLinear(3))


@pytest.mark.parametrize("data", [(X, Y), (X.double().numpy(), Y.numpy())], ids=["float32", "float64 arrays"])
def test_shapes_come_from_the_first_examples_and_nothing_else_moves(data):
    problem = ls.Problem(build=build, loss_fn=F.cross_entropy, train=data)
    model, again, other = problem.make_model(0), problem.make_model(0), problem.make_model(1)
    assert [tuple(p.shape) for p in model.parameters()] == [(5, 4), (5,), (5,), (5,), (3, 5), (3,)]
    assert torch.equal(model[0].weight, again[0].weight)
    assert not torch.equal(model[0].weight, other[0].weight)
    assert int(model[1].num_batches_tracked) == 0
    assert all(module.training for module in model.modules())


def test_a_checkpoint_is_read_into_it(tmp_path):
    problem = ls.Problem(build=build, loss_fn=F.cross_entropy, train=(X, Y))
    model = problem.make_model(0)
    ls.save_checkpoint(tmp_path, model, step=1)
    found = ls.CheckpointDir(tmp_path)[-1].model(problem).eval()
    assert torch.equal(found(X), model.eval()(X))
