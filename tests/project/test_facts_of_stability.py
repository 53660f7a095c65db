"""Facts about weight decay, decay of the learning rate and Muon: what is measured, and what overturns a verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import landscape as ls
from tests.support.facts import FOLDER, load


@pytest.fixture
def weight_decay(monkeypatch):
    return load(FOLDER / "weight_decay_below_the_edge.py", monkeypatch)


@pytest.fixture
def rate_decay(monkeypatch):
    return load(FOLDER / "learning_rate_decay_sharpens.py", monkeypatch)


@pytest.fixture
def muon(monkeypatch):
    return load(FOLDER / "muon_directional_sharpness.py", monkeypatch)


def decayed(script, ratios, *, drift=0.0, loss=0.01):
    """One λ for each ratio to the edge: three seeds with six late measurements, the last three higher by ``drift``."""
    found = []
    for index, ratio in enumerate(ratios):
        paths = []
        for wobble in (-0.002, 0.0, 0.002):
            late = np.full(6, ratio + wobble)
            late[3:] *= 1 + drift
            paths.append({"sharpness": 20 * np.append(np.zeros(12), late), "step": np.arange(18), "loss": [loss]})
        found.append(script.Decayed(0.01 * index, script.Case(f"λ = {index}", 20.0, paths)))
    return found


def test_weight_decay_holds_where_it_has_settled_clearly_below_the_edge(weight_decay):
    assert weight_decay.judge(decayed(weight_decay, (1.0, 0.9, 0.7)))[1]


@pytest.mark.parametrize(
    ("ratios", "more"),
    [
        ((1.0, 0.97, 0.92), {}),  # hardly below
        ((0.9, 0.8, 0.7), {}),  # below without decay, too
        ((1.0, 0.85, 0.99), {}),  # the largest decay is at the edge
        ((1.0, 0.9, 0.7), {"drift": 0.08}),  # still on its way up
        ((1.0, 0.9, 0.7), {"loss": 0.4}),  # nothing is learnt any more
    ],
)
def test_weight_decay_fails_where_anything_is_missing(weight_decay, ratios, more):
    assert not weight_decay.judge(decayed(weight_decay, ratios, **more))[1]


def tails(script, *, decay=3.0, average=1.0, ema=1.0, loss=0.5):
    """λ_max at the ends as multiples of that at the beginning, and the loss of the averages."""
    found = {}
    for seed, factor in enumerate((0.98, 1.0, 1.02)):
        ends = {
            script.DECAY: (0.2, decay),
            script.CONSTANT: (1.0, 1.0),
            script.AVERAGE: (loss, average),
            script.EMA: (loss, ema),
        }
        paths = {
            name: np.array([[10, 2 * low, high], [20, low, factor * high]]) for name, (low, high) in ends.items()
        }  # fmt: skip
        found[seed] = script.Tails(np.array([1.0, 1.0]), paths)
    return found


@pytest.mark.parametrize(
    ("more", "holds"),
    [
        ({}, True),
        ({"decay": 1.02}, False),  # no sharper than before
        ({"average": 1.3}, False),  # an average sharper than before
        ({"ema": 1.3}, False),
        ({"average": 0.9, "decay": 0.9}, False),
        ({"loss": 1.1}, False),  # an average that is good for nothing
    ],
)
def test_decay_and_averages_are_judged_by_sharpness_and_by_loss(rate_decay, more, holds):
    assert rate_decay.judge(tails(rate_decay, **more))[1] is holds


def test_the_decay_is_compared_where_it_first_has_the_loss_of_the_average(rate_decay):
    path = np.array([[1, 0.9, 5.0], [2, 0.4, 6.0], [3, 0.1, 9.0]])
    one = rate_decay.Tails(np.array([1.0, 4.0]), {rate_decay.DECAY: path})
    assert [one.decayed_to(loss) for loss in (0.95, 0.5, 0.4, 0.05)] == [5.0, 6.0, 6.0, 9.0]


def test_averages_are_the_mean_of_all_steps_and_one_that_forgets(rate_decay):
    before, tail = 3, 20
    found = rate_decay.tails(0, before=before, tail=tail, looks=1)
    problem = ls.get_problem("mlp-digits", rate_decay.CONFIG)
    model, dealt, seen = problem.make_model(0), rate_decay.batches(problem.num_examples, 0), []
    rows = [next(dealt) for _ in range(before + tail)]
    rate_decay.sgd(problem, model, rows, rate=lambda share: rate_decay.LR, watch=lambda step, theta: seen.append(theta))
    objective, steps = problem.objective(model, chunk=None), torch.stack(seen[before:]).double()
    assert found.paths[rate_decay.CONSTANT][-1, 1] == pytest.approx(objective.loss(seen[-1]), rel=1e-5)
    assert found.paths[rate_decay.AVERAGE][-1, 1] == pytest.approx(objective.loss(steps.mean(0).float()), rel=1e-5)
    forgets = steps[:4].mean(0)  # a fifth of the tail
    for theta in steps[4:]:
        forgets = 0.75 * forgets + 0.25 * theta
    assert found.paths[rate_decay.EMA][-1, 1] == pytest.approx(objective.loss(forgets.float()), rel=1e-5)


def test_sharpness_along_updates_is_that_of_the_steps_made(muon):
    """On a quadratic gradient descent moves along g, and the next gradient is (I − ηH)g."""
    problem, lr = ls.get_problem("quadratic", {"dim": 5}), 0.7
    H, expected = problem.hessian, []
    g = problem.objective(problem.make_model(3)).gradient().double()
    for _ in range(muon.UPDATES):
        expected.append(float(g @ H @ g / (g @ g)))
        g = g - lr * (H @ g)
    losses, found = muon.along_updates(problem, "gd", lr, levels=(float("inf"),), epochs=muon.UPDATES, seed=3)
    assert found == pytest.approx([np.mean(expected)], rel=1e-4)
    assert losses == pytest.approx([problem.objective(problem.make_model(3)).loss()])


def test_a_level_that_is_not_met_is_said(muon):
    problem = ls.get_problem("quadratic", {"dim": 5})
    with pytest.raises(muon.NotReached, match="gd at 0.1, seed 0"):
        muon.along_updates(problem, "gd", 0.1, levels=(0.0,), epochs=8, seed=0)


def along(script, factor, *, at_edge=False):
    sharpness = {seed: np.array([2.0, 5.0]) * factor * wobble for seed, wobble in enumerate((0.97, 1.0, 1.03))}
    losses = dict.fromkeys(range(3), np.array([2.0, 1.0]))
    return script.Along(script.Tuned(0.1, {}, at_edge), losses, sharpness)


@pytest.mark.parametrize(
    ("factors", "holds"), [((1.0, 1.5, 3.0), True), ((1.0, 0.7, 3.0), False), ((1.0, 1.5, 1.0), False)]
)
def test_muon_has_to_be_below_both(muon, factors, holds):
    found = {name: along(muon, factor) for name, factor in zip(muon.NAMES, factors, strict=True)}
    assert muon.judge(found)[1] is holds
    untuned = found | {"adam": replace(found["adam"], rate=muon.Tuned(0.1, {}, at_edge=True))}
    words, anyway = muon.judge(untuned)
    assert not anyway
    assert "EDGE" in words
