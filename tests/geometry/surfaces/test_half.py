"""Half of a level's nodes: what they hold exactly, what they do not, and planes that are settled on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from landscape.geometry import evaluate_plane, random_plane
from landscape.geometry.surfaces import refine
from landscape.geometry.surfaces.half import is_dark, light_from_dark
from landscape.geometry.surfaces.lattice import Lattice
from landscape.geometry.surfaces.nodes import graded_nodes
from landscape.objective import Objective
from tests.support.landscapes import DOUBLE, built, draw

AXES = np.linspace(-1, 1, 9), np.linspace(-1, 1, 9)


def of_nodes(count, function):
    t = graded_nodes(count)
    return np.array([function(y, x) for y in t for x in t])


@pytest.mark.parametrize("count", [7, 13, 25])
def test_polynomials_of_total_degree_below_the_level_s_are_carried_to_the_light_nodes(count):
    rng = np.random.default_rng(count)
    dark, matrix = is_dark(count), light_from_dark(count)
    for _ in range(3):
        powers = [(a, rng.integers(0, count - 1 - a)) for a in rng.integers(0, count - 1, 4)]
        factors = rng.normal(size=4)
        values = of_nodes(count, lambda y, x: sum(c * y**a * x**b for c, (a, b) in zip(factors, powers)))  # noqa: B023, B905
        np.testing.assert_allclose(matrix @ values[dark], values[~dark], atol=1e-11)


@pytest.mark.parametrize("count", [7, 13])
def test_of_the_level_s_own_degree_sums_are_held_and_differences_vanish_at_every_dark_node(count):
    """T₁(y) T₅(x) − T₅(y) T₁(x) is zero on them, so that no more could be held than is."""
    chebyshev = lambda degree, t: np.cos(degree * np.arccos(np.clip(t, -1, 1)))  # noqa: E731
    pair = lambda y, x: chebyshev(1, y) * chebyshev(count - 2, x)  # noqa: E731
    dark = is_dark(count)
    added = of_nodes(count, lambda y, x: pair(y, x) + pair(x, y))
    taken = of_nodes(count, lambda y, x: pair(y, x) - pair(x, y))
    np.testing.assert_allclose(light_from_dark(count) @ added[dark], added[~dark], atol=1e-11)
    np.testing.assert_allclose(taken[dark], 0, atol=1e-12)
    assert np.abs(taken[~dark]).max() > 0.1


@pytest.mark.parametrize(("count", "size"), [(13, 85), (25, 313)])
def test_half_a_level_lies_between_two(count, size):
    before, half, whole = Lattice((count + 1) // 2, AXES), Lattice(count, AXES, is_half=True), Lattice(count, AXES)
    assert half.size == len(half.keys) == size
    assert set(before.keys) < set(half.keys) < set(whole.keys)
    assert before.halfway == half
    assert before.finer == half.finer == whole
    assert half.halfway is None
    for node, key in enumerate(half.keys):
        assert half.index(*divmod(whole.keys.index(key), count)) == node
    assert half.index(0, 1) is None


def test_a_line_has_no_halves():
    assert Lattice(7, (np.zeros(1), AXES[1])).halfway is None


def test_own_nodes_keep_their_values_to_the_bit_and_the_level_before_predicts_the_others():
    half = Lattice(13, AXES, is_half=True)
    values = torch.randn(85, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    filled = half.filled(values).reshape(169, 3)
    assert torch.equal(filled[torch.as_tensor(is_dark(13))], values)
    cubic = torch.tensor([y**2 * x**3 for y in graded_nodes(13) for x in graded_nodes(13)])[is_dark(13)]
    predicted = torch.as_tensor(half.checkerboard) @ cubic
    torch.testing.assert_close(predicted, cubic, rtol=0, atol=1e-12)
    bent = torch.cos(20 * cubic) + torch.tensor([y**9 for y in graded_nodes(13) for _ in range(13)])[is_dark(13)]
    assert (torch.as_tensor(half.checkerboard) @ bent - bent).abs().max() > 0.01


def perceptron(examples):
    data = draw(examples, 5, seed=1), torch.arange(examples) % 3
    model = built(lambda: nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 3)))
    return Objective(model, nn.functional.cross_entropy, data, dtype=DOUBLE, check=False)


def test_planes_take_what_is_needed_and_are_within_the_error_they_state():
    """49 and 85 nodes on all of 640 examples, or besides on 160 or 272 of them half of the finer level or all of it."""
    objective, counts = perceptron(640), []
    plane = random_plane(objective, seed=0)
    exact = evaluate_plane(objective, plane, points=31, radius=2.0)
    for tol in (0.3, 0.1, 0.03, 0.01, 0.003, 0.0018, 0.001, 0.0003):
        found = evaluate_plane(objective, plane, points=31, radius=2.0, tol=tol)
        counts.append(found.num_evaluations)
        assert np.abs(found.loss - exact.loss).max() <= found.error <= tol * np.ptp(exact.loss)
        assert found.loss[15, 15] == exact.loss[15, 15]
    assert counts == sorted(counts)
    assert {49 + 36 // 4, 49 + 120 // 4} & set(counts)
    assert math.ceil(49 + 120 * 272 / 640) in counts
    assert math.ceil(49 + 36 + 84 * 272 / 640) in counts


def test_examples_that_were_tried_correct_all_of_them():
    """Where all are alike, those that are tried know everything: 49 nodes are as good as 169."""
    many, few = copies(640), copies(60)  # too few for any to be tried
    plane = random_plane(many, seed=0)
    whole = evaluate_plane(few, plane, points=31, radius=5.0, tol=0.01)
    assert whole.num_evaluations == 169
    found = [evaluate_plane(many, plane, points=31, radius=5.0, tol=tol) for tol in (0.01, 0.004, 0.002)]
    corrected = [one for one in found if one.num_evaluations == 49 + 120 // 4]
    assert corrected
    for one in corrected:
        np.testing.assert_allclose(one.loss, whole.loss, rtol=1e-10)


def test_more_examples_are_tried_where_these_do_and_finer_nodes_are_not_needed(monkeypatch):
    """272 of 640 on half of the finer level cost less than 160 on all of it."""
    objective = perceptron(640)
    plane, how = random_plane(objective, seed=0), {"points": 31, "radius": 2.0, "tol": 0.0062}
    exact = evaluate_plane(objective, plane, points=31, radius=2.0)
    found = evaluate_plane(objective, plane, **how)
    assert found.num_evaluations == math.ceil(49 + 36 * 272 / 640)
    assert np.abs(found.loss - exact.loss).max() <= found.error <= 0.0062 * np.ptp(exact.loss)
    monkeypatch.setattr(refine, "_NEARLY", 0.0)
    assert evaluate_plane(objective, plane, **how).num_evaluations == 49 + 120 // 4


def copies(count):
    data = draw(1, 5, seed=1).repeat(count, 1), torch.zeros(count, dtype=torch.long)
    return Objective(perceptron(3).module.model, nn.functional.cross_entropy, data, dtype=DOUBLE, check=False)
