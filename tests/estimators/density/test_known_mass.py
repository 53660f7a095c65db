"""Known eigenvalues have their exact mass, the probes the rest, and residuals widen the band."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from landscape.errors import UsageError
from landscape.estimators import spectral_density, top_eigenpairs
from landscape.operators import MatrixOperator
from tests.support.densities import BULK, SPECTRA
from tests.support.spectra import with_spectrum


def test_known_eigenvalues_have_their_exact_mass_and_the_probes_the_rest():
    values = SPECTRA["outliers and bulk"]
    H = with_spectrum(values)
    eigs = top_eigenpairs(H, 10, tol=1e-8)
    plain, measure = (spectral_density(H, known, num_probes=6, num_steps=30) for known in (None, eigs))
    assert measure.num_known == 10
    assert measure.num_steps == 30
    np.testing.assert_array_equal(measure.nodes[:, :10], np.tile(eigs.values, (6, 1)))
    np.testing.assert_array_equal(measure.weights[:, :10], 1 / 300)
    np.testing.assert_allclose(measure.weights.sum(1), 1, atol=1e-14)
    assert measure.nodes[:, 10:].max() <= BULK.max() + 1e-9
    assert measure.num_matvecs == 180
    assert measure.moment(1).sem < 0.1 * plain.moment(1).sem
    assert measure.wasserstein(values) < 0.2 * plain.wasserstein(values)
    assert measure.num_outliers().mass.sem == pytest.approx(0, abs=1e-12)
    assert measure.num_outliers().mass.value == pytest.approx(10)


@pytest.mark.parametrize("tol", [1e-6, 0.2])
def test_the_band_covers_with_known_eigenpairs_good_and_bad(tol):
    """Bad ones shift what is left of the spectrum; their residuals widen the band by as much."""
    values = np.sort(SPECTRA["outliers and bulk"])
    H = with_spectrum(values)
    points = ((values[1:] + values[:-1]) / 2)[::8]
    points = np.r_[points, (values[1:] + values[:-1])[-9:] / 2]
    exact = np.searchsorted(values, points, side="right") / len(values)
    covered, loose = [], 0.0
    for seed in range(20):
        eigs = top_eigenpairs(H, 6, tol=tol, seed=seed)
        loose = max(loose, float(eigs.residuals.max()))
        low, _, high = spectral_density(H, eigs, num_steps=24, seed=seed).cdf(points)
        covered.append((low <= exact) & (exact <= high))
    assert loose > 0.3 or tol < 0.1
    assert np.mean(covered, axis=0).min() >= stats.binom.ppf(1e-4, 20, 0.95) / 20


def test_residuals_of_known_pairs_widen_the_band_where_eigenvalues_may_have_moved():
    """Three vectors tilted out of their eigenspace have quotients of 9.8, below the point 9.9 and three eigenvalues."""
    values = np.r_[10.0, 10.001, 10.002, np.linspace(-1, 5, 9)]
    tilted = np.linalg.qr(np.eye(12)[:, :3] + 0.2 * np.eye(12)[:, 9:])[0]
    quotients = np.einsum("ij,i,ij->j", tilted, values, tilted)
    residuals = np.linalg.norm(values[:, None] * tilted - tilted * quotients, axis=0)
    eigs = replace(
        top_eigenpairs(MatrixOperator(np.diag(values)), 3),
        values=quotients, vectors=tilted, residuals=residuals, converged=np.ones(3, bool),
    )  # fmt: skip
    assert quotients.max() < 9.9
    measure = spectral_density(MatrixOperator(np.diag(values)), eigs, num_probes=30)
    low, _, high = measure.cdf(9.9)
    assert low <= 9 / 12 <= high
    assert replace(measure, known_residuals=np.zeros(3)).cdf(9.9)[0] > 9 / 12  # the residuals are what saves it


def test_masses_of_the_rest_are_right_on_average_in_few_dimensions_too():
    """P = 4, one eigenvector known: the other three have mass 1/4 each on average, over 4,000 probes."""
    H = with_spectrum([4.0, 1.0, 2.0, 3.0])
    eigs = top_eigenpairs(H, 1, tol=1e-10)
    measure = spectral_density(H, eigs, num_probes=4000)
    for value in (1.0, 2.0, 3.0):
        mass = np.where(np.abs(measure.nodes - value) < 1e-6, measure.weights, 0).sum(1)
        assert abs(mass.mean() - 0.25) <= 4 * stats.sem(mass)


def test_a_spectrum_known_in_full_needs_no_probe():
    H = with_spectrum([3.0, 1.0, -2.0])
    measure = spectral_density(H, top_eigenpairs(H, 3, tol=1e-10))
    assert measure.num_matvecs == 0
    np.testing.assert_allclose(measure.nodes[0], [3, 1, -2], atol=1e-9)
    for band in measure.cdf(np.array([-3.0, 0.0, 2.0, 4.0])):
        np.testing.assert_allclose(band, [0, 1 / 3, 2 / 3, 1], atol=1e-9)
    assert measure.moment(2).value == pytest.approx(14 / 3)
    assert "3 eigenvalues known" in str(measure)


def test_pairs_that_have_not_converged_are_left_to_the_probes():
    H = with_spectrum(SPECTRA["decaying"])
    eigs = top_eigenpairs(H, 4, max_matvecs=12, strict=False)
    assert 0 < eigs.converged.sum() < 4
    assert spectral_density(H, eigs, num_steps=4).num_known == eigs.converged.sum()


def test_eigenpairs_without_vectors_or_of_another_operator_are_refused():
    H = with_spectrum(np.arange(1.0, 9))
    eigs = top_eigenpairs(H, 2)
    with pytest.raises(UsageError, match=r"shape \(8, 0\)"):
        spectral_density(H, eigs.without_vectors())
    with pytest.raises(UsageError, match=r"expected \(5, 2\)"):
        spectral_density(with_spectrum(np.arange(1.0, 6)), eigs)
    with pytest.raises(UsageError, match="Eigenpairs"):
        spectral_density(H, eigs.vectors)
