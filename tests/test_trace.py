"""Hutchinson's trace: exact where theory says so, and intervals that cover as often as they claim."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from landscape.errors import UsageError
from landscape.estimators import trace
from landscape.operators import IdentityOperator, LinearOperator, MatrixOperator
from landscape.results import Estimate


def with_spectrum(values, *, seed=0, dtype=torch.float64) -> MatrixOperator:
    dim = len(values)
    q = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0]
    a = (q * np.asarray(values)) @ q.T
    return MatrixOperator(torch.tensor((a + a.T) / 2, dtype=dtype))


SPECTRA = {
    "flat": np.linspace(0.5, 1.5, 60),
    "decaying": np.arange(1, 61) ** -1.5,
    "ten outliers": np.r_[np.linspace(5, 50, 10), np.linspace(-0.1, 0.1, 50)],
    "one above all": np.r_[1.0, np.zeros(59)],
}


def test_diagonal_is_exact_and_has_no_spread():
    for dtype in (torch.float32, torch.float64):
        estimate = trace(MatrixOperator(torch.diag(torch.tensor([3.0, 1.0, 0.5], dtype=dtype))), num_probes=4)
        assert estimate.value == 4.5
        assert estimate.sem == 0
        assert estimate.interval() == (4.5, 4.5)
        assert str(estimate) == "4.5"


def test_every_probe_costs_one_matvec_and_continues_the_same_sequence():
    H = with_spectrum(SPECTRA["ten outliers"])
    seen = []
    few, many = trace(H, num_probes=5, seed=3), trace(H, num_probes=9, seed=3, progress=lambda *p: seen.append(p))
    assert (few.num_matvecs, many.num_matvecs) == (5, 9)
    assert seen == [(i + 1, 9) for i in range(9)]
    np.testing.assert_array_equal(few.samples, many.samples[:5])
    assert many.value == many.samples.mean()
    assert many.sem == pytest.approx(stats.sem(many.samples))
    assert trace(H, num_probes=9, seed=4).value != many.value


def test_variance_of_a_probe_is_twice_the_mass_off_the_diagonal():
    """2(‖A‖_F² − Σ aᵢᵢ²); 2,000 probes give the variance to a few per cent."""
    H = with_spectrum(SPECTRA["ten outliers"])
    a = H.dense().numpy()
    expected = 2 * ((a**2).sum() - (np.diag(a) ** 2).sum())
    samples = trace(H, num_probes=2000).samples
    spread = np.sqrt((stats.moment(samples, 4) / expected**2 - 1) / 2000)
    assert samples.var() == pytest.approx(expected, rel=4 * spread)
    assert abs(samples.mean() - a.trace()) <= 4 * np.sqrt(expected / 2000)


@pytest.mark.parametrize("name", SPECTRA)
def test_intervals_cover_as_often_as_the_binomial_law_allows(name):
    """400 seeds: fewer hits than the law gives once in a thousand would mean that 95 % is claimed and not kept."""
    values = SPECTRA[name]
    H = with_spectrum(values)
    intervals = np.array([trace(H, num_probes=16, seed=s).interval() for s in range(400)])
    hits = int(np.sum((intervals[:, 0] <= values.sum()) & (values.sum() <= intervals[:, 1])))
    assert hits >= stats.binom.ppf(0.001, 400, 0.95)


def test_interval_reaches_further_on_the_side_where_the_samples_are_skewed():
    """Student's t alone covers 88 times in 100 here: it is symmetric, and the samples are χ²."""
    H = with_spectrum(SPECTRA["one above all"])
    estimates = [trace(H, num_probes=16, seed=s) for s in range(400)]
    student = [abs(e.value - 1) <= stats.t.ppf(0.975, 15) * e.sem for e in estimates]
    ours = [e.interval()[0] <= 1 <= e.interval()[1] for e in estimates]
    assert sum(ours) >= stats.binom.ppf(0.001, 400, 0.95) > sum(student)
    e = max(estimates, key=lambda e: stats.skew(e.samples))
    assert e.interval()[1] - e.value > 1.2 * (e.value - e.interval()[0])
    mirrored = trace(-H, num_probes=16, seed=e.seed).interval()
    np.testing.assert_allclose(mirrored, [-e.interval()[1], -e.interval()[0]])


def test_symmetric_samples_give_the_interval_of_student():
    samples = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    estimate = Estimate(0.0, sem=float(stats.sem(samples)), samples=samples)
    np.testing.assert_allclose(estimate.interval(0.9), stats.t.interval(0.9, 4, 0, stats.sem(samples)))


def test_interval_without_samples_and_with_two_is_that_of_student():
    two = Estimate(1.5, sem=0.5, samples=np.array([1.0, 2.0]))
    np.testing.assert_allclose(two.interval(), stats.t.interval(0.95, 1, 1.5, 0.5))
    lo, hi = Estimate(1.0, sem=0.1).interval()
    assert hi - 1 == pytest.approx(1 - lo)


def test_one_probe_has_a_value_and_no_error():
    estimate = trace(with_spectrum(SPECTRA["flat"]), num_probes=1)
    assert estimate.sem is None
    with pytest.raises(UsageError, match="one probe"):
        estimate.interval()


def test_a_shift_of_the_operator_shifts_the_trace_by_its_dimension():
    H = with_spectrum(SPECTRA["flat"], dtype=torch.float32)
    shifted = trace(H + 2.0 * IdentityOperator(60), num_probes=4, seed=1).value
    assert shifted == pytest.approx(trace(H, num_probes=4, seed=1).value + 120, rel=1e-6)


def test_sums_of_many_float32_entries_keep_their_digits():
    """A million products of 0.1: summed in float32 one by one they would be off by a per cent."""

    class Tenth(LinearOperator):
        def _matvec(self, v):
            return 0.1 * v

    assert trace(Tenth(10**6, dtype=torch.float32), num_probes=2).value == pytest.approx(1e5, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": None}, "seed=None"),
        ({"num_probes": 0}, "num_probes=0"),
        ({"method": "xtrace"}, "'auto', 'hutchinson'"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        trace(MatrixOperator(np.eye(2)), **options)
