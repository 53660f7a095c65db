"""One set of Krylov runs for eigenpairs, trace, norm, density and moments, against exact spectra."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from scipy import stats

import landscape as ls
from landscape.errors import NotConverged, UsageError
from landscape.estimators.density.known_mass import with_known_mass
from landscape.estimators.eigen.convergence import Request
from landscape.estimators.krylov.combined import join, ritz_of_run
from landscape.estimators.krylov.several_starts import Lockstep
from landscape.estimators.matvecs import Matvecs
from landscape.estimators.probes import probe
from landscape.operators import MatrixOperator
from tests.support.networks import KINDS, dense_hessian, make
from tests.support.roundtrip import written_and_read
from tests.support.spectra import clusters, spectra, with_spectrum

P = 90
VALUES = np.sort(np.r_[np.geomspace(2, 30, 6), np.random.default_rng(1).laplace(size=P - 6) * 0.1])[::-1]


def expected_pairs(values, k, which):
    values = np.sort(values)[::-1]
    if which == "both":
        return np.r_[values[:k], values[-k:]] if 2 * k < len(values) else values
    return {"largest": values[:k], "smallest": values[-k:], "magnitude": values[np.argsort(-abs(values))][:k]}[which]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("which", ["largest", "smallest", "both", "magnitude"])
def test_eigenvalues_lie_within_their_residuals_and_residuals_are_true(which, dtype):
    H = with_spectrum(VALUES, dtype=dtype)
    found = ls.spectrum(H, k=4, which=which, num_steps=40)
    eigs, rounding = found.eigs, 32 * torch.finfo(dtype).eps * VALUES[0]
    assert eigs.converged.all()
    assert np.all(abs(eigs.values - expected_pairs(VALUES, 4, which)) <= eigs.residuals + rounding)
    u, a = eigs.vectors.astype(float), H.dense().double().numpy()
    np.testing.assert_allclose(u.T @ u, np.eye(len(eigs)), atol=1e3 * torch.finfo(dtype).eps)
    true = np.linalg.norm(a @ u - u * eigs.values, axis=0)
    assert np.all(true <= eigs.residuals + rounding)


def test_all_of_it_costs_the_runs_and_one_matvec_for_each_pair():
    H = with_spectrum(VALUES)
    found = ls.spectrum(H, k=5, num_probes=6, num_steps=32)
    assert found.density.num_matvecs == 6 * 32
    assert found.eigs.num_matvecs == 5
    assert found.num_matvecs == 6 * 32 + 5
    apart = ls.spectral_density(H, num_probes=6, num_steps=32).num_matvecs
    apart += ls.top_eigenpairs(H, 5).num_matvecs + ls.trace(H, method="hutchinson", num_probes=6).num_matvecs
    assert found.num_matvecs < apart


@pytest.fixture(scope="module")
def many():
    """400 seeds on one spectrum: six outliers of which three are asked for, 12 steps."""
    H = with_spectrum(VALUES)
    return [ls.spectrum(H, k=3, num_probes=6, num_steps=12, seed=seed, strict=False) for seed in range(400)]


TRUTH = {
    "trace": (lambda s: s.trace, VALUES.sum()),
    "frobenius": (lambda s: s.frobenius, np.sqrt((VALUES**2).sum())),
    "second moment": (lambda s: s.density.moment(2), (VALUES**2).mean()),
    "third moment": (lambda s: s.moments[2], (VALUES**3).mean()),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRUTH)
def test_intervals_cover_as_often_as_the_binomial_law_allows(many, name):
    """Although the eigenvectors taken out come from the same probes."""
    estimate, truth = TRUTH[name]
    hits = 0
    for found in many:
        low, high = estimate(found).interval()
        hits += low <= truth <= high
    assert hits >= stats.binom.ppf(0.001, 400, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["trace", "frobenius", "second moment"])
def test_taking_out_eigenvectors_of_the_same_probes_leaves_no_bias(many, name):
    estimate, truth = TRUTH[name]
    values = np.array([estimate(found).value for found in many])
    # The root of an estimate is biased by half its relative variance; far below the spread over 400 seeds here.
    assert abs(values.mean() - truth) <= 4 * values.std() / 20


@pytest.mark.slow
def test_the_band_of_the_density_covers_pointwise(many):
    values = VALUES[::-1]
    points = np.r_[(values[1:] + values[:-1])[::9] / 2, (values[1:] + values[:-1])[-6:] / 2]
    exact = np.searchsorted(values, points, side="right") / P
    covered = []
    for found in many:
        low, _, high = found.density.cdf(points)
        covered.append((low <= exact) & (exact <= high))
    assert np.mean(covered, axis=0).min() >= stats.binom.ppf(0.001, 400, 0.95) / 400


@pytest.mark.slow
def test_outliers_found_on_the_way_take_their_noise_out_of_the_trace(many):
    H = with_spectrum(VALUES)
    plain = [ls.trace(H, method="hutchinson", num_probes=6, seed=seed).sem for seed in range(20)]
    assert np.median([found.trace.sem for found in many]) < 0.1 * np.median(plain)
    # All six outliers are taken out, not only the three asked for.
    assert np.median([found.density.num_known for found in many]) >= 6


def test_known_eigenvalues_have_mass_one_over_p_in_every_row():
    found = ls.spectrum(with_spectrum(VALUES), num_steps=32)
    K = found.density.num_known
    assert K >= 6
    np.testing.assert_array_equal(found.density.weights[:, :K], 1 / P)
    np.testing.assert_allclose(found.density.weights.sum(1), 1, atol=1e-14)
    np.testing.assert_allclose(np.sort(found.density.nodes[0, :K])[-6:], VALUES[:6][::-1], atol=1e-9)
    # None of them is left among the nodes of the rest.
    rest, mass = found.density.nodes[:, K:], found.density.weights[:, K:]
    assert rest[mass > 0].max() < VALUES[5] - 0.1
    assert found.density.num_outliers(most=0.1).resolved == 6
    assert found.density.wasserstein(VALUES) < 0.3 * ls.spectral_density(with_spectrum(VALUES)).wasserstein(VALUES)


def test_an_eigenvalue_that_one_run_has_not_resolved_keeps_the_mass_that_the_probes_give_it():
    nodes, weights = np.array([0.0, 1.0, 5.0]), np.array([0.5, 0.4, 0.1])
    # Lanczos on the discrete measure itself gives its own rule back.
    T = _tridiagonal(nodes, weights)
    alphas, betas = np.stack([np.diag(T)] * 2), np.stack([np.r_[np.diag(T, 1), 0.0]] * 2)
    about = {"residuals": np.zeros(1), "reach": np.array([1e-6]), "dim": 20, "num_matvecs": 6, "seed": 0}
    agree = with_known_mass(alphas, betas, values=np.array([5.0]), masses=np.array([[0.1], [0.1]]), **about)
    assert agree.num_known == 1
    np.testing.assert_allclose(agree.weights[0], [0.05, 0.5 * 0.95 / 0.9, 0.4 * 0.95 / 0.9, 0], atol=1e-12)
    for masses in ([[0.1], [0.07]], [[0.1], [0.13]]):
        apart = with_known_mass(alphas, betas, values=np.array([5.0]), masses=np.array(masses), **about)
        assert apart.num_known == 0
        np.testing.assert_allclose(apart.weights[0], weights, atol=1e-12)


def _tridiagonal(nodes, weights):
    q, out = np.sqrt(weights / weights.sum()), np.zeros((len(nodes), len(nodes)))
    basis = [q]
    for j in range(len(nodes)):
        w = nodes * basis[j]
        for b in basis * 2:
            w = w - (b @ w) * b
        out[j, j] = basis[j] @ (nodes * basis[j])
        if j + 1 < len(nodes):
            out[j, j + 1] = out[j + 1, j] = np.linalg.norm(w)
            basis.append(w / np.linalg.norm(w))
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_copies_of_an_eigenvalue_and_close_pairs_are_all_found(dtype):
    """A Krylov space holds each eigenvalue once; the sum of eight holds up to eight copies."""
    values = np.r_[9.0, 7.0, 7.0, 7.0, 7.0 * (1 + 1e-5), 3.0, np.linspace(-0.5, 0.5, 90)]
    found = ls.spectrum(with_spectrum(values, dtype=dtype), k=6, num_steps=30)
    assert found.eigs.num_matvecs == 6
    np.testing.assert_allclose(found.eigs.values, np.sort(values)[::-1][:6], atol=2e-4)
    assert found.density.num_outliers(most=0.1).value == pytest.approx(6)
    assert abs(found.trace.value - values.sum()) <= 4 * found.trace.sem


@pytest.mark.slow
@pytest.mark.parametrize("copies", [7, 8, 30])
def test_copies_beyond_the_number_of_probes_bias_nothing(copies):
    """Eight probes find eight vectors in the space of 30 copies: their own projections, which carry all their mass.

    With those taken out, the trace would lack 22 copies in every seed."""
    values = np.r_[12.0, np.full(copies, 7.0), np.linspace(-0.5, 0.5, 60)]
    H = with_spectrum(values)
    founds = [ls.spectrum(H, k=3, num_steps=12, seed=seed) for seed in range(40)]
    for read, truth in (
        (lambda s: s.trace, values.sum()),
        (lambda s: s.frobenius, np.linalg.norm(values)),
        (lambda s: s.density.moment(1), values.mean()),
    ):
        estimates = [read(found) for found in founds]
        means = np.array([e.value for e in estimates])
        assert abs(means.mean() - truth) <= 4 * means.std() / np.sqrt(40) + 1e-3 * truth
        hits = sum(low <= truth <= high for low, high in (e.interval(0.99) for e in estimates))
        assert hits >= stats.binom.ppf(1e-4, 40, 0.99)
    # With fewer copies than probes all are found and taken out.
    assert (founds[0].density.num_known >= 8) == (copies < 8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_sum_of_two_runs_knows_the_operator_on_itself(dtype):
    """Orthonormal, images = A times vectors, residuals true, and no worse than the better of the two."""
    H = with_spectrum(VALUES, dtype=dtype)
    a, eps = H.dense(), torch.finfo(dtype).eps
    request = Request(k=3, which="largest", tol=1e-3, count=3, seed=0)
    runs = Lockstep(Matvecs(H, 100), torch.stack([probe(r, P, seed=0, dtype=dtype) for r in range(2)]), steps=9)
    runs.run()
    left, right = (ritz_of_run(runs, r, request, 8) for r in range(2))
    both = join(left, right, request, 8)
    for ritz in (left, right, both):
        u = ritz.vectors
        assert (u.T @ u - torch.eye(u.shape[1], dtype=dtype)).abs().max() <= 1e3 * eps
        # Of two nearly equal vectors only a short difference is left, which magnifies its rounding by up to 1/√eps.
        slack = 100 * VALUES[0] * (np.sqrt(eps) / 32 if ritz is both else eps)
        assert (ritz.images - a @ u).abs().max() <= slack
        true = (a @ u - u * torch.from_numpy(ritz.values).to(dtype)).norm(dim=0).numpy()
        np.testing.assert_allclose(ritz.residuals, true, atol=slack)
    assert (np.diff(both.values) <= 0).all()
    best = np.minimum(left.residuals, right.residuals)[:3]
    assert (both.residuals[:3] <= 1.1 * best + np.sqrt(eps) * VALUES[0]).all()
    assert both.residuals[2] < 0.5 * best[2] or dtype == torch.float32


def test_pairs_that_the_runs_have_not_resolved_are_continued_from_there():
    H = with_spectrum(np.arange(1, 201) ** -1.5)
    found = ls.spectrum(H, k=5, which="both", num_probes=2, num_steps=8)
    assert found.eigs.converged.all()
    assert found.eigs.num_matvecs > 10
    assert found.num_matvecs == 16 + found.eigs.num_matvecs
    np.testing.assert_allclose(found.eigs.values[:5], np.arange(1, 6) ** -1.5, rtol=1e-5)


def test_not_converged_carries_everything_that_was_measured():
    H = with_spectrum(np.linspace(0, 1, 300))
    options = {"k": 4, "num_probes": 3, "num_steps": 4, "max_matvecs": 20}
    with pytest.raises(NotConverged, match="strict=False") as caught:
        ls.spectrum(H, **options)
    partial = caught.value.partial
    assert partial.trace.value == pytest.approx(150, abs=60)
    assert partial.eigs.num_matvecs <= 20
    assert "NOT CONVERGED" in str(partial)
    assert not ls.spectrum(H, strict=False, **options).eigs.converged.all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_on_networks_everything_agrees_with_the_dense_hessian(kind, dtype):
    model, loss_fn, batches = make(kind)
    exact = np.linalg.eigvalsh(dense_hessian(model, loss_fn, batches).numpy())[::-1]
    H = ls.HessianOperator(ls.Objective(model, loss_fn, batches, dtype=dtype))
    found = ls.spectrum(H, k=3, which="both", strict=False, num_probes=6, num_steps=24)
    rounding = 64 * torch.finfo(dtype).eps * abs(exact).max()
    settled = found.eigs.converged
    assert settled[:3].all()
    wanted = expected_pairs(exact, 3, "both")
    assert np.all(abs(found.eigs.values - wanted)[settled] <= found.eigs.residuals[settled] + rounding)
    assert abs(found.trace.value - exact.sum()) <= 5 * found.trace.sem + len(exact) * rounding
    assert abs(found.frobenius.value - np.sqrt((exact**2).sum())) <= 5 * found.frobenius.sem + rounding
    assert found.density.wasserstein(exact) <= 6e-3 * max(1.0, (300 / len(exact)) ** 0.5)


def test_groups_of_probes_give_what_all_together_give(monkeypatch):
    H = with_spectrum(VALUES)
    whole = ls.spectrum(H, num_steps=24)
    # The package's attribute of that name is the function.
    monkeypatch.setattr(importlib.import_module("landscape.estimators.density.spectrum"), "runs_at_once", lambda *_: 3)
    parts = ls.spectrum(H, num_steps=24)
    np.testing.assert_allclose(parts.eigs.values, whole.eigs.values, rtol=1e-9)
    assert parts.trace.value == pytest.approx(whole.trace.value, rel=1e-6)
    assert parts.num_matvecs == whole.num_matvecs


@settings(max_examples=40, deadline=None)
@given(values=spectra())
@example(values=clusters(1214, 1e-9))  # once a node 5e-7 beyond λ_max
def test_on_any_spectrum_pairs_are_true_and_estimates_finite(values):
    H = with_spectrum(values)
    k = min(2, len(values))
    found = ls.spectrum(H, k=k, num_probes=4, num_steps=12, strict=False)
    size = np.abs(values).max()
    slack = 1e-9 * size  # short differences of Ritz vectors magnify rounding, up to √eps/32
    exact = np.sort(values)
    good = found.eigs.converged
    distances = np.abs(found.eigs.values[:, None] - exact).min(1)
    assert np.all(distances[good] <= found.eigs.residuals[good] + slack)
    assert np.isfinite(found.trace.value)
    assert found.frobenius.value >= 0
    np.testing.assert_allclose(found.density.weights.sum(1), 1, atol=1e-12)
    assert found.density.nodes.max() <= exact[-1] + slack
    assert isinstance(str(found), str)


@pytest.mark.parametrize("values", [[3.0], [0.0], np.zeros(20), np.full(20, 2.0)])
def test_dimension_one_zero_and_multiples_of_the_identity_work(values):
    found = ls.spectrum(MatrixOperator(np.diag(values)), k=1)
    assert found.trace.value == pytest.approx(np.sum(values), abs=1e-10)
    assert found.frobenius.value == pytest.approx(np.linalg.norm(values), abs=1e-10)
    assert found.eigs.values[0] == pytest.approx(values[0], abs=1e-12)


def test_a_spectrum_is_stored_and_read_back(tmp_path):
    found = ls.spectrum(with_spectrum(VALUES), num_steps=16)
    again = written_and_read(found, tmp_path)
    assert str(again) == str(found)
    np.testing.assert_array_equal(again.density.betas, found.density.betas)
    np.testing.assert_array_equal(again.eigs.vectors, found.eigs.vectors)


def test_progress_ends_where_it_said_it_would():
    seen = []
    ls.spectrum(with_spectrum(VALUES), k=2, num_probes=3, num_steps=10, progress=lambda *p: seen.append(p))
    assert seen[0] == (3, 32)
    assert seen[-1] == (32, 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": None}, "seed=None"),
        ({"k": 9}, "k may be at most 3"),
        ({"num_probes": 0}, "num_probes=0"),
        ({"tol": 0.0}, "tol=0.0"),
        ({"which": "top"}, "'largest'"),
        ({"k": 2, "max_matvecs": 3}, "at least 4"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        ls.spectrum(MatrixOperator(np.eye(3)), **{"k": 1, **options})
