"""The diagonal: exact where the rank or the number of matvecs says so, and errors that hold entry by entry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from landscape.errors import UsageError
from landscape.estimators import diagonal, trace
from landscape.operators import MatrixOperator
from tests.support.spectra import SPECTRA, with_spectrum


def diag(H) -> np.ndarray:
    return torch.diagonal(H.dense()).double().numpy()


@pytest.mark.parametrize("method", ["auto", "xdiag"])
@pytest.mark.parametrize("dim", [1, 3, 40])
def test_as_many_matvecs_as_parameters_are_exact(method, dim):
    H = with_spectrum(np.linspace(-1, 2, dim))
    found = diagonal(H, num_probes=40, method=method)
    np.testing.assert_allclose(found.values, diag(H), atol=1e-14)
    assert not found.sem.any()
    assert (found.num_matvecs, found.seed) == (dim, -1)
    low, high = found.interval()
    np.testing.assert_array_equal(low, high)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-14, 1.0, 1e14])
def test_xdiag_is_exact_on_matrices_of_low_rank(dtype, scale):
    values = scale * np.r_[7.0, 3.0, -2.0, 0.5, np.zeros(96)]
    H = with_spectrum(values, dtype=dtype)
    found = diagonal(H, num_probes=16, method="xdiag", seed=3)
    assert np.abs(found.values - diag(H)).max() <= 200 * torch.finfo(dtype).eps * 7 * scale
    rough = diagonal(H, num_probes=16, method="hutchinson", seed=3)
    assert np.abs(rough.values - diag(H)).max() > 0.1 * scale


def test_a_diagonal_matrix_is_exact_from_one_sign_vector():
    values = np.arange(50.0)
    found = diagonal(MatrixOperator(np.diag(values)), num_probes=1, method="hutchinson")
    np.testing.assert_array_equal(found.values, values)
    assert np.isnan(found.sem).all()
    np.testing.assert_array_equal(diagonal(MatrixOperator(np.diag(values)), num_probes=4, method="hutchinson").sem, 0)


def test_the_error_of_an_entry_is_the_mass_off_the_diagonal_in_its_row():
    H = with_spectrum(SPECTRA["ten outliers"])
    a = H.dense().numpy()
    expected = np.sqrt(((a**2).sum(1) - np.diag(a) ** 2) / 4000)
    found = diagonal(H, num_probes=4000, method="hutchinson")
    np.testing.assert_allclose(found.sem, expected, rtol=0.1)
    assert np.abs(found.values - np.diag(a)).max() <= 5 * expected.max()


@pytest.mark.parametrize("method", ["auto", "hutchinson", "xdiag"])
@pytest.mark.parametrize("name", ["flat", "decaying", "ten outliers", "both signs"])
def test_intervals_cover_entry_by_entry_and_no_entry_is_biased(name, method):
    """60 entries of 100 seeds; entries of one seed are correlated, so the law is asked about seeds, not entries."""
    H = with_spectrum(SPECTRA[name])
    exact = diag(H)
    hits, errors = [], []
    for seed in range(100):
        found = diagonal(H, num_probes=16, method=method, seed=seed)
        low, high = found.interval()
        hits.append(((low <= exact) & (exact <= high)).mean())
        errors.append(found.values - exact)
    assert np.mean(hits) >= stats.binom.ppf(0.001, 100, 0.95) / 100
    scores = np.mean(errors, axis=0) / (np.std(errors, axis=0) / 10)
    assert np.abs(scores).max() <= stats.norm.ppf(1 - 1e-5 / 60)
    sums = np.sum(errors, axis=1)
    assert abs(sums.mean()) <= 4 * sums.std() / 10


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("num_probes", [8, 32])
def test_auto_is_at_most_a_quarter_worse_than_the_better_method(name, num_probes):
    H = with_spectrum(SPECTRA[name])
    exact = diag(H)
    error = {
        method: np.sqrt(
            np.mean(
                [(diagonal(H, num_probes=num_probes, method=method, seed=s).values - exact) ** 2 for s in range(60)]
            )
        )
        for method in ("hutchinson", "xdiag", "auto")
    }
    assert error["auto"] <= 1.25 * min(error["hutchinson"], error["xdiag"]) + 1e-12


def test_where_xdiag_does_not_pay_its_vectors_are_the_first_of_hutchinsons():
    H = with_spectrum(SPECTRA["flat"])
    auto, plain = (diagonal(H, num_probes=20, method=m, seed=4) for m in ("auto", "hutchinson"))
    assert auto.method == plain.method == "Hutchinson, 20 probes"
    np.testing.assert_allclose(auto.values, plain.values, rtol=1e-12)
    np.testing.assert_allclose(auto.sem, plain.sem, rtol=1e-10)


def test_the_diagonal_of_hutchinson_adds_up_to_the_trace_of_the_same_probes():
    H = with_spectrum(SPECTRA["decaying"])
    found = diagonal(H, num_probes=20, method="hutchinson", seed=1)
    assert found.values.sum() == pytest.approx(trace(H, method="hutchinson", num_probes=20, seed=1).value, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    dim=st.integers(1, 40),
    scale=st.sampled_from([1e-14, 1.0, 1e14]),
    method=st.sampled_from(["auto", "hutchinson", "xdiag"]),
    rank=st.integers(0, 40),
)
def test_any_spectrum_at_any_scale_gives_finite_numbers_near_the_truth(seed, dim, scale, method, rank):
    rng = np.random.default_rng(seed)
    values = scale * np.where(np.arange(dim) < rank, rng.standard_normal(dim), 0.0)
    H = with_spectrum(values, seed=seed)
    found = diagonal(H, num_probes=12, method=method, seed=seed)
    assert np.isfinite(found.values).all()
    assert np.isfinite(found.sem).all()
    # Of all entries together: single ones of 6 samples may miss by much.
    miss, error = np.linalg.norm(found.values - diag(H)), np.linalg.norm(found.sem)
    assert miss <= 20 * error + 1e-12 * np.abs(values).sum()
    assert found.num_matvecs <= 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "hutch++"}, "'auto', 'split', 'hutchinson', 'xdiag'"),
        ({"num_probes": 3, "method": "xdiag"}, "at least 4"),
        ({"num_probes": 0}, "num_probes=0"),
        ({"seed": 1.5}, "seed=1.5"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        diagonal(MatrixOperator(np.eye(9)), **options)


def test_it_prints_its_ends_with_their_errors():
    text = str(diagonal(with_spectrum(SPECTRA["flat"]), num_probes=16, seed=0))
    assert text.splitlines()[0] == "entries        60"
    assert "largest        1." in text
    assert "±" in text
    assert text.endswith("Hutchinson, 16 probes, 16 matvecs")
