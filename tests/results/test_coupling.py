"""Eigenvalues of a matrix against those of the same matrix without the coupling of some vectors to the rest."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.results.coupling import how_far_moved


def matrices(seed, *, known, sizes, rest):
    """Block-diagonal, and with a coupling whose columns have these norms."""
    rng = np.random.default_rng(seed)
    n = len(rest)
    coupling = rng.standard_normal((n, len(known)))
    coupling *= sizes / np.linalg.norm(coupling, axis=0)
    if seed % 2:  # the worst: all along one vector of the rest
        coupling = np.outer(np.eye(n)[rng.integers(n)], sizes)
    dropped = np.diag(np.r_[known, rest])
    whole = dropped.copy()
    whole[len(known) :, : len(known)], whole[: len(known), len(known) :] = coupling, coupling.T
    return np.sort(np.diag(dropped)), np.linalg.eigvalsh(whole), np.linalg.norm(coupling, axis=0)


@pytest.mark.parametrize("seed", range(60))
def test_counts_with_the_coupling_lie_between_those_without_it_a_slack_to_either_side(seed):
    rng = np.random.default_rng(1000 + seed)
    known = np.r_[rng.uniform(1, 8, 3), rng.uniform(-0.3, -0.05, 3)]
    sizes = np.abs(known) * 10.0 ** rng.uniform(-3, -0.5, 6)
    rest = 0.1 * rng.standard_normal(40) ** 3
    without, whole, norms = matrices(seed, known=known, sizes=sizes, rest=rest)
    x = np.r_[np.linspace(-1, 9, 400), whole, without, whole + 1e-9, without - 1e-9, np.linspace(-0.2, 0.2, 400)]
    slack = how_far_moved(x, known, norms)
    counted = (whole[:, None] <= x).sum(0)
    # 1e-12: rounding of the eigenvalues compared
    assert ((without[:, None] <= x - slack - 1e-12).sum(0) <= counted).all()
    assert ((without[:, None] <= x + slack + 1e-12).sum(0) >= counted).all()


def test_a_far_pair_moves_eigenvalues_by_its_coupling_squared_over_the_distance():
    """[[8, c], [c, 0]]: the lower eigenvalue moves by (√(64 + 4c²) − 8)/2; a near pair with no residual adds none."""
    c = 0.04
    moved = (np.sqrt(64 + 4 * c**2) - 8) / 2
    (alone,) = how_far_moved(np.zeros(1), np.array([8.0]), np.array([c]))
    (beside,) = how_far_moved(np.zeros(1), np.array([8.0, 1e-3]), np.array([c, 0.0]))
    assert moved <= alone <= 2.001 * moved
    assert moved <= beside <= 6.1 * moved
    assert how_far_moved(np.zeros(2), np.array([8.0]), np.zeros(1)).tolist() == [0.0, 0.0]
    assert how_far_moved(np.zeros(2), np.empty(0), np.empty(0)).tolist() == [0.0, 0.0]
