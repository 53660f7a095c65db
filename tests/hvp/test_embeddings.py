"""Embeddings, sparse or with a row for padding, have the Hessian of what they compute."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls
from tests.support.differences import hessian_by_differences, off
from tests.support.networks import seeded
from tests.support.products import ROUTES


class Words(nn.Module):
    def __init__(self, tied):
        super().__init__()
        self.table = nn.Embedding(6, 3, sparse=True)
        self.head = nn.Linear(3, 6, bias=False)
        if tied:
            self.head.weight = self.table.weight

    def forward(self, tokens):
        return self.head(torch.tanh(self.table(tokens).sum(1)))


@pytest.mark.parametrize("tied", [False, True])
def test_sparse_embeddings_are_measured_and_stay_sparse(tied):
    model = seeded(lambda: Words(tied))
    generator = torch.Generator().manual_seed(2)
    tokens, y = torch.randint(6, (15, 2), generator=generator), torch.randint(6, (15,), generator=generator)
    truth = hessian_by_differences(model, lambda m: F.cross_entropy(m(tokens), y))
    objective = ls.Objective(model, F.cross_entropy, (tokens, y))
    for route in ROUTES:
        assert off(ls.HessianOperator(objective, route=route).dense(), truth) < 1e-5, route
    assert model.table.sparse


class Padded(nn.Module):
    """The row for padding stands in the input, and torch gives it no gradient; a tied head does use it."""

    def __init__(self, tied):
        super().__init__()
        self.table, self.tied = nn.Embedding(5, 3, padding_idx=0), tied
        self.head = nn.Linear(3, 5, bias=False)
        nn.init.normal_(self.table.weight)
        if tied:
            self.head.weight = self.table.weight

    def forward(self, tokens):
        return self.head(torch.tanh(self.table(tokens).sum(1)))


@pytest.mark.parametrize("tied", [False, True])
def test_the_row_for_padding_is_fixed_where_it_is_padding_and_only_there(tied):
    """Against differences that write the row anew into a network whose embedding knows of no padding."""
    model = seeded(lambda: Padded(tied))
    generator = torch.Generator().manual_seed(2)
    tokens, y = torch.randint(5, (15, 3), generator=generator), torch.randint(5, (15,), generator=generator)
    row = model.table.weight[0].detach().clone().double()

    def loss(twin):
        table = torch.cat([row[None], twin.table.weight[1:]])
        h = torch.tanh(F.embedding(tokens, table).sum(1))
        return F.cross_entropy(h @ twin.head.weight.T, y)

    truth = hessian_by_differences(model, loss)
    objective = ls.Objective(model, F.cross_entropy, (tokens, y))
    for route in ROUTES:
        assert off(ls.HessianOperator(objective, route=route).dense(), truth) < 1e-5, route
    moved = objective.theta
    moved[:3] += 1.0
    assert (objective.loss(moved) == objective.loss()) == (not tied)
    assert ls.evaluate_line(objective, ls.random_plane(objective)[:, 0], points=3).curvature_agrees


def test_a_line_between_models_with_other_rows_for_padding_is_refused():
    generator = torch.Generator().manual_seed(2)
    tokens, y = torch.randint(5, (15, 3), generator=generator), torch.randint(5, (15,), generator=generator)
    a, b = (ls.Objective(seeded(lambda: Padded(False)), F.cross_entropy, (tokens, y)) for _ in range(2))
    assert ls.interpolate(a, b, points=3).barrier == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        b.parts().model.table.weight[0] += 1
    with pytest.raises(ls.UsageError, match="row for padding of model.table.weight is fixed.*Give both the same row"):
        ls.interpolate(a, b, points=3)
