"""The upper bound of λ_max from a random start: it fails no more often than it says, and lies close."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from landscape.errors import UsageError
from landscape.estimators import search_missed, top_eigenpairs
from landscape.estimators.eigen.upper_bound import upper_bound
from landscape.operators import MatrixOperator

P = 60


def lanczos(values, start, steps):
    """α and β of a diagonal matrix, in plain NumPy: a second route."""
    q, before, beta = start / np.linalg.norm(start), 0.0, 0.0
    basis, alphas, betas = [q], [], []
    for _ in range(steps):
        w = values * q - beta * before
        alphas.append(q @ w)
        for _ in range(2):
            for b in basis:
                w = w - (b @ w) * b
        beta = np.linalg.norm(w)
        betas.append(beta)
        before, q = q, w / beta
        basis.append(q)
    return np.array(alphas), np.array(betas)


def spectrum(kind, rng):
    return {
        "flat": np.linspace(-1, 1.2, P),
        "outliers": np.r_[rng.uniform(2, 20, 6), rng.laplace(size=P - 6) * 0.1],
        "negative": -rng.uniform(0.1, 3, P),
        "double top": np.r_[5.0, 5.0, rng.normal(size=P - 2)],
        "one hidden above a wall": np.r_[1.3, np.full(P - 10, 1.0), np.linspace(-1, 0.9, 9)],
    }[kind]


@pytest.mark.slow
@pytest.mark.parametrize("confidence", [0.9, 0.999])
def test_the_bound_fails_as_rarely_as_its_confidence_says(confidence):
    """5 spectra × 500 starts × 1 to 12 steps: at 90 % the failures that do occur show that the test can see them."""
    fails = total = 0
    for kind in ("flat", "outliers", "negative", "double top", "one hidden above a wall"):
        for seed in range(500):
            rng = np.random.default_rng(seed)
            values = spectrum(kind, rng)
            alphas, betas = lanczos(values, rng.standard_normal(P), 1 + seed % 12)
            bound = upper_bound(alphas, betas, dim=P, level=confidence)
            fails += bool(bound < values.max() - 1e-12)
            total += 1
    assert fails <= stats.binom.ppf(0.999, total, 1 - confidence)


def test_failures_at_low_confidence_come_nearly_as_often_as_allowed():
    """One step on a rank-one matrix: Bessel's inequality is all but an equality, so no slack hides in it."""
    fails = 0
    for seed in range(2000):
        rng = np.random.default_rng(seed)
        values = np.r_[1.0, np.zeros(P - 1)]
        alphas, betas = lanczos(values, rng.standard_normal(P), 1)
        fails += bool(upper_bound(alphas, betas, dim=P, level=0.5) < 1 - 1e-9)
    assert stats.binom.ppf(0.001, 2000, 0.40) <= fails <= stats.binom.ppf(0.999, 2000, 0.5)


def test_all_polynomials_together_are_never_worse_than_the_last_alone():
    rng = np.random.default_rng(0)
    values = spectrum("outliers", rng)
    alphas, betas = lanczos(values, rng.standard_normal(P), 8)
    ritz = np.linalg.eigvalsh(np.diag(alphas) + np.diag(betas[:-1], 1) + np.diag(betas[:-1], -1))
    share = stats.beta.ppf(0.001, 0.5, (P - 1) / 2)
    grid = ritz[-1] + np.geomspace(1e-12, 100, 20_000)
    log_p = np.log(grid[:, None] - ritz).sum(1) - np.log(betas).sum()
    last_alone = grid[np.argmax(2 * log_p >= -np.log(share))]
    assert values.max() <= upper_bound(alphas, betas, dim=P) <= last_alone * (1 + 1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_record_brackets_the_largest_eigenvalue_closely(dtype):
    widths = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        values = np.sort(np.r_[rng.uniform(2, 20, 10), rng.laplace(size=290) * 0.1])[::-1]
        H = MatrixOperator(torch.tensor(np.diag(values), dtype=dtype))
        eigs = top_eigenpairs(H, 3, seed=seed)
        assert eigs.upper_bound is not None
        value, confidence = eigs.upper_bound
        assert confidence == 0.999
        assert value >= float(H.dense().max())
        widths.append((value - values[0]) / values[0])
    assert np.median(widths) <= 1e-3


@given(
    dim=st.integers(1, 25),
    kind=st.sampled_from(["normal", "integers", "zeros", "wide", "one value"]),
    which=st.sampled_from(["largest", "smallest", "both", "magnitude"]),
    scale=st.sampled_from([1e-14, 1.0, 1e14]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_the_bound_holds_on_any_small_spectrum_at_any_scale(dim, kind, which, scale, dtype, seed):
    """Derandomised: one failure in a thousand is what the bound allows."""
    rng = np.random.default_rng(seed)
    values = {
        "normal": rng.standard_normal(dim),
        "integers": rng.integers(-2, 3, dim).astype(float),
        "zeros": np.zeros(dim),
        "wide": 10.0 ** rng.uniform(-3, 3, dim) * rng.choice([-1, 1], dim),
        "one value": np.full(dim, 3.0),
    }[kind]
    q = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    a = scale * (q * values) @ q.T
    H = MatrixOperator(torch.tensor((a + a.T) / 2, dtype=dtype))
    eigs = top_eigenpairs(H, 1, which=which, seed=seed, strict=False)
    assert eigs.upper_bound is not None
    top = np.linalg.eigvalsh(H.dense().to(torch.float64).numpy())[-1]
    assert eigs.upper_bound[0] >= top - 1e-15 * dim * np.abs(a).max()


def test_only_a_fresh_random_start_bounds_from_above():
    H = MatrixOperator(np.diag(np.r_[5.0, 3.0, np.linspace(-1, 1, 60)]))
    cold = top_eigenpairs(H, 2)
    assert cold.upper_bound is not None
    assert "at most" in str(cold)
    for options in ({"start": cold}, {"method": "power", "max_matvecs": 2000}, {"method": "lobpcg"}, {"block": 2}):
        assert top_eigenpairs(H, 2, **options).upper_bound is None


def test_a_bound_from_before_a_restart_stays_a_bound():
    H = MatrixOperator(np.diag(np.cos(np.linspace(0.1, 3, 600))))
    eigs = top_eigenpairs(H, 2, tol=1e-4, max_matvecs=2000, max_basis=16)
    assert eigs.num_matvecs > 40
    assert np.cos(0.1) <= eigs.upper_bound[0] <= 1.2


def test_noise_in_the_products_widens_the_bound():
    class Noisy(MatrixOperator):
        calls = 0

        def _matvec(self, v):
            self.calls += 1
            w = super()._matvec(v)
            noise = torch.randn(len(w), generator=torch.Generator().manual_seed(self.calls), dtype=w.dtype)
            return w + 0.03 * w.norm() * noise / noise.norm()

    values = np.r_[9.0, 5.0, np.linspace(-1, 1, 40)]
    clean, noisy = (
        top_eigenpairs(kind(np.diag(values)), 1, max_matvecs=12, strict=False).upper_bound
        for kind in (MatrixOperator, Noisy)
    )
    assert 9 <= clean[0] <= 9.1
    assert noisy[0] >= 9.1


@pytest.mark.parametrize(("alphas", "betas", "confidence"), [([1.0], [1.0], 0.0), ([1.0], [1.0], 1.0), ([], [], 0.9)])
def test_a_bound_needs_a_step_and_a_confidence_inside_0_1(alphas, betas, confidence):
    with pytest.raises(UsageError):
        upper_bound(np.array(alphas), np.array(betas), dim=3, level=confidence)


# ---- eigenvalues that a list leaves out


def test_a_copy_of_a_multiple_eigenvalue_that_lanczos_left_out_is_detected():
    values = np.r_[5.0, 5.0, 3.0, np.linspace(-1, 1, 200)]
    H = MatrixOperator(np.diag(values))
    eigs = top_eigenpairs(H, 1)
    search = search_missed(H, eigs=eigs)
    assert search.missed
    assert search.largest == pytest.approx(5, abs=5e-3)
    both = search_missed(H, eigs=top_eigenpairs(H, 2, block=2))
    assert both.complete
    assert not both.missed


@pytest.mark.parametrize("end", ["largest", "smallest"])
def test_a_complete_list_is_called_complete_and_its_bound_holds(end):
    values = np.r_[9.0, 7.0, 4.0, np.linspace(-0.5, 0.5, 150), -4.0, -6.0, -9.0]
    H = MatrixOperator(np.diag(values))
    eigs = top_eigenpairs(H, 2, which="both")
    search = search_missed(H, eigs=eigs, which=end)
    assert search.complete
    assert not search.missed
    further = 4.0 if end == "largest" else -4.0
    sign = np.sign(further)
    assert sign * further <= sign * search.bound <= 7.01
    assert search.num_matvecs < 30


def test_a_warm_start_blind_to_the_largest_eigenvalue_is_caught_afterwards():
    values = np.r_[9.0, 7.0, 4.0, np.linspace(-0.5, 0.5, 150)]
    H = MatrixOperator(np.diag(values))
    eigs = top_eigenpairs(H, 2)
    blind = type(eigs)(
        **{**vars(eigs), "values": np.array([7.0, 4.0]), "vectors": np.eye(153)[:, 1:3], "residuals": np.zeros(2)}
    )
    assert search_missed(H, eigs=blind).missed


def test_the_search_refuses_lists_that_do_not_hold_the_end():
    H = MatrixOperator(np.diag(np.arange(6.0)))
    eigs = top_eigenpairs(H, 2)
    with pytest.raises(UsageError, match="smallest"):
        search_missed(H, eigs=eigs, which="smallest")
    with pytest.raises(UsageError, match="vectors"):
        search_missed(H, eigs=eigs.without_vectors())
    assert search_missed(H, eigs=top_eigenpairs(H, 6)).complete
