"""Slices from drawn examples: what they say of all, held against all, and where all are evaluated instead."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.geometry import evaluate_line, evaluate_plane, interpolate, random_direction, random_plane
from landscape.geometry.surfaces.drawn import GROUPS, STRATA, Deck
from landscape.geometry.surfaces.sampling_error import from_groups, largest_errors
from landscape.objective import Objective
from landscape.results.interpolated import evaluation_sentence
from tests.support.landscapes import built, draw


@pytest.fixture(autouse=True)
def no_curvature(monkeypatch):
    """Which has tests of its own."""
    blank = lambda objective, theta, d, hessian: [np.zeros((d.shape[1], d.shape[1]))] * 3  # noqa: E731
    monkeypatch.setattr("landscape.geometry.walk.centre_curvature", blank)


def skewed(examples: int = 20_000, *, loss=nn.functional.cross_entropy, **options) -> Objective:
    """Classes that a network tells apart, but for one example in a hundred, which carry the loss."""
    x = draw(examples, 5, seed=1).float()
    y = (x @ draw(5, 4, seed=2).float()).argmax(1)
    y[::100] = (y[::100] + 1) % 4
    model = built(lambda: nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 4)))
    step = torch.optim.Adam(model.parameters(), lr=0.02)
    for begin in range(0, 6400, 64):
        step.zero_grad()
        nn.functional.cross_entropy(model(x[begin : begin + 64]), y[begin : begin + 64]).backward()
        step.step()
    return Objective(model, loss, (x, y), check=False, **options)


@pytest.mark.slow
def test_a_plane_of_drawn_examples_is_within_its_error_of_that_of_all_for_less():
    objective = skewed(12_000)
    plane = random_plane(objective, seed=0)
    found, exact = (evaluate_plane(objective, plane, points=11, tol=tol) for tol in (0.1, None))
    assert 0 < found.num_drawn < found.num_examples / 2 == 6000
    assert found.num_evaluations <= 40
    assert np.abs(found.loss - exact.loss).max() <= found.error <= 0.1 * np.ptp(found.loss)
    assert found.loss[5, 5] == objective.loss()
    assert (found.loss > 0).all()
    assert f"{found.num_drawn:,} of 12,000 examples" in str(found)


def test_the_error_of_the_draw_is_in_the_stated_error(monkeypatch):
    """What is left between nodes is smaller than the truth, which lies inside what is stated."""
    objective = skewed()
    d = random_direction(objective, seed=0)
    exact = evaluate_line(objective, d, points=41)
    found = evaluate_line(objective, d, points=41, tol=0.08)
    monkeypatch.setattr("landscape.geometry.surfaces.evaluate.can_draw", lambda objective: False)
    of_all = evaluate_line(objective, d, points=41, tol=0.08)
    assert (found.num_drawn > 0, of_all.num_drawn) == (True, 0)
    assert of_all.error < np.abs(found.loss - exact.loss).max() <= found.error


@pytest.mark.slow
@pytest.mark.parametrize("heavy", [False, True])
def test_the_largest_error_on_the_grid_is_covered_in_nineteen_of_twenty_draws(heavy):
    """Of losses per example that are known for all: 60 curves of x, among them some that few examples carry."""
    rng = np.random.default_rng(0)
    size, x = 12_000, np.linspace(-1, 1, 15)
    scale = rng.standard_t(3, size) ** 2 if heavy else rng.lognormal(0, 1, size)
    kinds = rng.integers(0, 4, size)
    centres = np.array([-0.5, 0.0, 0.3, 0.6])[kinds]
    losses = scale[:, None] * 0.1 + (x - centres[:, None] + 0.2 * rng.standard_normal(size)[:, None]) ** 2
    truth, covered, plain = losses.mean(0), 0, 0
    for seed in range(200):
        deck = Deck(losses[:, 7], kinds, seed=seed)
        share = len(deck.taken) / size
        of_taken = losses[deck.taken].sum(0) / size
        known = {7: (truth[7] - of_taken[7]) / (1 - share)}
        groups = losses[deck.dealt(0, 2 * GROUPS)].mean(1)
        found = from_groups(groups, known, share=2 * GROUPS * STRATA / deck.size)
        apart = np.abs(of_taken + (1 - share) * found.mean - truth).max()
        covered += apart <= (1 - share) * largest_errors(found, found.mean)[0]
        plain += apart <= 0.5 * (1 - share) * largest_errors(found, found.mean)[0]
    assert covered >= 183  # of 200 at 95 %, one time in a hundred fewer
    assert plain < 183  # and not because the error is large


def test_examples_are_dealt_once_each_and_from_every_stratum_alike():
    rng = np.random.default_rng(1)
    sizes, kinds = rng.lognormal(0, 2, 5003), rng.integers(0, 3, 5003)
    deck = Deck(sizes, kinds)
    groups = deck.dealt(0, 4 * GROUPS)
    seen = np.concatenate([deck.taken, groups.ravel()])
    assert len(set(seen.tolist())) == len(seen)
    assert sizes[deck.taken].min() >= np.delete(sizes, deck.taken).max()
    np.testing.assert_array_equal(groups, np.hstack([deck.dealt(0, 2 * GROUPS), deck.dealt(2 * GROUPS, 4 * GROUPS)]))
    shares = np.stack([np.bincount(kinds[group], minlength=3) / len(group) for group in groups])
    assert shares.std(0).max() < 0.02  # by chance alone it would be 0.04


def test_a_mean_over_groups_is_corrected_by_what_is_known_and_exact_there():
    """Curves a + b·x, of which a is known for all: at x = 0 nothing is left, and a error of b alone is elsewhere."""
    rng = np.random.default_rng(2)
    a = rng.normal(3, 1, GROUPS)
    groups = np.stack([a, 2 * a, a + 1e-3 * rng.normal(size=GROUPS)], axis=1)
    found = from_groups(groups, {0: 3.0}, share=0.0)
    np.testing.assert_allclose(found.mean, [3, 6, 3], atol=2e-3)
    assert found.mean[0] == 3.0
    assert not found.residuals[:, 0].any()
    assert np.abs(found.residuals[:, 1]).max() < 1e-12


def test_an_interpolation_of_drawn_examples_has_both_ends_as_they_are():
    objective = skewed()
    ends = objective.theta, -0.5 * objective.theta
    found, exact = (interpolate(objective, *ends, points=21, tol=tol) for tol in (0.1, None))
    assert found.num_drawn > 0
    assert found.loss[[0, -1]].tolist() == exact.loss[[0, -1]].tolist()
    assert np.abs(found.loss - exact.loss).max() <= found.error


def test_accuracy_of_drawn_examples_is_that_of_all_at_the_centre_and_near_it_elsewhere():
    objective = skewed()
    d = random_direction(objective, seed=3)
    found, exact = (evaluate_line(objective, d, points=21, tol=tol, metrics=("accuracy",)) for tol in (0.1, None))
    assert found.num_drawn > 0
    assert found.metric("accuracy")[10] == pytest.approx(exact.metric("accuracy")[10], abs=1e-6)
    apart = np.abs(found.metric("accuracy") - exact.metric("accuracy")).max()
    assert 0 < apart <= found.metric_errors["accuracy"] <= 0.05
    assert found.metric("accuracy").max() <= 1


def _of_pairs(outputs, targets):
    """No mean over examples: a mean over those of class 0 alone, and of all where there is none."""
    losses = nn.functional.cross_entropy(outputs, targets, reduction="none")
    chosen = (targets == 0).to(losses)
    return (losses * chosen).sum() / chosen.sum().clamp_min(1)


@pytest.mark.parametrize("case", ["weights", "no mean", "few", "tol"])
def test_where_some_do_not_stand_for_all_all_are_evaluated(case):
    if case == "weights":
        objective = skewed(9_000, weight=lambda batch: len(batch[1]))
    elif case == "no mean":
        objective = skewed(9_000, loss=_of_pairs)
    else:
        objective = skewed(4_000 if case == "few" else 9_000)
    tol = 0.002 if case == "tol" else 0.1
    d = random_direction(objective, seed=0)
    found, exact = (evaluate_line(objective, d, points=31, tol=one) for one in (tol, None))
    assert found.num_drawn == 0
    assert np.abs(found.loss - exact.loss).max() <= found.error + 1e-6
    assert found.num_evaluations <= 31


def test_the_same_examples_are_drawn_each_time_and_no_generator_moves():
    objective = skewed()
    d, state = random_direction(objective, seed=0), torch.random.get_rng_state()
    one, two = (evaluate_line(objective, d, points=21, tol=0.1) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    for field in dataclasses.fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))


def test_a_record_and_a_caption_say_of_how_many_examples_they_are():
    x = np.linspace(-1, 1, 41)
    about = {"error": 0.03, "num_evaluations": 3, "num_examples": 60_000}
    few, more = (ls.LineSlice(x, x**2, "d", 1.0, num_drawn=count, **about) for count in (3072, 5120))
    assert "from 3,072 of 60,000 examples (work of 3 evaluations), error ≤ 3" in str(few)
    sentence = evaluation_sentence([few, more])
    assert "2 slices are of 3,072 to 5,120 of 60,000 examples, drawn at random" in sentence
    assert "was evaluated at" not in sentence
    assert "The network was evaluated at 9 points" in evaluation_sentence(
        [dataclasses.replace(few, num_drawn=0, num_evaluations=9)]
    )
