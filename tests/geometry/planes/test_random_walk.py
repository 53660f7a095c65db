"""The baseline of simulated walks: its limit, its law, and how often it covers a true walk."""

from __future__ import annotations

import numpy as np
import pytest

import landscape as ls
from landscape.geometry.planes.random_walk import walk_shares


def drawn_walk(rng: np.random.Generator, steps: np.ndarray, dim: int) -> np.ndarray:
    """In as many dimensions as it has, each direction drawn by itself."""
    moves = rng.standard_normal((len(steps), dim))
    moves *= (steps / np.linalg.norm(moves, axis=1))[:, None]
    return np.concatenate([np.zeros((1, dim)), np.cumsum(moves, axis=0)])


def shares_of(positions: np.ndarray) -> np.ndarray:
    values = np.linalg.svd(positions - positions.mean(0), compute_uv=False) ** 2
    return values[:2] / values.sum()


@pytest.mark.parametrize("count", [120, 600])
def test_a_long_walk_in_many_dimensions_has_the_shares_of_an_infinite_one(count):
    """6/(πk)², also where singular values are found by iteration."""
    shares = walk_shares([np.ones(count)], np.empty(0), 10**7, num_walks=6, seed=0)
    assert shares.mean(0) == pytest.approx([6 / np.pi**2, 6 / (2 * np.pi) ** 2], abs=3 / count)
    assert shares.std(0).max() < 0.01


@pytest.mark.parametrize("dim", [12, 40, 300])
def test_walks_without_vectors_have_the_law_of_walks_with_them(dim):
    rng, steps = np.random.default_rng(1), np.random.default_rng(2).exponential(size=30)
    with_vectors = np.array([shares_of(drawn_walk(rng, steps, dim)) for _ in range(300)])
    without = walk_shares([steps], np.empty(0), dim, num_walks=300, seed=3)
    for k in range(2):
        apart = abs(with_vectors[:, k].mean() - without[:, k].mean())
        assert apart < 4 * np.hypot(with_vectors[:, k].std(), without[:, k].std()) / np.sqrt(300)
        assert without[:, k].std() == pytest.approx(with_vectors[:, k].std(), rel=0.25)


def test_several_walks_begin_as_far_apart_as_the_runs():
    """Far apart, two short walks are two points: one component holds nearly everything."""
    steps = [np.full(5, 0.01)] * 2
    far = walk_shares(steps, np.array([10.0]), 1000, num_walks=20, seed=0)
    assert (far[:, 0] > 0.999).all()
    together = walk_shares(steps, np.array([0.0]), 1000, num_walks=20, seed=0)
    assert (together[:, 0] < 0.9).all()


def test_the_range_covers_a_walk_and_not_a_path_that_goes_somewhere():
    rng, inside = np.random.default_rng(5), 0
    for trial in range(80):
        plane = ls.pca_plane(drawn_walk(rng, np.ones(20), 25), num_walks=80, seed=trial)
        _, low, high = plane.baseline
        inside += low <= plane.share <= high
    assert inside >= 69  # of 80 at 95 %: fewer by chance in 1 of 1,000
    turn = np.linspace(0, 1, 21)[:, None]
    straight = ls.pca_plane(turn * rng.standard_normal(25) + 0.01 * rng.standard_normal((21, 25)))
    assert straight.share > straight.baseline[2]


def test_the_same_seed_gives_the_same_walks():
    steps = [np.ones(9)]
    first, again, other = (walk_shares(steps, np.empty(0), 50, num_walks=4, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
