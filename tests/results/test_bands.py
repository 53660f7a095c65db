"""Brackets of distribution functions from moments, and what the law of isotropic probes leaves open."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from landscape.results.bands import brackets, error_of_mean, shares_allowed
from landscape.results.quadrature import gauss_rule
from tests.support.jacobi import coefficients


def atoms(rng, count):
    return np.sort(rng.normal(size=count)), rng.dirichlet(np.full(count, 0.5))


@pytest.mark.parametrize("steps", [1, 2, 5, 12])
def test_brackets_hold_for_the_measure_that_the_coefficients_are_of(steps):
    rng = np.random.default_rng(steps)
    for _ in range(20):
        points, masses = atoms(rng, 40)
        found = brackets(*coefficients(points, masses, steps))
        x = np.sort(np.r_[rng.normal(size=200), points[:-1] + np.diff(points) / 2])
        low, middle, high = found.at(x)
        truth = np.r_[0, np.cumsum(masses)][np.searchsorted(points, x, side="right")]
        assert (low <= truth + 1e-9).all()
        assert (truth <= high + 1e-9).all()
        assert (low <= middle + 1e-12).all()
        assert (middle <= high + 1e-12).all()


def test_brackets_are_nearly_the_best_that_the_moments_allow():
    """The largest and least mass up to x of any distribution with the same moments, by linear programming."""
    points, masses = atoms(np.random.default_rng(3), 40)
    steps = 3
    found = brackets(*coefficients(points, masses, steps))
    # With the points themselves on the grid there is a distribution that has the moments.
    grid = np.sort(np.r_[np.linspace(-6, 6, 2401), points])
    moments = np.polynomial.legendre.legvander(grid / 6, 2 * steps)
    seen = masses @ np.polynomial.legendre.legvander(points / 6, 2 * steps)
    for x in (-0.8, -0.1, 0.35, 1.1):
        low, _, high = (float(part[0]) for part in found.at(np.array([x])))
        up_to = (grid <= x).astype(float)
        least, most = (
            sign * optimize.linprog(sign * up_to, A_eq=moments.T, b_eq=seen).fun for sign in (1, -1)
        )  # fmt: skip
        assert low <= least + 1e-6
        assert most - 1e-6 <= high
        assert high - low <= 1.3 * (most - least)


def test_an_exhausted_run_has_its_distribution_whole():
    points, masses = np.array([-1.0, 0.5, 2.0]), np.array([0.2, 0.5, 0.3])
    found = brackets(*coefficients(points, masses, 3))
    for part in found.at(np.array([-2.0, 0.0, 1.0, 3.0])):
        np.testing.assert_allclose(part, [0, 0.2, 0.7, 1], atol=1e-12)


def test_the_estimate_keeps_the_moments():
    """Up to 2T − 1: those of every rule that it is the mean of, here of the masses that it rises by."""
    points, masses = atoms(np.random.default_rng(5), 30)
    steps = 4
    found = brackets(*coefficients(points, masses, steps))
    rises = np.diff(np.r_[0, found.between])
    for power in range(2 * steps):
        assert rises @ found.points**power == pytest.approx(masses @ points**power, abs=1e-6)
    diagonal, beside = coefficients(points, masses, steps)
    assert np.abs(gauss_rule(diagonal, beside[:-1])[1]).sum() == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("probes", [1, 3, 10])
@pytest.mark.parametrize(("below", "count"), [(0, 50), (1, 50), (3, 50), (25, 50), (49, 50), (200, 1000)])
def test_shares_are_covered_as_often_as_is_said(probes, below, count):
    """Masses of directions drawn on the sphere, 2,000 times."""
    rng = np.random.default_rng(below + probes)
    squares = rng.chisquare(1, size=(2000, probes, count)) if count < 1000 else None
    if squares is None:
        part, rest = rng.chisquare(below, size=(2000, probes)), rng.chisquare(count - below, size=(2000, probes))
        mass = (part / (part + rest)).mean(1)
    else:
        mass = (squares[..., :below].sum(-1) / squares.sum(-1)).mean(1)
    lower, upper = shares_allowed(mass, mass, count=count, probes=probes, level=0.95)
    hits = int(((lower <= below / count) & (below / count <= upper)).sum())
    assert hits >= stats.binom.ppf(1e-4, 2000, 0.95)
    # And no wider than it must be, where eigenvalues are too many for whole numbers to help.
    if count == 1000:
        assert hits <= stats.binom.ppf(0.9999, 2000, 0.97)
        expected = 1.96 * np.sqrt(2 * 0.2 * 0.8 / (1002 * probes))
        assert np.median(upper - lower) / 2 == pytest.approx(expected, rel=0.1)


def test_intervals_contain_what_was_seen_at_any_level_and_whole_numbers_narrow_them():
    mass = np.linspace(0, 1, 101)
    for level in (1e-9, 0.5, 0.999999):
        lower, upper = shares_allowed(mass, mass, count=10**9, probes=1, level=level)
        assert (lower <= mass + 1e-9).all()
        assert (mass <= upper + 1e-9).all()
    mass = mass[10:-10]  # nearer to the ends no whole number of five is likely
    lower, upper = shares_allowed(mass, mass, count=5, probes=4, level=0.95)
    np.testing.assert_allclose(5 * lower, np.round(5 * lower), atol=1e-9)
    np.testing.assert_allclose(5 * upper, np.round(5 * upper), atol=1e-9)
    assert (lower <= upper).all()


@pytest.mark.parametrize("dominant", [1.0, 100.0])
def test_errors_of_means_are_those_of_the_law_and_intervals_cover_also_where_one_eigenvalue_dominates(dominant):
    rng = np.random.default_rng(7)
    values = np.r_[dominant, rng.normal(size=199)]
    truth, hits, errors = values.mean(), 0, []
    for _ in range(1000):
        squares = rng.chisquare(1, size=(1, 200))
        weights = squares / squares.sum()
        sem, freedom = error_of_mean(weights, values[None, :], count=200)
        quantile = stats.t.ppf(0.975, freedom)
        hits += abs((weights * values).sum() - truth) <= quantile * sem
        errors.append(sem)
    assert hits >= stats.binom.ppf(1e-4, 1000, 0.95) - 20
    law = np.sqrt(2 * values.var() / 202)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(law, rel=0.1)
