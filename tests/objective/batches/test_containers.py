"""Batches of any type give the numbers of their tensors and stay as the caller made them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import landscape as ls
from landscape.objective.batches import Batches
from tests.support.batches import (
    CUTS,
    FORMS,
    Example,
    Graph,
    X,
    Y,
    assert_right,
    make_linear,
    objective_on,
)


@pytest.mark.parametrize("form", FORMS)
def test_uneven_batches_of_any_type_weigh_as_many_as_their_examples(form, curvature):
    objective = objective_on(form, chunk=None)
    assert objective.num_examples == 11
    assert objective.num_chunks == 2
    assert_right(objective, curvature)
    assert_right(objective_on(form, chunk=2), curvature)


@pytest.mark.parametrize("route", ["auto", "retained", "linearized"])
def test_chunks_of_one_type_share_a_recording(route, curvature):
    assert_right(objective_on("object", chunk=3), curvature, route=route)


@pytest.mark.parametrize("form", FORMS)
def test_a_sum_over_examples_is_seen_in_batches_of_any_type(form):
    with pytest.raises(ls.ObjectiveError, match="not a mean over examples"):
        objective_on(form, reduction="sum")


@pytest.mark.parametrize("form", FORMS)
def test_the_loss_is_handed_the_callers_type_in_the_dtype_asked_for(form):
    seen = []
    objective = objective_on(form, seen=seen, dtype=torch.float64, check=False)
    seen.clear()
    objective.loss()
    make, read = FORMS[form]
    assert {type(batch) for batch in seen} == {type(make(X, Y))}
    assert {read(batch)[0].dtype for batch in seen} == {torch.float64}


@pytest.mark.parametrize("form", FORMS)
def test_the_cut_leaves_no_trace_in_the_digest_and_another_value_does(form):
    make, _ = FORMS[form]
    whole, cut, same = ([make(X[rows], Y[rows]) for rows in rows] for rows in ((slice(0, 11),), CUTS, CUTS))
    assert Batches(whole).digest() == Batches(cut).digest() == Batches(same).digest()
    moved = X.clone()
    moved[9, 1] += 1e-6
    assert Batches([make(moved[rows], Y[rows]) for rows in CUTS]).digest() != Batches(cut).digest()


@pytest.mark.parametrize("form", FORMS)
def test_nan_is_found_in_batches_of_any_type(form):
    make, read = FORMS[form]
    bad = X.clone()
    bad[9, 1] = float("nan")
    batches = [make(bad[rows], Y[rows]) for rows in CUTS]
    with pytest.raises(ls.ObjectiveError, match="NaN or infinity, first in batch 1 of 2, example 1 of 3"):
        ls.Objective.from_loss(make_linear(), lambda m, b: F.cross_entropy(m(read(b)[0]), read(b)[1]), batches)


def test_the_callers_batch_stays_as_it_was_and_its_methods_work():
    graph = Graph(X, Y, torch.zeros(2, 5, dtype=torch.long))
    before = dict(graph.store)

    def loss(model, batch):
        batch = batch.to("cpu")
        assert isinstance(batch, Graph)
        assert batch.num_nodes == 11
        return F.cross_entropy(model(batch.x.requires_grad_()), batch.y)

    objective = ls.Objective.from_loss(make_linear(), loss, graph, weight=lambda batch: batch.num_nodes)
    for dtype in (torch.float32, torch.float64):
        objective.with_dtype(dtype).gradient()
    assert graph.store.keys() == before.keys()
    assert all(graph.store[name] is before[name] for name in before)
    assert graph.owner is graph
    assert graph.x.dtype == torch.float32
    assert not graph.x.requires_grad


def test_one_tensor_in_two_places_stays_one():
    shared = Example(X, X)
    seen = []
    ls.Objective.from_loss(
        make_linear(), lambda m, b: (seen.append(b.x is b.y), m(b.x).square().mean())[1], shared, dtype=torch.float64
    )
    assert all(seen)
