"""Recordings are written down as they run, and held against the model on every chunk for little."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn

import landscape as ls
from landscape.hvp import agreement, reverse, verification
from landscape.hvp.tape import record
from tests.support.products import seeded_vector


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 5), nn.Linear(5, 4)
        self.evaluated = Counter()

    def forward(self, x):
        self.evaluated["calls"] += 1
        return self.last(torch.tanh(self.first(x)))


class StandsStillWhereShort(Net):
    """In short batches a part of the curvature is hidden from double backward, and forward mode looks through."""

    def forward(self, x):
        y = torch.tanh(self.first(x))
        if len(x) >= 4:
            return self.last(y)
        with torch.no_grad():
            scale = 1 + (y**2).mean()
        return self.last(y) * scale


class Rooted(Net):
    def forward(self, x):
        y = self.first(x)
        return self.last(torch.sqrt(1 + y**2))


def objective_of(kind, count=16, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = kind().double()
        x, y = torch.randn(count, 3, dtype=torch.float64), torch.randint(4, (count,))
    return ls.Objective(model, F.cross_entropy, (x, y), chunk=4, **options)


@pytest.fixture
def doubly(monkeypatch):
    """Over how many chunks products were made by double backward."""
    counted = Counter()

    class Counted(reverse.Fresh):
        def __call__(self, v):
            counted["chunks"] += len(self.parts.shares)
            return super().__call__(v)

    for module in (agreement, verification):
        monkeypatch.setattr(module, "Fresh", Counted)
    return counted


def test_one_chunk_of_each_shape_is_held_against_double_backward(doubly):
    ls.HessianOperator(objective_of(Net, 16, check=False), route="linearized")
    assert doubly["chunks"] == 1
    ls.HessianOperator(objective_of(Net, 18, check=False), route="linearized")
    assert doubly["chunks"] == 1 + 2


def test_a_shape_of_which_the_recording_is_wrong_is_found_on_the_one_chunk_that_has_it():
    objective = objective_of(StandsStillWhereShort, 18, check=False)
    with pytest.raises(ls.ObjectiveError, match="differs from double backward"):
        ls.HessianOperator(objective, route="linearized")
    assert objective_of(StandsStillWhereShort, 16, check=False).hvp(torch.ones(44)).isfinite().all()


def test_roots_are_held_against_double_backward_on_all_chunks(doubly):
    ls.HessianOperator(objective_of(Rooted, 16, check=False), route="linearized")
    assert doubly["chunks"] == 1 + 4


def test_losses_that_the_preflight_saw_are_not_made_again():
    """The model runs for the recording, once to try and once to write down, and in double backward; no loss is made."""
    counts = {}
    for check in (True, False):
        objective = objective_of(Net, 16, check=check)
        before = objective.module.model.evaluated["calls"]
        ls.HessianOperator(objective, route="linearized")
        counts[check] = objective.module.model.evaluated["calls"] - before
    assert counts == {True: 3, False: 3 + 4}


def test_losses_seen_at_another_point_are_no_evidence():
    """A buffer moves after the preflight: what it saw is not the model's loss now, and the model is asked again."""
    objective = objective_of(Net, 16)
    with torch.no_grad():
        for parameter in objective.module.model.parameters():
            parameter.mul_(3)
    H = ls.HessianOperator(objective, route="linearized")
    v = seeded_vector(H.dim, 0)
    assert (H @ v - objective.hvp(v)).norm() <= 1e-12 * objective.hvp(v).norm()


# --- the tape ---------------------------------------------------------------------------------------------------------

SCALE = torch.tensor([2.0, 3.0])


def mixed(x, y):
    """Constants, several results, views, writes in place, and a constant that is made inside."""
    low, high = torch.aminmax(x, dim=0)
    top, _ = (x * SCALE).topk(2, dim=0)
    z = y.clone()
    z[0] += torch.tensor(0.5)
    z.mul_(2)
    return [low + high, top.T.reshape(-1), torch.cat([z, y]), x]


def test_a_recording_computes_the_same_of_other_arguments_and_leaves_them_as_they_are():
    generator = torch.Generator().manual_seed(0)
    first, second = ([torch.randn(5, 2, generator=generator) for _ in range(2)] for _ in range(2))
    recorded = fx.GraphModule(*record(mixed, first))
    for given in (second, first):
        before = [t.clone() for t in given]
        for ours, truth in zip(recorded(*given), mixed(*given), strict=True):
            assert torch.equal(ours, truth)
        assert all(map(torch.equal, given, before))


def test_every_node_knows_its_shape():
    _, graph = record(mixed, [torch.randn(5, 2, generator=torch.Generator().manual_seed(i)) for i in range(2)])
    results = graph.output_node().args[0]
    assert [tuple(node.meta["tensor_meta"].shape) for node in results] == [(2,), (4,), (10, 2), (5, 2)]


def test_what_no_graph_can_hold_is_refused():
    with pytest.raises(NotImplementedError, match="takes a Generator"):
        record(lambda x: [torch.bernoulli(x, generator=torch.Generator())], [torch.full((3,), 0.5)])
