"""How often intervals and bands cover the truth: the figures that docs/accuracy.md states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from landscape.estimators import spectral_density, top_eigenpairs, trace
from tests.support.spectra import with_spectrum

pytestmark = pytest.mark.campaign

SEEDS = 1000
P = 200
SPECTRA = {
    "flat": np.linspace(0.5, 1.5, P),
    "decaying": np.arange(1, P + 1) ** -1.5,
    "ten outliers": np.r_[np.linspace(5, 50, 10), np.linspace(-0.1, 0.1, P - 10)],
    "one above all": np.r_[1.0, np.zeros(P - 1)],
    "one below all": np.r_[-1.0, np.full(P - 1, 1e-4)],
    "both signs": np.r_[1.0, -0.9, np.zeros(P - 2)],
}


@pytest.mark.parametrize("num_probes", [8, 16, 32, 64])
@pytest.mark.parametrize("name", SPECTRA)
def test_trace_intervals_cover_on_every_spectrum(name, num_probes, record_property):
    """Within 2 points of 95 %, beyond what the binomial law explains, and never much wider than they must be."""
    values = SPECTRA[name]
    H = with_spectrum(values)
    hits = student = 0
    for seed in range(SEEDS):
        estimate = trace(H, method="hutchinson", num_probes=num_probes, seed=seed)
        low, high = estimate.interval()
        hits += low <= values.sum() <= high
        student += abs(estimate.value - values.sum()) <= stats.t.ppf(0.975, num_probes - 1) * estimate.sem
    record_property("coverage", str(hits / SEEDS))
    record_property("coverage of Student's t", str(student / SEEDS))
    print(f"{name}, {num_probes} probes: {hits / SEEDS:.3f} (Student's t alone {student / SEEDS:.3f})")
    assert hits >= stats.binom.ppf(0.001, SEEDS, 0.93)
    assert hits <= stats.binom.ppf(0.999, SEEDS, 0.975)


@pytest.mark.parametrize("name", ["decaying", "ten outliers", "flat"])
def test_cdf_bands_cover_pointwise(name):
    values = np.sort(SPECTRA[name])
    H = with_spectrum(values)
    points = ((values[1:] + values[:-1]) / 2)[::10]
    exact = np.searchsorted(values, points, side="right") / P
    covered = []
    for seed in range(300):
        low, _, high = spectral_density(H, num_probes=8, num_steps=24, seed=seed).cdf(points)
        covered.append((low <= exact) & (exact <= high))
    print(f"{name}: worst point {np.mean(covered, axis=0).min():.3f}, mean {np.mean(covered):.3f}")
    assert np.mean(covered, axis=0).min() >= stats.binom.ppf(0.001, 300, 0.95) / 300


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_five_eigenvalues_lie_within_their_residuals_on_random_spectra(dtype):
    """Spectra as of networks: outliers at random places, so that now and then two are closer than the tolerance."""
    missed = 0
    for seed in range(500):
        rng = np.random.default_rng(seed)
        values = np.sort(np.r_[rng.uniform(2, 20, 10), rng.laplace(size=240) * 0.1])[::-1]
        H = with_spectrum(values, seed=seed, dtype=dtype)
        eigs = top_eigenpairs(H, 5, seed=seed)
        slack = 32 * torch.finfo(dtype).eps * values[0]
        missed += bool((np.abs(eigs.values - values[:5]) > eigs.residuals + slack).any())
    print(f"{missed} of 500 spectra with an eigenvalue outside its residual")
    assert missed == 0
