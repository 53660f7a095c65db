"""Steps that know less than the gradient: the loss alone, some coordinates, rounded or old derivatives."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from landscape.optimizers.imperfect import quantized
from tests.support.stepping import START, A, quadratic, steps

pytestmark = pytest.mark.usefixtures("generator_of_its_own")


def test_spsa_moves_by_the_gradient_on_average_and_always_along_signs():
    g = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    moves = torch.stack([steps("spsa", 1, lambda x: g @ x, lr=1.0)[0][0] - START for _ in range(4000)])
    assert torch.allclose(moves.abs(), moves.abs()[:, :1].expand_as(moves), rtol=1e-9)
    spread = moves.std(0) / len(moves) ** 0.5
    assert ((moves.mean(0) + g).abs() <= 4.5 * spread).all()
    assert (spread < 0.1).all()


def test_the_gains_of_spsa_decay_as_they_are_asked_to():
    _, _, optimizer = steps("spsa", 5, lr=2.0, alpha=0.602, stability=3.0, gamma=0.101)
    assert optimizer.step_size == pytest.approx(2.0 / (5 + 3) ** 0.602)


def test_random_search_never_climbs_and_settles_where_one_in_five_succeeds():
    places, losses, _ = steps("random-search", 400, lr=1.0)
    values = [float(quadratic(place)) for place in places]
    assert all(later <= sooner for sooner, later in itertools.pairwise(values))
    assert losses == pytest.approx(values)
    assert values[-1] < 1e-3 * float(quadratic(START))
    successes = np.mean(np.diff(values) < 0)
    assert 0.1 < successes < 0.35


def test_a_random_search_that_failed_stands_where_it_stood():
    places, _, optimizer = steps("random-search", 3, start=torch.zeros(3, dtype=torch.float64), lr=1.0)
    assert all(torch.equal(place, torch.zeros(3, dtype=torch.float64)) for place in places)
    assert optimizer.group["factor"] == pytest.approx(math.exp(-3 / 12))


# --- some coordinates -------------------------------------------------------------------------------------------------


def test_cyclic_coordinate_descent_visits_every_coordinate_once_per_round():
    places, _, _ = steps("coordinate-descent", 3, lr=0.1, rule="cyclic")
    moved = [torch.nonzero(b - a).flatten().tolist() for a, b in itertools.pairwise([START, *places])]
    assert moved == [[0], [1], [2]]
    assert torch.allclose(places[-1], START * (1 - 0.1 * A.diagonal()), rtol=1e-12)


def test_greedy_coordinate_descent_takes_the_largest_derivatives():
    places, _, _ = steps("coordinate-descent", 1, lr=0.1, rule="greedy", block=2)
    gradient = A @ START  # 3, -8, 10
    assert torch.allclose(START - places[0], 0.1 * torch.tensor([0.0, *gradient[1:]], dtype=torch.float64), rtol=1e-12)


def test_random_coordinate_descent_moves_a_block_and_reaches_all():
    places, _, _ = steps("coordinate-descent", 60, lr=0.05, block=2)
    moved = [set(torch.nonzero(b - a).flatten().tolist()) for a, b in itertools.pairwise([START, *places])]
    assert all(len(chosen) == 2 for chosen in moved)
    assert {frozenset(chosen) for chosen in moved} == {frozenset(p) for p in itertools.combinations(range(3), 2)}


# --- coarse and old gradients -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["max", "l2"])
@pytest.mark.parametrize("bits", [2, 4])
def test_stochastic_rounding_is_unbiased_and_rounds_to_its_levels(bits, scale):
    g = torch.tensor([0.9, -0.35, 0.02, 0.0], dtype=torch.float64)
    levels = 2 ** (bits - 1) - 1
    draws = torch.stack([quantized(g, levels, stochastic=True, scale=scale) for _ in range(4000)])
    unit = float(g.abs().max() if scale == "max" else g.norm()) / levels
    assert torch.allclose(draws / unit, (draws / unit).round(), atol=1e-9)
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - g).abs() <= 4.5 * error + 1e-12).all()


def test_rounding_to_the_nearest_errs_by_half_a_level_at_most():
    g = torch.linspace(-1, 1, 101, dtype=torch.float64)
    assert (quantized(g, 7, stochastic=False, scale="max") - g).abs().max() <= 0.5 / 7 + 1e-12
    assert torch.equal(quantized(torch.zeros(3), 7, stochastic=True, scale="max"), torch.zeros(3))
