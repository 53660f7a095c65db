"""What a spectral measure says: distances, change with steps, negative mass, outliers, ranks, log density."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from landscape.errors import UsageError
from landscape.estimators import probe, spectral_density, top_eigenpairs
from landscape.estimators.krylov.several_starts import Lockstep
from landscape.estimators.matvecs import Matvecs
from landscape.operators import MatrixOperator
from landscape.results import SpectralMeasure
from landscape.results.outliers import bulk_edges, count_resolved
from landscape.results.quadrature import gauss_rules
from tests.support.roundtrip import written_and_read
from tests.support.spectra import with_spectrum

BULK = stats.laplace.ppf((np.arange(190) + 0.5) / 190) * 0.1
VALUES = np.sort(np.r_[BULK, np.geomspace(2, 20, 10)])


def exact(values) -> SpectralMeasure:
    """The measure of the eigenvalues themselves."""
    values = np.sort(np.asarray(values, float))
    row = np.full(len(values), 1 / len(values))
    return SpectralMeasure(np.stack([values] * 2), np.stack([row] * 2), len(values), 0, 0)


@pytest.fixture(scope="module")
def many():
    H = with_spectrum(VALUES)
    return [spectral_density(H, num_probes=8, num_steps=24, seed=seed) for seed in range(400)]


# --- distances ---------------------------------------------------------------------------------------------------


def test_wasserstein_is_the_mean_distance_of_sorted_eigenvalues_over_the_range():
    rng = np.random.default_rng(0)
    for scale in (1e-14, 1.0, 1e14):
        a, b = np.sort(rng.normal(size=50)) * scale, np.sort(rng.normal(size=50)) * scale
        expected = np.abs(a - b).mean() / np.ptp(b)
        assert exact(a).wasserstein(b) == pytest.approx(expected)
        assert exact(a).wasserstein(exact(b)) == pytest.approx(expected * np.ptp(b) / np.ptp(np.r_[a, b]))
        assert exact(a).wasserstein(a) == pytest.approx(0, abs=1e-15)
    assert exact([3.0, 3.0]).wasserstein([3.0]) == 0
    assert exact([3.0, 3.0]).wasserstein([4.0]) == np.inf
    with pytest.raises(UsageError, match="at least one"):
        exact([1.0]).wasserstein([])


def test_padding_has_no_part_in_any_distance():
    measure = exact([1.0, 2.0, 5.0])
    padded = replace(
        measure, nodes=np.pad(measure.nodes, ((0, 0), (0, 2)), mode="edge"),
        weights=np.pad(measure.weights, ((0, 0), (0, 2))),
    )  # fmt: skip
    assert padded.wasserstein(measure) == pytest.approx(0, abs=1e-15)


def test_step_error_is_the_distance_to_the_measure_of_half_the_steps():
    H = with_spectrum(VALUES)
    whole, half = (spectral_density(H, num_probes=4, num_steps=n) for n in (21, 11))
    assert whole.step_error == pytest.approx(whole.wasserstein(half), rel=1e-6)
    assert whole.num_steps == 21
    nodes, weights, _ = gauss_rules(whole.alphas, whole.betas)
    np.testing.assert_allclose(nodes, whole.nodes)
    np.testing.assert_allclose(weights, whole.weights, atol=1e-14)


def test_step_error_falls_with_steps_and_bounds_what_further_steps_change():
    """The same probes throughout: the distance to their own measure, which 200 steps exhaust, holds no probe noise."""
    H = with_spectrum(VALUES)
    limit = spectral_density(H, num_probes=4, num_steps=200)
    errors = []
    for steps in (8, 16, 32, 64):
        measure = spectral_density(H, num_probes=4, num_steps=steps)
        errors.append(measure.step_error)
        assert measure.wasserstein(limit) <= measure.step_error
    assert (np.diff(errors) < 0).all()


def test_residuals_of_nodes_are_those_of_their_ritz_vectors_and_bound_the_distance_to_an_eigenvalue():
    H = with_spectrum(VALUES)
    starts = torch.stack([probe(r, H.dim, seed=0) for r in range(3)])
    runs = Lockstep(Matvecs(H, 60), starts, steps=20)
    runs.run()
    nodes, _, residuals = gauss_rules(runs.alphas, runs.betas)
    a = H.dense().numpy()
    for r in range(3):
        vectors = runs.basis(r).numpy() @ np.linalg.eigh(runs.projected(r))[1]
        true = np.linalg.norm(a @ vectors - vectors * nodes[r], axis=0)
        np.testing.assert_allclose(residuals[r], true, atol=1e-10)
    distances = np.abs(nodes[..., None] - VALUES).min(-1)
    assert (distances <= residuals + 1e-12).all()


# --- negative mass -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_negative_mass_covers_the_share_of_negative_eigenvalues(many):
    truth = (VALUES < 0).mean()
    intervals = np.array([m.negative_mass().interval() for m in many])
    hits = np.sum((intervals[:, 0] <= truth) & (truth <= intervals[:, 1]))
    assert hits >= stats.binom.ppf(0.001, 400, 0.95)


def test_rounding_around_zero_is_not_negative_mass():
    """Products leave zeros at ±1e-16 of the largest eigenvalue, and half of them would count."""
    measure = spectral_density(with_spectrum(np.r_[np.linspace(1, 10, 10), np.zeros(150)]), num_probes=6)
    assert (measure.nodes < 0).any()
    assert measure.negative_mass().value == 0
    assert measure.negative_mass().interval()[1] <= 0.01  # all runs are exhausted: nothing is left to bracket
    assert exact([-1.0, -1e-9, 0.0, 2.0]).negative_mass().value == 0.25
    assert exact([-1.0, -1e-9, 0.0, 2.0]).negative_mass(floor=1e-10).value == 0.5
    assert exact([-1.0, -0.5, 2.0]).negative_mass(floor=0.7).value == pytest.approx(1 / 3)


# --- outliers ----------------------------------------------------------------------------------------------------


def test_outliers_are_what_a_gap_separates_from_the_bulk():
    assert exact(VALUES).num_outliers().value == pytest.approx(10)
    low, high = exact(VALUES).num_outliers().low, exact(VALUES).num_outliers().high
    assert low == -np.inf
    assert BULK.max() < high < 2
    both = exact(np.r_[BULK, [3.0, 4.0], [-2.0]]).num_outliers()
    assert both.value == pytest.approx(3)
    assert -2 < both.low < BULK.min()
    for without in (np.linspace(-1, 1, 200), BULK, np.ones(50), np.zeros(50), [1.0]):
        assert exact(without).num_outliers().value == 0
    assert exact(1e14 * VALUES).num_outliers().value == pytest.approx(10)
    assert exact(VALUES + 100).num_outliers().value == pytest.approx(10)


def test_edges_gap_and_share_are_as_asked():
    assert exact(VALUES).num_outliers(edges=(-np.inf, 10.0)).value == pytest.approx((VALUES > 10).sum())
    assert exact(VALUES).num_outliers(gap=100.0).value == 0
    assert exact(VALUES).num_outliers(most=0.03).value == 0  # six at most, and among those no gap of 1.5
    with pytest.raises(UsageError, match="low < high"):
        exact(VALUES).num_outliers(edges=(2.0, 1.0))
    assert bulk_edges(np.array([5.0]), np.array([1.0]), 1, gap=1.5, most=0.05) == (-np.inf, np.inf)


@pytest.mark.slow
def test_mass_beyond_the_bulk_covers_and_one_probe_tells_all_outliers_apart(many):
    hits, resolved = 0, []
    for measure in many:
        count = measure.num_outliers(most=0.1)  # ten are 5 % of 200, more or less by the noise of the mass
        low, high = count.mass.interval()
        hits += low <= 10 <= high
        resolved.append(count.resolved)
    assert hits >= stats.binom.ppf(0.001, 400, 0.95)
    assert max(resolved) <= 10
    assert np.mean(np.array(resolved) == 10) >= 0.95


def test_copies_count_in_the_mass_and_once_among_those_told_apart():
    H = with_spectrum(np.r_[BULK, [5.0, 5.0, 5.0, 9.0]])
    count = spectral_density(H, num_probes=64, num_steps=24).num_outliers()
    assert count.resolved == 2
    assert abs(count.value - 4) <= 4 * count.mass.sem
    known = spectral_density(H, _pairs_of(H, 4), num_steps=24).num_outliers()
    assert known.resolved == 4
    assert known.value == pytest.approx(4)
    assert known.mass.sem == pytest.approx(0, abs=1e-12)


def _pairs_of(H, k):
    values, vectors = np.linalg.eigh(H.dense().numpy())
    found = top_eigenpairs(H, 1)
    return replace(
        found, values=values[-k:], vectors=vectors[:, -k:], residuals=np.full(k, 1e-12), converged=np.ones(k, bool)
    )


def test_overlapping_intervals_count_once_and_those_across_an_edge_not_at_all():
    nodes, weights = np.array([[1.0, 5.0, 5.1, 6.0, 9.0]]), np.full((1, 5), 0.2)
    for residuals, expected in (([0.0, 0, 0, 0, 0], 4), ([0, 0.1, 0.1, 0, 0], 3), ([0, 3, 0, 0, 5], 2)):
        assert count_resolved(nodes, np.array([residuals], float), weights, -np.inf, 2.5) == expected
    assert count_resolved(nodes, np.zeros((1, 5)), weights * [1, 0, 1, 1, 1], -np.inf, 2.5) == 3
    assert count_resolved(nodes, np.zeros((1, 5)), weights, 5.05, np.inf) == 2


# --- effective rank ----------------------------------------------------------------------------------------------


def entropy_rank(values):
    share = np.abs(values) / np.abs(values).sum()
    return np.exp(stats.entropy(share))


@pytest.mark.parametrize("scale", [1e-14, 1.0, 1e14])
def test_effective_ranks_are_those_of_the_definitions(scale):
    values = scale * VALUES
    measure = exact(values)
    assert measure.effective_rank().value == pytest.approx(entropy_rank(values))
    assert measure.effective_rank("participation").value == pytest.approx(np.abs(values).sum() ** 2 / (values**2).sum())
    assert measure.effective_rank("stable").value == pytest.approx((values**2).sum() / (values**2).max())
    for kind in ("entropy", "participation", "stable"):
        assert exact([scale] * 5 + [0.0] * 3).effective_rank(kind).value == pytest.approx(5)
        assert exact(np.zeros(4)).effective_rank(kind).value == 0
    with pytest.raises(UsageError, match="'entropy'"):
        measure.effective_rank("trace")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "truth"),
    [
        ("entropy", entropy_rank(VALUES)),
        ("participation", np.abs(VALUES).sum() ** 2 / (VALUES**2).sum()),
        ("stable", (VALUES**2).sum() / (VALUES**2).max()),
    ],
)
def test_intervals_of_effective_ranks_cover(many, kind, truth):
    """Functions of two means each: the samples are linearised, and the limit allows for that at 8 probes."""
    intervals = np.array([m.effective_rank(kind).interval() for m in many])
    hits = np.sum((intervals[:, 0] <= truth) & (truth <= intervals[:, 1]))
    assert hits >= stats.binom.ppf(0.001, 400, 0.93)


# --- density over log |λ| ----------------------------------------------------------------------------------------


def test_the_log_density_and_what_is_near_zero_sum_to_one():
    measure = exact(np.r_[10.0 ** np.linspace(-4, 1, 60), -(10.0 ** np.linspace(-3, -1, 30)), np.zeros(10)])
    found = measure.log_density()
    decades = np.log10(found.magnitude)
    assert found.near_zero == pytest.approx(0.1)
    assert np.trapezoid(found.positive, decades) == pytest.approx(0.6, abs=1e-4)
    assert np.trapezoid(found.negative, decades) == pytest.approx(0.3, abs=1e-4)
    # Sixty over five decades, thirty over two: 0.12 and 0.15 per decade away from the ends.
    np.testing.assert_allclose(found.positive[(decades > -3) & (decades < 0)], 0.12, rtol=0.05)
    np.testing.assert_allclose(found.negative[(decades > -2.5) & (decades < -1.5)], 0.15, rtol=0.05)


def test_log_density_moves_with_the_scale_and_obeys_floor_and_grid():
    values = np.r_[10.0 ** np.linspace(-2, 2, 40), -0.5]
    one, large = exact(values).log_density(), exact(1e14 * values).log_density()
    np.testing.assert_allclose(large.magnitude, 1e14 * one.magnitude)
    np.testing.assert_allclose(large.positive, one.positive, rtol=1e-9)
    assert exact(values).log_density(floor=1.0).near_zero == pytest.approx((np.abs(values) <= 1).mean())
    assert exact(values).log_density([0.1, 1.0], bandwidth=0.5).positive.shape == (2,)
    nothing = exact(np.zeros(4)).log_density()
    assert nothing.near_zero == 1
    assert (nothing.positive == 0).all()
    with pytest.raises(UsageError, match="bandwidth"):
        exact(values).log_density(bandwidth=0.0)


# --- records -----------------------------------------------------------------------------------------------------


def test_a_record_of_before_the_coefficients_were_kept_still_answers(tmp_path):
    new = spectral_density(with_spectrum(VALUES), num_steps=20)
    old = SpectralMeasure(new.nodes, new.weights, new.dim, new.num_matvecs, new.seed)
    for measure in (new, old):
        folder = tmp_path / str(id(measure))
        folder.mkdir()
        again = written_and_read(measure, folder)
        assert str(again) == str(measure)
        np.testing.assert_array_equal(again.nodes, new.nodes)
        np.testing.assert_array_equal(again.cdf(0.05), new.cdf(0.05))
        assert again.step_error == measure.step_error
    assert old.step_error is None
    assert old.num_outliers().resolved == -1
    assert old.num_outliers().value == new.num_outliers().value
    assert old.num_steps == 20
    assert old.effective_rank().value == pytest.approx(new.effective_rank().value)


def test_an_outlier_count_is_stored_and_says_what_it_is(tmp_path):
    count = spectral_density(with_spectrum(VALUES), num_steps=24).num_outliers(most=0.1)
    again = written_and_read(count, tmp_path)
    assert str(again) == str(count)
    assert "at least 10" in str(count)
    assert float(count) == count.value == count.mass.value


def test_one_probe_has_values_without_errors():
    measure = spectral_density(MatrixOperator(np.diag(np.arange(1.0, 30))), num_probes=1, num_steps=10)
    for estimate in (measure.negative_mass(), measure.effective_rank(), measure.num_outliers().mass):
        assert estimate.sem is None
        assert np.isfinite(estimate.value)
