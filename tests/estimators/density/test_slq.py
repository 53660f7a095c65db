"""Stochastic Lanczos quadrature against exact spectra."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from landscape.errors import UsageError
from landscape.estimators import probe, spectral_density, top_eigenpairs
from landscape.operators import MatrixOperator
from landscape.results import SpectralMeasure
from tests.support.densities import SPECTRA
from tests.support.spectra import spectra, with_spectrum


def distance(measure: SpectralMeasure, values: np.ndarray) -> float:
    """Wasserstein-1, in units of the range of the spectrum."""
    nodes, weights = measure.nodes.ravel(), measure.weights.ravel()
    return float(stats.wasserstein_distance(values, nodes, None, weights) / np.ptp(values))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SPECTRA)
def test_sixteen_probes_of_64_steps_are_close_to_the_exact_spectrum(name, dtype):
    H = with_spectrum(SPECTRA[name], dtype=dtype)
    for seed in range(2):
        assert distance(spectral_density(H, num_probes=16, num_steps=64, seed=seed), SPECTRA[name]) <= 6e-3


def test_each_rule_integrates_polynomials_of_its_probe_exactly():
    """Gauss: zᵀHᵖz/P for p ≤ 2T − 1; squaring other rows of the eigenvectors than the first would not do it."""
    H = with_spectrum(np.linspace(-1, 1.3, 50))
    steps = 6
    measure = spectral_density(H, num_probes=3, num_steps=steps)
    a = H.dense().numpy()
    for r in range(3):
        z = probe(r, 50, seed=0).numpy()
        for p in range(2 * steps):
            expected = z @ np.linalg.matrix_power(a, p) @ z / 50
            assert measure.weights[r] @ measure.nodes[r] ** p == pytest.approx(expected, abs=1e-13)
        beyond = z @ np.linalg.matrix_power(a, 2 * steps) @ z / 50
        assert measure.weights[r] @ measure.nodes[r] ** (2 * steps) != pytest.approx(beyond, abs=1e-9)
    for p in range(2 * steps):
        rows = [z @ np.linalg.matrix_power(a, p) @ z / 50 for z in (probe(r, 50, seed=0).numpy() for r in range(3))]
        moment = measure.moment(p)
        assert moment.value == pytest.approx(np.mean(rows), abs=1e-13)
        assert moment.sem == pytest.approx(stats.sem(rows), abs=1e-13)


def test_rows_of_weights_sum_to_one_and_nodes_stay_inside_the_spectrum():
    values = SPECTRA["outliers and bulk"]
    measure = spectral_density(with_spectrum(values), num_probes=4, num_steps=30)
    assert measure.nodes.shape == measure.weights.shape == (4, 30)
    np.testing.assert_allclose(measure.weights.sum(1), 1, atol=1e-14)
    assert (measure.weights >= 0).all()
    assert measure.nodes.min() >= values.min() - 1e-12
    assert measure.nodes.max() <= values.max() + 1e-12
    assert measure.num_matvecs == 120


@pytest.mark.parametrize("scale", [1e-14, 1.0, 1e14])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exhausted_krylov_spaces_give_the_exact_measure_without_nan(scale, dtype):
    """Three eigenvalues: three nodes at most, whatever num_steps asks for; then no division by β = 0."""
    H = with_spectrum(scale * np.repeat([1.0, 2.0, 5.0], [10, 20, 30]), dtype=dtype)
    measure = spectral_density(H, num_probes=6, num_steps=200)
    assert np.isfinite(measure.nodes).all()
    heavy = measure.weights > 1e-4
    nearest = np.abs(measure.nodes[..., None] / scale - [1.0, 2.0, 5.0]).min(-1)
    assert (nearest[heavy] < 1e-3).all()
    mean = measure.moment(1)
    assert abs(mean.value / scale - 200 / 60) <= 5 * mean.sem / scale


def test_shorter_rules_are_padded_with_their_last_node_at_weight_zero():
    """(1, …, 1) is an eigenvector of the all-ones matrix: a probe with one sign throughout stops after one step."""
    H = MatrixOperator(np.ones((2, 2)))
    measure = spectral_density(H, num_probes=10, num_steps=10)
    assert measure.nodes.shape == (10, 1)  # a sign vector of length 2 is always an eigenvector here
    np.testing.assert_allclose(sorted(set(measure.nodes.ravel().round(12))), [0, 2])
    H = MatrixOperator(np.ones((3, 3)))
    measure = spectral_density(H, num_probes=20, num_steps=10)
    short = measure.weights[:, 1] == 0
    assert 0 < short.sum() < 20
    np.testing.assert_array_equal(measure.nodes[short, 1], measure.nodes[short, 0])
    assert measure.num_matvecs == 20 * 2 - short.sum()


@pytest.mark.parametrize("values", [[3.0], [0.0], np.zeros(20), np.ones(20)])
def test_dimension_one_zero_and_identity_work(values):
    measure = spectral_density(MatrixOperator(np.diag(values)), num_probes=2)
    np.testing.assert_allclose(measure.nodes, values[0], atol=1e-14)
    np.testing.assert_allclose(measure.weights, 1)
    assert measure.num_matvecs == 2
    low, middle, high = measure.cdf(values[0] + 1.0)
    assert low <= middle == high == 1


@pytest.mark.parametrize("name", SPECTRA)
def test_band_of_the_cdf_covers_the_exact_cdf(name):
    """Pointwise 95 %: over 20 seeds and 40 points, fewer than 90 % of covered pairs would mean it does not hold."""
    values = np.sort(SPECTRA[name])
    H = with_spectrum(values)
    between = (values[1:] + values[:-1]) / 2
    points = between[np.linspace(0, len(between) - 1, 40).astype(int)]
    points = points[np.diff(values)[np.linspace(0, len(between) - 1, 40).astype(int)] > 1e-9]
    exact = np.searchsorted(values, points, side="right") / len(values)
    covered = []
    for seed in range(20):
        low, estimate, high = spectral_density(H, num_probes=8, num_steps=24, seed=seed).cdf(points)
        assert (low <= estimate).all()
        assert (estimate <= high).all()
        covered.append((low <= exact) & (exact <= high))
    assert np.mean(covered) >= 0.9
    assert np.mean(covered, axis=0).min() >= stats.binom.ppf(0.0001, 20, 0.95) / 20


def test_more_steps_resolve_what_few_cannot():
    """Two peaks 2 % of the range apart: one node stands for both, or each has its own."""
    values = np.r_[np.full(150, 0.5), np.full(150, 0.52), np.linspace(0, 1, 100)]
    H = with_spectrum(values)
    coarse, fine = (distance(spectral_density(H, num_probes=4, num_steps=t), values) for t in (4, 60))
    assert fine < 0.5 * coarse


def test_same_seed_same_measure_and_more_probes_continue_it():
    H = with_spectrum(SPECTRA["decaying"])
    a, again, b, c = (
        spectral_density(H, num_probes=n, num_steps=8, seed=s) for n, s in ((2, 1), (2, 1), (4, 1), (2, 2))
    )
    np.testing.assert_array_equal(a.nodes, again.nodes)
    np.testing.assert_allclose(a.nodes, b.nodes[:2], rtol=1e-10)
    assert not np.allclose(a.nodes, c.nodes)


def test_progress_counts_matvecs_against_what_was_planned():
    seen = []
    spectral_density(with_spectrum(np.arange(1.0, 9)), num_probes=2, num_steps=50, progress=lambda *p: seen.append(p))
    assert seen == [(2 * i + 2, 16) for i in range(8)]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"seed": None}, "seed=None"), ({"num_probes": 0}, "num_probes=0"), ({"num_steps": 0}, "num_steps=0")],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        spectral_density(MatrixOperator(np.eye(2)), **options)


@settings(max_examples=60, deadline=None)
@given(values=spectra(), dtype=st.sampled_from([torch.float32, torch.float64]), k=st.integers(0, 3))
@example(values=np.array([-1.0, -1.0, -1.0]), dtype=torch.float64, k=1)  # once 2e-16 more than everything
def test_on_any_spectrum_weights_sum_to_one_nodes_stay_inside_and_low_moments_are_exact(values, dtype, k):
    H = with_spectrum(values, dtype=dtype)
    eps, size = torch.finfo(dtype).eps, np.abs(values).max()
    eigs = top_eigenpairs(H, min(k, len(values)), strict=False) if k else None
    measure = spectral_density(H, eigs, num_probes=3, num_steps=12)
    assert np.isfinite(measure.nodes).all()
    assert (measure.weights >= 0).all()
    np.testing.assert_allclose(measure.weights.sum(1), 1, atol=1e-12)
    slack = 200 * eps * size
    assert measure.nodes.min() >= values.min() - slack
    assert measure.nodes.max() <= values.max() + slack
    assert measure.wasserstein(measure) == 0
    low, middle, high = measure.cdf(values)
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert 0 <= measure.negative_mass().value <= 1
    assert np.isfinite(measure.effective_rank().value)
    assert np.isfinite(measure.num_outliers().value)
    density = measure.log_density()
    assert np.isfinite(density.positive).all()
    if not k:
        z = np.stack([probe(r, len(values), seed=0).numpy() for r in range(3)])
        a = H.dense().double().numpy() / (size or 1.0)
        for p in (1, 2, 3):
            expected = np.einsum("ri,ij,rj->r", z, np.linalg.matrix_power(a, p), z) / len(values)
            found = (measure.weights * (measure.nodes / (size or 1.0)) ** p).sum(1)
            np.testing.assert_allclose(found, expected, atol=500 * eps)
