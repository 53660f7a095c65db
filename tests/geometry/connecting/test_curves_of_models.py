"""Curves between trained networks: far below the line, statistics of their own, metrics of the same network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import landscape as ls
from landscape.errors import UsageError
from landscape.geometry import interpolate
from landscape.geometry.connecting.batches import batches
from landscape.problems import get_problem
from tests.support.running_statistics import X, built, held, loss_of, mlp, pair, put, with_statistics_of


def fitted(problem, seed, epochs=40):
    """A model trained by Adam on its training data until the loss is small."""
    model = problem.make_model(seed)
    x, y = problem.train
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    order = np.random.default_rng(seed)
    for _ in range(epochs):
        for rows in np.array_split(order.permutation(len(y)), max(1, len(y) // 64)):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    optimizer.zero_grad()
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("curve", ["bezier", "polygon"])
def test_two_networks_on_digits_are_joined_far_below_the_line_between_them(curve):
    problem = get_problem("mlp-digits")
    a, b = (problem.objective(fitted(problem, seed), check=False) for seed in (0, 1))
    test = problem.objective(problem.make_model(0), split="test", check=False)
    found = ls.connect(a, b, curve=curve, steps=1200, metrics={"test loss": test})
    assert found.line_barrier > 0.15
    assert found.barrier < 0.05 * found.line_barrier
    assert found.barrier_bound < 0.1 * found.line_barrier
    assert found.barrier_of("test loss") < 0.1 * found.line_barrier


def test_at_each_point_the_statistics_are_those_of_the_data_there_and_the_models_losses_stand_beside():
    a, b, at_a, at_b = pair()
    found = ls.connect(at_a, at_b, steps=20, batch=20, points=5)
    assert found.batch_statistics == "recompute"
    assert found.ends.tolist() == [loss_of(a), loss_of(b)]
    for t, loss in zip(found.t, found.loss, strict=True):
        moved = put(a, torch.from_numpy(found.at(t)))
        assert loss == pytest.approx(loss_of(with_statistics_of(moved, X)), rel=1e-12)
    straight = interpolate(at_a, at_b, points=5, batch_statistics="recompute")
    np.testing.assert_allclose(found.line, straight.loss, rtol=1e-12)
    fixed = ls.connect(at_a, at_b, steps=20, batch=20, points=5, batch_statistics="fixed")
    assert fixed.loss[-1] == pytest.approx(loss_of(put(a, at_b.theta)), rel=1e-12)
    assert fixed.batch_statistics == "fixed"


def test_of_vectors_the_statistics_of_the_models_are_not_known_but_the_curve_is_the_same():
    _, _, at_a, at_b = pair()
    found = ls.connect(at_a, at_b, steps=10, batch=20, points=5)
    vectors = ls.connect(at_a, at_a.theta, at_b.theta, steps=10, batch=20, points=5)
    np.testing.assert_allclose(vectors.loss, found.loss, rtol=1e-12)
    assert vectors.ends[0] == found.ends[0]
    assert np.isnan(vectors.ends[1])


def test_training_lowers_the_mean_loss_with_statistics_recomputed_also_where_batches_are_small():
    _, _, at_a, at_b = pair()
    found = ls.connect(at_a, at_b, steps=300, batch=20, lr=0.03)
    assert found.loss.mean() < found.line.mean() - 0.3 * (found.line.mean() - found.loss[[0, -1]].mean())


def test_other_buffers_that_differ_move_on_a_straight_line():
    low, high = torch.full((3,), 2.0).double(), torch.full((3,), 6.0).double()
    a, b = held(0, scale=low), held(1, scale=high)
    found = ls.connect(a, b, steps=10, points=5)
    for t, loss in zip(found.t, found.loss, strict=True):
        expected = a.with_constants({"scale": (1 - t) * low + t * high}).loss(found.at(t))
        assert loss == pytest.approx(expected, rel=1e-12)
    assert (found.loss[0], found.loss[-1]) == (a.loss(), b.loss())
    assert found.batch_statistics == "interpolate"


def test_a_metric_is_of_the_network_whose_loss_stands_there():
    _, _, at_a, at_b = pair()
    found = ls.connect(at_a, at_b, steps=10, batch=20, points=5, metrics={"again": at_b, "accuracy": "accuracy"})
    np.testing.assert_allclose(found.metric("again"), found.loss, rtol=1e-12)
    assert found.metric_losses == ("again",)
    accuracy = found.metric("accuracy")
    assert found.barrier_of("accuracy") == pytest.approx(
        max((1 - t) * accuracy[0] + t * accuracy[-1] - value for t, value in zip(found.t, accuracy, strict=True))
    )


def uneven(interacting):
    """Two batches of 2 and 6 targets that weigh 1 and 5 each: no mean of means of batches is the mean over all."""
    batches = [{"x": torch.ones(count, 1), "y": torch.full((count, 1), y)} for count, y in ((2, 0.0), (6, 4.0))]

    def loss(model, batch):
        weight = batch["y"] + 1
        return (weight * (model(batch["x"]) - batch["y"]).square()).sum() / weight.sum()

    model = built(lambda: nn.Linear(1, 1, bias=False)).double()
    return ls.Objective.from_loss(
        model, loss, batches, weight=lambda batch: (batch["y"] + 1).sum(), interacting=interacting
    )


@pytest.mark.parametrize("interacting", [True, False])
@pytest.mark.parametrize("size", [2, 3, 5, 8, None])
def test_over_an_epoch_the_batches_give_the_loss_on_all_data_however_they_count(interacting, size):
    """Each example once, or each batch where nothing cuts them; the mean of what they give is L to the last digits."""
    objective = uneven(interacting)
    source, theta = batches(objective, size, np.random.default_rng(0)), objective.theta + 1
    for _ in range(3):
        drawn = []
        while sum(one.share for one in drawn) < 1 - 1e-9:
            drawn.append(next(source))
        count = 1 if size in (8, None) else 2 if interacting else -(-8 // size)
        assert len(drawn) == count
        assert np.mean([one.factor * one.objective.loss(theta) for one in drawn]) == pytest.approx(
            objective.loss(theta), rel=1e-12
        )


def test_data_that_nothing_cuts_are_no_hindrance():
    found = ls.connect(uneven(True), torch.tensor([2.0]), torch.tensor([6.0]), steps=20, batch=2, points=3)
    assert found.history.size == 20
    assert found.num_gradients == pytest.approx(10)


def test_a_model_of_which_training_moves_more_than_theta_needs_its_objectives():
    a, b = (held(seed, scale=torch.full((3,), 1.0 + seed).double()) for seed in (0, 1))
    assert np.isfinite(ls.connect(a, a.theta, b.theta, steps=3, points=3).loss).all()
    _, _, at_a, at_b = pair(lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 3))))
    with pytest.raises(UsageError, match="not all that training moves"):
        ls.connect(at_a, at_a.theta, at_b.theta)
    assert np.isfinite(ls.connect(at_a, at_b, steps=3, points=3).loss).all()


def test_groups_of_one_architecture_alone_are_joined():
    _, _, at_a, _ = pair()
    _, _, wider, _ = pair(lambda: mlp(nn.BatchNorm1d(9), width=9))
    with pytest.raises(UsageError, match="same parameters"):
        ls.connect(at_a, wider)
