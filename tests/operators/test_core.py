"""Draws of examples by how much they bend: unbiased whatever the sizes, and near H where the sizes are right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import landscape as ls
from landscape.errors import UsageError
from landscape.operators.core import CoreOperator, Draw, can_be_cut, draw_core, example_sizes
from tests.support.classified import classified


def by_example(objective):
    """tr JᵀAJ of each example (N,), from an operator of that example alone: another route."""
    pairs = [objective.subset([i]) for i in range(objective.num_examples)]
    return np.array([float(ls.GaussNewtonOperator(part).dense().trace()) for part in pairs])


@pytest.fixture(scope="module")
def small():
    return classified("end", N=60, width=4, classes=3)


def test_sizes_are_the_traces_of_the_gauss_newton_matrices_of_single_examples_within_a_factor(small):
    """Never more than the trace, for one direction of the outputs is a part of it; here a third of it at least."""
    sizes, traces = example_sizes(small, small.theta) * small.num_examples, by_example(small)
    assert (sizes <= traces * (1 + 1e-6)).all()
    assert (sizes >= traces / 3.2).all()
    assert traces.max() / traces.min() > 3


def test_sizes_do_not_depend_on_how_the_data_are_cut(small):
    whole = example_sizes(small, small.theta)
    np.testing.assert_allclose(example_sizes(small.rechunked(7), small.theta), whole, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_a_draw_holds_no_example_twice_and_stands_for_all_of_them(seed):
    sizes = np.random.default_rng(seed).pareto(1.0, 400)
    draw = draw_core(sizes, 60, seed=seed)
    rows = np.concatenate([rows for rows, _ in draw.strata])
    assert len(set(rows)) == len(rows) == draw.size
    assert abs(draw.size - 60) <= 4
    assert sum(len(rows) * stands_for for rows, stands_for in draw.strata) == pytest.approx(400)


def test_a_draw_of_everything_is_the_operator_itself(small):
    H = ls.HessianOperator(small)
    core = CoreOperator(H, draw_core(np.ones(60), 60))
    assert core.share == 1.0
    torch.testing.assert_close(core.dense(), H.dense(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("route", ["sizes", "constant"])
def test_over_draws_the_mean_is_the_operator_on_all_data(small, route):
    """vᵀCv over 300 draws, within four standard errors of vᵀHv, whatever the chances were."""
    H, rng = ls.HessianOperator(small, route="fresh"), np.random.default_rng(0)
    v = torch.from_numpy(rng.standard_normal(H.dim))
    sizes = example_sizes(small, small.theta) if route == "sizes" else np.ones(60)
    # H is a mean over examples, so that each one's own vᵀHᵢv is all that a draw can see.
    own = np.array([float(v @ small.subset([i]).hvp(v)) for i in range(60)]) / 60
    draws = [draw_core(sizes, 20, seed=seed) for seed in range(300)]
    totals = np.array([sum(stands * own[rows].sum() for rows, stands in draw.strata) for draw in draws])
    exact = float(v @ (H @ v))
    assert own.sum() == pytest.approx(exact)
    assert abs(totals.mean() - exact) <= 4 * totals.std(ddof=1) / np.sqrt(300)
    core = CoreOperator(H, draws[0])
    assert float(v @ (core @ v)) == pytest.approx(totals[0], rel=1e-6)


def test_draws_by_size_are_nearer_than_plain_ones_at_the_end_of_training():
    objective = classified("end", N=1500)
    H = ls.HessianOperator(objective)
    exact, sizes = H.dense(), example_sizes(objective, objective.theta)

    def error(sizes):
        cores = [CoreOperator(H, draw_core(sizes, 150, seed=seed)).dense() for seed in range(3)]
        return np.mean([float(torch.linalg.matrix_norm(core - exact, 2)) for core in cores])

    assert error(sizes) <= 0.5 * error(np.ones(1500))


def test_weights_other_than_examples_are_kept():
    """Tokens that count: batches of unequal weight, a draw of all is the mean over tokens."""
    x, y = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)).double(), torch.arange(40) % 2
    y[::3] = -100
    with torch.random.fork_rng(devices=[]):
        model = torch.nn.Linear(3, 2).double()

    def loss(f, t):
        return F.cross_entropy(f, t, ignore_index=-100)

    objective = ls.Objective(model, loss, (x, y), weight=lambda batch: int((batch[1] >= 0).sum()), chunk=None)
    H = ls.HessianOperator(objective)
    draw = Draw(((np.arange(0, 25), 1.0), (np.arange(25, 40), 1.0)), 0.0)
    torch.testing.assert_close(CoreOperator(H, draw).dense(), H.dense(), rtol=1e-9, atol=1e-12)


def test_what_cannot_be_cut_is_refused(small):
    matrix = ls.MatrixOperator(np.eye(3))
    assert not can_be_cut(matrix)
    assert can_be_cut(ls.GaussNewtonOperator(small))
    with pytest.raises(UsageError, match="a mean over examples"):
        CoreOperator(matrix, draw_core(np.ones(10), 5))
    with torch.random.fork_rng(devices=[]):
        model = torch.nn.Linear(2, 2)
    own = ls.Objective.from_loss(model, lambda m, b: F.cross_entropy(m(b[0]), b[1]), (torch.eye(2), torch.arange(2)))
    assert example_sizes(own, own.theta) is None
