"""Stochastic Lanczos quadrature against exact spectra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from landscape.errors import UsageError
from landscape.estimators import probe, spectral_density, top_eigenpairs
from landscape.estimators.krylov.lanczos import Krylov
from landscape.estimators.krylov.lockstep import Lockstep, runs_at_once
from landscape.estimators.matvecs import Matvecs
from landscape.operators import LinearOperator, MatrixOperator
from landscape.results import SpectralMeasure
from tests.support.spectra import spectra, with_spectrum


def distance(measure: SpectralMeasure, values: np.ndarray) -> float:
    """Wasserstein-1, in units of the range of the spectrum."""
    nodes, weights = measure.nodes.ravel(), measure.weights.ravel()
    return float(stats.wasserstein_distance(values, nodes, None, weights) / np.ptp(values))


BULK = stats.laplace.ppf((np.arange(290) + 0.5) / 290) * 0.3
SPECTRA = {
    "outliers and bulk": np.r_[np.linspace(5, 50, 10), BULK],
    "decaying": np.arange(1, 301) ** -1.5,
    "low rank": np.r_[np.linspace(1, 10, 20), np.zeros(280)],
}


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


# --- runs in lockstep --------------------------------------------------------------------------------------------


class Counted(LinearOperator):
    """A matrix that notes how many columns each product had."""

    def __init__(self, matrix: MatrixOperator):
        super().__init__(matrix.dim, dtype=matrix.dtype)
        self.matrix, self.columns = matrix, []

    def _matvec(self, v):
        return self._matmat(v[:, None])[:, 0]

    def _matmat(self, V):
        self.columns.append(V.shape[1])
        return self.matrix @ V


def starts(H, count, *, kind="rademacher"):
    return torch.stack([probe(r, H.dim, seed=0, kind=kind, dtype=H.dtype) for r in range(count)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("deflated", [False, True])
def test_every_run_in_lockstep_is_a_lanczos_factorisation_of_its_own(dtype, deflated):
    """A Q = Q T + r eᵀ, QᵀQ = I, Qᵀr = 0, of A or of (I − UUᵀ)A(I − UUᵀ); one run of a block ends early."""
    H = with_spectrum(SPECTRA["outliers and bulk"][:120], dtype=dtype)
    a = H.dense()
    q0 = starts(H, 4, kind="gaussian")
    known = None
    if deflated:
        # Not quite eigenvectors: the identity is that of the projected matrix, whatever it projects out.
        known = torch.linalg.qr(torch.linalg.eigh(a)[1][:, -3:] + 0.01 * q0[:3].T)[0]
        keep = torch.eye(120, dtype=dtype) - known @ known.T
        a, q0 = keep @ a @ keep, q0 @ keep
    else:
        q0[2] = torch.linalg.eigh(a)[1][:, [0, -3, -1]].sum(1)  # three eigenvectors: exhausted after three steps
    runs = Lockstep(Matvecs(H, 200), q0, steps=20, known=known)
    runs.run()
    slack = 300 * torch.finfo(dtype).eps
    for r in range(4):
        Q, T, rest = runs.basis(r), torch.from_numpy(runs.projected(r)).to(dtype), runs.residual(r)
        size = Q.shape[1]
        if r == 2 and not deflated:  # LAPACK's float32 eigenvectors hold others above the level of a breakdown
            assert size == 3 or dtype == torch.float32
        left = a @ Q - Q @ T
        left[:, -1] -= rest
        assert left.abs().max() <= slack * 50
        assert (Q.T @ Q - torch.eye(size, dtype=dtype)).abs().max() <= slack
        assert (Q.T @ rest).abs().max() <= slack * 50
        if known is not None:
            assert (known.T @ Q).abs().max() <= slack


def test_a_run_in_lockstep_is_the_run_alone():
    H = with_spectrum(SPECTRA["outliers and bulk"])
    runs = Lockstep(Matvecs(H, 1000), starts(H, 3), steps=25)
    runs.run()
    for r in range(3):
        alone = Krylov(Matvecs(H, 1000), probe(r, H.dim, seed=0), capacity=25)
        for _ in range(25):
            alone.step()
        np.testing.assert_allclose(runs.projected(r), alone.projected, atol=1e-9)


def test_each_step_is_one_product_of_at_most_sixteen_columns():
    H = Counted(with_spectrum(SPECTRA["decaying"]))
    spectral_density(H, num_probes=5, num_steps=7)
    assert H.columns == [5] * 7
    H.columns.clear()
    assert spectral_density(H, num_probes=20, num_steps=3).num_matvecs == 60
    assert H.columns == [16] * 3 + [4] * 3


def test_probes_that_have_ended_are_not_multiplied_any_more():
    H = Counted(MatrixOperator(np.ones((3, 3))))
    measure = spectral_density(H, num_probes=10, num_steps=3)
    short = int((measure.betas[:, 0] == 0).sum())
    assert 0 < short < 10
    assert H.columns == [10, 10 - short]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_measure_does_not_depend_on_how_many_probes_step_together(monkeypatch, dtype):
    H = with_spectrum(SPECTRA["outliers and bulk"], dtype=dtype)
    eigs = top_eigenpairs(H, 3)
    for known in (None, eigs):
        measures = []
        for count in (1, 3, 16):
            monkeypatch.setattr("landscape.estimators.density.slq.runs_at_once", lambda *_, count=count: count)
            measures.append(spectral_density(H, known, num_probes=8, num_steps=16))
        for other in measures[1:]:
            np.testing.assert_allclose(other.alphas, measures[0].alphas, atol=3e4 * torch.finfo(dtype).eps)
            assert other.wasserstein(measures[0]) <= 100 * torch.finfo(dtype).eps


def test_the_basis_stays_within_a_gibibyte_and_one_run_always_goes():
    for dim, steps, itemsize in ((100, 64, 8), (10**6, 64, 4), (3 * 10**6, 100, 4), (10**8, 64, 4), (61_706, 64, 4)):
        count = runs_at_once(dim, steps, itemsize)
        assert 1 <= count <= 16
        assert count == 1 or count * (steps + 1) * dim * itemsize <= 2**30
    assert runs_at_once(100, 64, 8) == 16
    assert runs_at_once(10**6, 64, 4) == 4


# --- known eigenpairs --------------------------------------------------------------------------------------------


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


# --- any spectrum ------------------------------------------------------------------------------------------------


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
