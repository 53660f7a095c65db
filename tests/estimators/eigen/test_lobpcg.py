"""Block methods: LOBPCG and block Lanczos against dense eigenvalues, with true residuals and within the budget."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.errors import NotConverged
from landscape.estimators import top_eigenpairs
from landscape.operators import LinearOperator
from tests.support.spectra import with_spectrum

OPTIONS = {"lobpcg": {"method": "lobpcg"}, "block": {"block": 3}, "guess": {"start": None}}


def options(name, dim, seed):
    if name == "guess":
        return {"start": np.random.default_rng(seed).standard_normal((dim, 2))}
    return OPTIONS[name]


def wanted(H, k, which):
    w = np.linalg.eigvalsh(H.dense().to(torch.float64).numpy())[::-1]
    if which == "magnitude":
        return w[np.argsort(-np.abs(w), kind="stable")][:k]
    if which == "both":
        return w if 2 * k > len(w) else np.r_[w[:k], w[-k:]]
    return w[:k] if which == "largest" else w[-k:]


class Counting(LinearOperator):
    """Counts the columns it multiplies."""

    def __init__(self, matrix):
        super().__init__(matrix.dim, dtype=matrix.dtype)
        self.matrix, self.columns, self.products = matrix, 0, 0

    def _matvec(self, v):
        self.columns, self.products = self.columns + 1, self.products + 1
        return self.matrix @ v

    def _matmat(self, V):
        self.columns, self.products = self.columns + V.shape[1], self.products + 1
        return self.matrix @ V


@pytest.mark.parametrize("name", OPTIONS)
@given(
    dim=st.integers(1, 25),
    kind=st.sampled_from(["normal", "integers", "zeros", "wide", "one value", "clusters"]),
    k=st.integers(1, 25),
    which=st.sampled_from(["largest", "smallest", "both", "magnitude"]),
    scale=st.sampled_from([1e-14, 1.0, 1e14]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_any_small_spectrum_at_any_scale_is_found(name, dim, kind, k, which, scale, dtype, seed):
    rng = np.random.default_rng(seed)
    values = {
        "normal": rng.standard_normal(dim),
        "integers": rng.integers(-2, 3, dim).astype(float),
        "zeros": np.zeros(dim),
        "wide": 10.0 ** rng.uniform(-3, 3, dim) * rng.choice([-1, 1], dim),
        "one value": np.full(dim, 3.0),
        "clusters": rng.choice([-3.0, 1.0, 2.0], dim) + 1e-5 * rng.standard_normal(dim),
    }[kind]
    k = min(k, dim)
    H = with_spectrum(scale * values, seed=seed, dtype=dtype)
    eigs = top_eigenpairs(H, k, which=which, seed=seed, **options(name, dim, seed))
    found, expected = eigs.values, wanted(H, k, which)
    if which == "magnitude":  # λ and −λ tie: either order is right
        found, expected = np.abs(found), np.abs(expected)
    rounding = max(32 * torch.finfo(dtype).eps, 1e-15 * dim) * np.abs(H.dense().numpy()).max() * dim
    # Members of a cluster much closer than tol are not told apart.
    apart = 1e-4 * scale if kind == "clusters" else 0.0
    assert (np.abs(found - expected) <= eigs.residuals + rounding + apart).all()
    np.testing.assert_allclose(eigs.vectors.T @ eigs.vectors, np.eye(len(eigs)), atol=40 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize(("dtype", "tol"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_residuals_are_true_to_a_fifth_also_after_restarts(name, dtype, tol):
    H = with_spectrum(np.r_[np.linspace(5, 30, 8), np.random.default_rng(1).laplace(size=592) * 0.1], dtype=dtype)
    eigs = top_eigenpairs(H, 4, tol=tol, max_matvecs=2000, max_basis=24, **options(name, 600, 0))
    A, V = H.dense().to(torch.float64).numpy(), eigs.vectors.astype(np.float64)
    true = np.linalg.norm(A @ V - V * eigs.values, axis=0)
    floor = 16 * torch.finfo(dtype).eps * 30
    assert (true <= 1.2 * eigs.residuals + floor).all()
    assert (eigs.residuals <= 1.2 * true + floor).all()
    assert (eigs.residuals <= tol * eigs.values).all()


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("budget", [4, 5, 9, 30, 77])
def test_columns_are_counted_and_never_exceed_the_budget(name, budget):
    H = Counting(with_spectrum(np.linspace(0, 1, 600)))
    eigs = top_eigenpairs(H, 2, tol=1e-9, max_matvecs=budget, strict=False, **options(name, 600, 0))
    assert eigs.num_matvecs == H.columns <= budget
    assert not eigs.converged.any()
    assert "max_matvecs" in eigs.reason


def test_blocks_are_multiplied_at_once():
    H = Counting(with_spectrum(np.r_[9.0, 8.0, 7.0, np.linspace(-1, 1, 600)]))
    eigs = top_eigenpairs(H, 3, block=4)
    assert H.products <= eigs.num_matvecs / 3
    H = Counting(with_spectrum(np.r_[9.0, 8.0, 7.0, np.linspace(-1, 1, 600)]))
    eigs = top_eigenpairs(H, 3, method="lobpcg")
    assert H.products <= eigs.num_matvecs / 3


@pytest.mark.parametrize("name", ["lobpcg", "block"])
def test_a_block_finds_all_copies_of_a_triple_eigenvalue(name):
    """In a space too large to exhaust, where one random vector finds one copy."""
    values = np.r_[5.0, 5.0, 5.0, 2.0, np.random.default_rng(0).uniform(-1, 1, 700)]
    H = with_spectrum(values)
    np.testing.assert_allclose(top_eigenpairs(H, 4, **OPTIONS[name]).values, [5, 5, 5, 2], atol=6e-3)


def test_lobpcg_stays_within_three_blocks_on_a_slow_spectrum_and_reaches_a_tight_tolerance():
    H = with_spectrum(np.cos(np.linspace(0.1, 3, 700)))
    eigs = top_eigenpairs(H, 2, method="lobpcg", tol=1e-8, max_matvecs=4000)
    np.testing.assert_allclose(eigs.values, wanted(H, 2, "largest"), atol=1e-8)
    assert eigs.num_matvecs <= 1000  # 681; without the steps of the pairs 3137


def test_a_guess_wider_than_the_budget_is_cut():
    H = Counting(with_spectrum(np.linspace(0, 1, 100)))
    eigs = top_eigenpairs(H, 1, start=np.random.default_rng(0).standard_normal((100, 6)), max_matvecs=3, strict=False)
    assert H.columns == eigs.num_matvecs == 3
    assert not eigs.converged.any()


def test_a_partial_result_goes_on_from_where_it_was():
    H = with_spectrum(np.linspace(0, 1, 600))
    with pytest.raises(NotConverged) as info:
        top_eigenpairs(H, 2, method="lobpcg", tol=1e-6, max_matvecs=150)
    again = top_eigenpairs(H, 2, method="lobpcg", tol=1e-6, max_matvecs=4000, start=info.value.partial)
    fresh = top_eigenpairs(H, 2, method="lobpcg", tol=1e-6, max_matvecs=4000)
    assert again.num_matvecs < fresh.num_matvecs
    np.testing.assert_allclose(again.values, wanted(H, 2, "largest"), atol=1e-6)
