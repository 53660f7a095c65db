"""A density until its band is as narrow as asked: what it costs, that runs are continued, and that the band covers."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from scipy import stats

import landscape as ls
from landscape.errors import NotConverged, UsageError
from landscape.estimators.krylov.several_starts import Lockstep
from landscape.estimators.matvecs import Matvecs
from landscape.estimators.probes import probe
from tests.support.roundtrip import written_and_read
from tests.support.spectra import Turned, with_spectrum

BULK = np.sort(np.random.default_rng(0).laplace(size=600))


def exact_cdf(values, x):
    return np.searchsorted(np.sort(values), x, side="right") / len(values)


@pytest.mark.parametrize("tol", [0.1, 0.05, 0.03])
def test_it_ends_as_soon_as_the_band_is_as_narrow_as_asked(tol):
    H = Turned(BULK)
    measure = ls.spectral_density(H, tol=tol, max_matvecs=2000)
    assert measure.converged
    assert measure.isotropic
    assert measure.width <= tol
    assert measure.wasserstein(BULK) <= tol
    # The band that is printed is the one of cdf, averaged.
    x = np.linspace(measure.nodes.min(), measure.nodes.max(), 20_001)
    lower, _, upper = measure.cdf(x)
    assert np.mean(upper - lower) / 2 == pytest.approx(measure.width, rel=0.05)
    assert measure.bracket_width < measure.width


def test_a_narrower_band_costs_more_and_hardly_more_than_what_it_takes():
    H = Turned(BULK)
    costs = [ls.spectral_density(H, tol=tol, max_matvecs=4000).num_matvecs for tol in (0.03, 0.015, 0.008)]
    assert costs[0] < costs[1] < costs[2]
    R, T = ls.spectral_density(H, tol=0.008, max_matvecs=4000).alphas.shape
    assert costs[2] == R * T
    for fewer in ({"num_probes": R, "num_steps": int(0.7 * T)}, {"num_probes": -(-R // 2), "num_steps": T}):
        assert ls.spectral_density(H, tol=0.9, max_matvecs=4000, **fewer).width > 0.008


def test_continued_runs_are_those_made_at_once():
    """The same coefficients as of a first round of all of it: nothing is begun again, and no probe is drawn twice."""
    H = Turned(BULK)
    grown = ls.spectral_density(H, tol=0.008, max_matvecs=4000)
    R, T = grown.alphas.shape
    assert R > 1
    assert T > 16
    whole = ls.spectral_density(H, tol=0.9, num_probes=R, num_steps=T, max_matvecs=4000)
    assert whole.num_matvecs == grown.num_matvecs == R * T
    np.testing.assert_allclose(grown.alphas, whole.alphas, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(grown.betas, whole.betas, rtol=1e-8, atol=1e-8)


def test_few_eigenvalues_ask_for_probes_and_many_for_steps():
    """The chance of a probe falls with P: where P is large, one probe is enough."""
    few = ls.spectral_density(Turned(BULK[::4]), tol=0.02, max_matvecs=3000, strict=False)
    many = ls.spectral_density(Turned(np.repeat(BULK, 10)), tol=0.02)
    assert few.alphas.shape[0] >= 3
    assert many.alphas.shape[0] == 1


def test_without_room_for_all_bases_only_probes_are_added(monkeypatch):
    module = importlib.import_module("landscape.estimators.density.adaptive")
    H = Turned(BULK)
    roomy = ls.spectral_density(H, tol=0.008, max_matvecs=5000)
    monkeypatch.setattr(module, "BASIS_BYTES", 40 * H.dim * 8)
    tight = ls.spectral_density(H, tol=0.008, max_matvecs=5000, strict=False)
    assert tight.width <= 0.008 or not tight.converged
    assert tight.alphas.shape[0] > 1
    assert tight.num_matvecs == tight.alphas.size
    assert roomy.converged


def test_a_limit_ends_it_and_is_said():
    H = Turned(BULK)
    with pytest.raises(NotConverged, match="max_matvecs=40 was reached") as caught:
        ls.spectral_density(H, tol=1e-3, max_matvecs=40)
    partial = caught.value.partial
    assert not partial.converged
    assert partial.num_matvecs <= 40
    assert "NOT CONVERGED" in str(partial)
    assert ls.spectral_density(H, tol=1e-3, max_matvecs=5, strict=False).num_matvecs <= 5
    with pytest.raises(UsageError, match="spent first"):
        ls.spectral_density(H, tol=0.1, num_probes=4, num_steps=8, max_matvecs=20)
    with pytest.raises(UsageError, match="limits tol="):
        ls.spectral_density(H, max_matvecs=20)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_eigenvalues_that_rounding_spreads_around_zero_do_not_keep_it_from_ending(dtype):
    """Low rank: 440 zeros, which float32 products spread over ±1e-6 of the largest; runs exhaust what there is."""
    values = np.r_[np.linspace(1, 10, 60), np.zeros(440)]
    H = with_spectrum(values, dtype=dtype)
    eigs = ls.top_eigenpairs(H, 5)
    measure = ls.spectral_density(H, eigs, tol=0.02, max_matvecs=3000)
    assert measure.converged
    x = np.r_[-1e-3, 1e-3, 0.5, 3.05, 8.0]
    lower, estimate, upper = measure.cdf(x)
    assert (lower <= exact_cdf(values, x)).all()
    assert (exact_cdf(values, x) <= upper).all()
    assert measure.negative_mass().value <= 1e-6 + measure.negative_mass().interval()[1]
    # At zero itself rounding leaves open on which side they lie.
    assert measure.cdf(0.0)[0] <= 0.01
    assert measure.cdf(0.0)[2] >= 0.87


@pytest.mark.parametrize("values", [[3.0], [0.0], np.zeros(20), np.full(20, 2.0), [1.0, 1.0, 5.0]])
def test_small_and_degenerate_spectra_end(values):
    measure = ls.spectral_density(ls.MatrixOperator(np.diag(values)), tol=0.3, strict=False)
    assert np.isfinite(measure.width)
    assert measure.num_matvecs <= 1000
    if len(set(values)) == 1:
        assert measure.width <= 1e-6
        assert measure.converged


def test_a_spectrum_known_whole_takes_no_product():
    H = with_spectrum([3.0, 1.0, -2.0])
    measure = ls.spectral_density(H, ls.top_eigenpairs(H, 3, tol=1e-10), tol=0.01)
    assert measure.num_matvecs == 0
    assert measure.converged
    assert measure.width <= 1e-6


def test_runs_that_join_and_go_on_are_as_if_alone():
    H = with_spectrum(BULK[::3])
    starts = torch.stack([probe(r, H.dim, seed=0) for r in range(3)])
    together = Lockstep(Matvecs(H, 100), starts, steps=20)
    together.run()
    grown = Lockstep(Matvecs(H, 100), starts[:1], steps=8)
    grown.run()
    grown.add(starts[1:])
    grown.run(13)
    grown.run(20)
    np.testing.assert_allclose(grown.alphas, together.alphas, atol=1e-10)
    np.testing.assert_allclose(grown.betas, together.betas, atol=1e-10)
    for r in range(3):
        torch.testing.assert_close(grown.basis(r), together.basis(r), atol=1e-8, rtol=0)


def test_what_was_asked_and_reached_is_stored_and_read_back(tmp_path):
    measure = ls.spectral_density(Turned(BULK), tol=1e-3, max_matvecs=40, strict=False)
    again = written_and_read(measure, tmp_path)
    assert again.width == measure.width
    assert str(again) == str(measure)
    assert not again.converged


@pytest.mark.slow
def test_bands_cover_pointwise_and_hold_the_distance():
    values = np.sort(np.r_[np.linspace(4, 30, 8), 0.3 * BULK[::3]])
    H, P = with_spectrum(values), len(values)
    points = np.r_[(values[1:] + values[:-1])[::13], (values[1:] + values[:-1])[-8:]] / 2
    truth, covered, near = exact_cdf(values, points), [], 0
    for seed in range(400):
        measure = ls.spectral_density(H, tol=0.05, seed=seed, max_matvecs=2000, strict=False)
        low, _, high = measure.cdf(points)
        covered.append((low <= truth) & (truth <= high))
        near += measure.wasserstein(values) <= measure.width
    assert len(values) == P
    assert np.mean(covered, axis=0).min() >= stats.binom.ppf(1e-4, 400, 0.95) / 400
    assert near >= stats.binom.ppf(1e-4, 400, 0.95)
