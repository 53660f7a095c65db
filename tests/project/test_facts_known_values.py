"""What facts rest on, where it is known otherwise: learning coefficients, parametrisations, walks with drift."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).parents[2] / "scripts" / "reproduce"


@pytest.fixture
def script(monkeypatch):
    """Import a fact's script, or a module beside it, by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def of_two_layers(inputs: int, hidden: int, outputs: int, rank: int) -> float:
    """Aoyagi & Watanabe (2005), Neural Networks 18(7), theorem 1: four cases, where the general formula has one."""
    M, H, N, r = inputs, hidden, outputs, rank
    if N + r <= M + H and M + r <= N + H and H + r <= M + N:
        squares = -((H + r) ** 2) - M * M - N * N + 2 * (H + r) * (M + N) + 2 * M * N
        return (squares + (M + H + N + r) % 2) / 8
    if N + r > M + H:
        return (H * M - H * r + N * r) / 2
    return (H * N - H * r + M * r) / 2 if M + r > N + H else M * N / 2


def test_the_formula_for_deep_linear_networks_is_that_of_two_layers_where_there_are_two(script):
    aoyagi = script("shared.learning_coefficients").aoyagi
    for M, H, N in np.ndindex(5, 5, 5):
        widths = (M + 1, H + 1, N + 1)
        for rank in range(min(widths) + 1):
            assert aoyagi(widths, rank) == of_two_layers(*widths, rank), (widths, rank)


@pytest.mark.parametrize("widths", [(3, 1, 2), (5, 2, 2), (2, 1, 1, 2), (4, 1, 1, 3)])
def test_integrals_at_finite_n_go_to_the_formula(script, widths):
    """Where the smallest widths are not unique the limit is reached like 1/log n; these are within 1 % at 1e8."""
    known = script("shared.learning_coefficients")
    assert known.of_linear_network(widths, 1e8, 1.0) == pytest.approx(known.aoyagi(widths), rel=0.01)
    assert known.of_linear_network(widths, 10.0, 1.0) < 0.95 * known.aoyagi(widths)


@pytest.mark.parametrize("widths", [(3, 1, 2), (3, 2, 3), (2, 1, 1, 2)])
def test_integrals_are_what_weighted_draws_give(script, widths):
    """Weights drawn from the localisation alone, weighted by exp(−tL): a second route, at an n where it still works."""
    known, loss = script("shared.learning_coefficients"), script("learning_coefficient").network_loss
    t, gamma, generator = 4.0, 2.0, torch.Generator().manual_seed(0)
    draws = torch.randn(20_000, known.num_parameters(widths), generator=generator, dtype=torch.float64) / gamma**0.5
    rises = t * torch.vmap(lambda w: loss(widths, 0.0, w))(draws)
    weights = torch.exp(-rises)
    mean = float((weights * rises).sum() / weights.sum())
    spread = float((weights**2 * (rises - mean) ** 2).sum().sqrt() / weights.sum())
    assert abs(mean - known.of_linear_network(widths, t, gamma)) < 4 * spread
    assert spread < 0.02 * mean


def test_a_power_is_the_gaussian_where_it_is_a_square_and_has_its_own_limit(script):
    known = script("shared.learning_coefficients")
    assert known.of_power(1, 50.0, 3.0) == pytest.approx(known.of_quadratic(np.array([2.0]), 50.0, 3.0), rel=1e-6)
    assert [known.of_power(k, 1e12, 1.0) for k in (2, 3)] == pytest.approx([1 / 4, 1 / 6], rel=0.01)


def test_a_teacher_is_a_minimum_of_the_rank_it_is_said_to_have(script):
    fact = script("learning_coefficient")
    for widths in fact.TEACHERS:
        question = fact.teacher(widths, 100, 0)
        assert question.objective.loss() == 0
        assert float(question.minimum.square().sum()) == fact.RANK * (len(widths) - 1)


def test_parametrisations_are_one_at_the_base_and_scale_apart(script):
    """At twice the width µP keeps what a layer adds to outputs by one step; its output layer alone starts smaller."""
    fact = script("width_and_parametrization")

    def made(name: str, width: int) -> object:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return fact.Network(name, 6, width)

    x = torch.ones(1, 6)
    base = [made(name, fact.BASE)(x) for name in fact.NAMES]
    assert torch.equal(base[0], base[1])
    assert torch.equal(base[0], base[2])

    def kernel(name: str, width: int) -> float:  # Σ over outputs and weights of squared derivatives
        network = made(name, width)
        rows = [torch.autograd.grad(one, network.parameters(), retain_graph=True) for one in network(x)[0]]
        return float(sum(piece.square().sum() for row in rows for piece in row))

    sizes = {name: kernel(name, 16 * fact.BASE) / kernel(name, fact.BASE) for name in fact.NAMES}
    assert sizes["sp"] > 6
    assert 0.5 < sizes["mup"] < 2
    assert 0.5 < sizes["ntp"] < 2


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9])
def test_the_drift_of_a_walk_is_found_again(script, rho):
    fact = script("pca_and_random_walk")
    lengths = np.linspace(2.0, 0.5, 400)
    found = [fact.drift_part(np.diff(fact.walk(lengths, 300, rho, np.random.default_rng(s)), axis=0)) for s in range(8)]
    assert np.mean(found) == pytest.approx(rho, abs=0.03)


def test_shares_of_a_walk_without_drift_are_those_of_an_endless_one(script):
    fact = script("pca_and_random_walk")
    walk = fact.walk(np.ones(300), 20_000, 0.0, np.random.default_rng(0))
    assert fact.shares_of(walk) == pytest.approx(fact.ENDLESS, rel=0.1)


def test_batches_take_every_example_once_in_each_pass(script):
    fact = script("bulk_and_top_space")
    batches = fact.Batches(3 * fact.BATCH, seed=0)
    passes = [np.sort(np.concatenate([batches.next() for _ in range(3)])) for _ in range(2)]
    assert np.array_equal(passes[0], np.arange(3 * fact.BATCH))
    assert np.array_equal(passes[0], passes[1])
