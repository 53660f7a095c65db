"""Operators that compute in less precision than their vectors have: what they can resolve bounds what is stated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

import landscape as ls
from landscape.estimators.krylov.lanczos import Krylov
from landscape.estimators.matvecs import Matvecs
from landscape.estimators.probes import probe
from landscape.operators import (
    BlockDiagonalOperator,
    DeflatedOperator,
    IdentityOperator,
    LinearOperator,
    MatrixOperator,
)
from tests.support.spectra import RoundedProducts, with_spectrum

P = 120
SINGLE = float(torch.finfo(torch.float32).eps)
SPECTRA = {
    "outliers": np.r_[np.linspace(3, 40, 8), np.random.default_rng(0).laplace(size=P - 8) * 0.1],
    "decaying": np.arange(1, P + 1) ** -1.5,
    "rank three": np.r_[9.0, 7.0, -3.0, np.zeros(P - 3)],
    "one above all": np.r_[1e5, np.linspace(0, 1, P - 1)],
}


class RoundedImages(LinearOperator):
    """Exact products, rounded to float32 at the end: noise that no matrix explains."""

    def __init__(self, H: LinearOperator) -> None:
        super().__init__(H.dim, dtype=torch.float64)
        self._base = H

    @property
    def resolution(self) -> float:
        return SINGLE

    def _matvec(self, v: torch.Tensor) -> torch.Tensor:
        return (self._base @ v).float().double()

    def _matmat(self, V: torch.Tensor) -> torch.Tensor:
        return (self._base @ V).float().double()


@pytest.fixture(params=[RoundedImages, RoundedProducts])
def rounded(request):
    return request.param


@pytest.mark.parametrize("method", ["lanczos", "lobpcg", "power"])
@pytest.mark.parametrize("name", SPECTRA)
def test_eigenvalues_lie_within_their_residuals_and_the_tolerance_is_reached(name, method, rounded):
    """Judged by eps of float64 the residuals were up to five times too small, and tol=1e-6 was not reached."""
    exact = np.sort(SPECTRA[name])[::-1]
    H = rounded(with_spectrum(exact))
    if method == "power" and name != "rank three":
        pytest.skip("its rate is that of the spectrum, whatever the arithmetic")
    for seed in range(6):
        for tol in (1e-3, 1e-6):
            eigs = ls.top_eigenpairs(H, 2, tol=tol, method=method, seed=seed)
            assert np.all(np.abs(eigs.values - exact[:2]) <= eigs.residuals)
            assert eigs.upper_bound is None or exact[0] <= eigs.upper_bound[0]


def test_the_smallest_of_a_wide_spectrum_is_stated_no_better_than_products_resolve_it(rounded):
    """Its own rounding is 1e-7 of λ_min; that of a product is 1e-7 of λ_max."""
    exact = SPECTRA["one above all"]
    eigs = ls.top_eigenpairs(rounded(with_spectrum(exact)), 3, which="smallest")
    assert np.all(np.abs(eigs.values[:, None] - exact).min(1) <= eigs.residuals)
    assert np.all(eigs.residuals >= SINGLE * exact.max())


def test_a_start_and_a_tracker_reach_their_tolerance(rounded):
    exact = SPECTRA["outliers"]
    H = rounded(with_spectrum(exact))
    first = ls.top_eigenpairs(H, 2, tol=1e-6)
    again = ls.top_eigenpairs(H, 2, tol=1e-6, start=first, max_matvecs=40)
    tracker = ls.EigenTracker(2, tol=1e-6, max_matvecs=100)
    for eigs in (again, tracker.update(H), tracker.update(rounded(with_spectrum(1.001 * exact)))):
        assert eigs.converged.all()
    search = ls.search_missed(H, eigs=first)
    assert search.complete


def test_an_exhausted_krylov_space_is_noticed(rounded):
    """Three distinct values, three steps, and then nothing but the rounding of products: 1e-7, not 1e-16."""
    H = rounded(with_spectrum(np.repeat([-1.0, 0.5, 2.0], P // 3)))
    run = Krylov(Matvecs(H, 100), probe(0, P, seed=0, kind="gaussian"), capacity=20)
    for _ in range(3):
        run.step()
    assert run.beta == 0
    measure = ls.spectral_density(H, num_probes=4, num_steps=30)
    assert measure.num_steps == 3
    assert measure.num_matvecs == 12


@pytest.mark.parametrize("name", SPECTRA)
def test_sums_over_the_spectrum_and_its_distribution_hold_the_truth(name, rounded):
    exact = np.sort(SPECTRA[name])
    H = rounded(with_spectrum(exact))
    middles = np.unique(exact)
    middles = ((middles[1:] + middles[:-1]) / 2)[np.diff(middles) > 1e-5 * np.abs(exact).max()]
    truth = (exact[None, :] <= middles[:, None]).mean(1)
    for seed in range(4):
        eigs = ls.top_eigenpairs(H, 3, seed=seed)
        found = ls.spectrum(H, k=2, num_steps=30, seed=seed)
        traces = [ls.trace(H, method=m, num_probes=24, seed=seed) for m in ("hutchinson", "hutch++", "xtrace")]
        traces += [ls.trace(H, eigs=eigs, num_probes=24, seed=seed), found.trace, ls.trace(H, num_probes=P)]
        for estimate in traces:
            low, high = estimate.interval(0.9999)
            assert low <= exact.sum() <= high
        for estimate in (ls.frobenius_norm(H, num_probes=24, seed=seed), found.frobenius):
            low, high = estimate.interval(0.9999)
            assert low <= np.linalg.norm(exact) <= high
        for measure in (found.density, ls.spectral_density(H, num_steps=30, seed=seed)):
            low, _, high = measure.cdf(middles, level=0.9999)
            assert ((low <= truth) & (truth <= high)).all()


def test_where_nothing_is_random_the_error_is_that_of_the_arithmetic():
    """c·I: every probe gives the same trace, rounded the same way; the diagonal in P products has no spread either."""
    H = RoundedProducts(MatrixOperator(0.1 * torch.eye(50, dtype=torch.float64)))
    for method in ("hutchinson", "xtrace"):
        seen = ls.trace(H, method=method, num_probes=8)
        assert abs(seen.value - 5.0) > 1e-10  # what float32 makes of a tenth
        assert abs(seen.value - 5.0) <= 2 * seen.sem <= 1e-5
    for exact in (ls.trace(H, num_probes=50), ls.spectral_moments(H, (1,), num_probes=50)[1]):
        assert abs(exact.value - 5.0) <= 2 * exact.sem <= 1e-5
    for num_probes in (10, 50):
        entries = ls.diagonal(H, num_probes=num_probes)
        assert np.all(np.abs(entries.values - 0.1) <= 2 * entries.sem)
    assert ls.trace(MatrixOperator(np.eye(5)), num_probes=5).sem == 0


def test_every_combination_passes_it_on():
    """The coarsest part decides."""
    fine = with_spectrum(np.linspace(0, 1, 6))
    coarse = RoundedProducts(fine)
    V = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 2)))[0]
    halves = {"a": coarse, "b": fine}, {"a": range(6), "b": range(6, 12)}
    for H in (
        2.0 * coarse,
        -coarse / 3,
        coarse + fine,
        fine - coarse,
        coarse + 0.1 * IdentityOperator(6),
        ls.ProjectedOperator(coarse, V),
        DeflatedOperator(coarse, V),
        ls.PreconditionedOperator(coarse, np.linspace(1, 2, 6)),
        BlockDiagonalOperator(*halves),
    ):
        assert H.resolution == SINGLE
    assert (fine + 2 * fine).resolution == fine.resolution == np.finfo(float).eps
    assert MatrixOperator(np.eye(3, dtype=np.float32)).resolution == SINGLE


@pytest.mark.parametrize("inner", [torch.float32, torch.bfloat16, np.float32])
def test_an_operator_of_another_library_resolves_what_its_own_dtype_does(inner):
    class Other:
        shape, dtype = (4, 4), inner

        def __matmul__(self, v):
            return 2 * v

    H = ls.as_operator(Other(), dtype=torch.float64)
    expected = torch.finfo(inner).eps if isinstance(inner, torch.dtype) else np.finfo(inner).eps
    assert H.resolution == expected
    assert ls.as_operator(csr_matrix(np.eye(4))).resolution == np.finfo(float).eps
    assert ls.as_operator(csr_matrix(np.eye(4, dtype=np.float32)), dtype=torch.float64).resolution == SINGLE
    assert ls.as_operator(csr_matrix(np.eye(4, dtype=int))).resolution == np.finfo(float).eps


def test_an_operator_on_parameters_has_that_of_its_objective(monkeypatch):
    with torch.random.fork_rng(devices=[]):
        model = torch.nn.Linear(3, 1).double()
    objective = ls.Objective(model, torch.nn.functional.mse_loss, (torch.ones(4, 3), torch.zeros(4, 1)))
    H = ls.HessianOperator(objective)
    monkeypatch.setattr(type(objective), "resolution", property(lambda self: 1e-5))
    assert H.resolution == H.block("weight").resolution == ls.block_diagonal(H).resolution == 1e-5
