"""A number whose error swallows it is said to be not resolved, wherever it is printed."""

from __future__ import annotations

import re

import numpy as np
import pytest

import landscape as ls
from landscape.report.run_details import _rows_of
from landscape.results import Estimate, OutlierCount
from landscape.results.resolution import half_interval, resolved, towards_zero

INDEFINITE = ls.MatrixOperator(np.diag(np.r_[-np.geomspace(1e-3, 1, 20), np.geomspace(1e-3, 10, 80)]))


def density_row(measure) -> str:
    ((_, text, _),) = _rows_of("density", measure, failed=False)
    return text


def test_a_mass_below_zero_from_two_probes_is_not_resolved_where_it_is_printed():
    """A fifth of the eigenvalues is negative; two probes know it to within most of the whole."""
    measure = ls.spectral_density(INDEFINITE, num_probes=2, num_steps=6)
    low, high = measure.negative_mass().interval()
    assert (high - low) / 2 > 0.2
    assert re.search(r"weight below zero +not resolved \(± ", str(measure))
    assert "weight below zero not resolved (± " in density_row(measure)


def test_a_mass_from_many_probes_is_printed_with_its_interval_which_holds_the_truth():
    gapped = np.r_[-np.linspace(0.5, 1, 20), np.linspace(0.5, 10, 80)]
    measure = ls.spectral_density(ls.MatrixOperator(np.diag(gapped)), num_probes=64, num_steps=40)
    reach = half_interval(measure.negative_mass())
    assert abs(measure.negative_mass().value - 0.2) < reach < 0.1
    for text in (str(measure), density_row(measure)):
        assert "not resolved" not in text
        assert " ± " in text.partition("below zero")[2].partition("%")[0]


def test_an_effective_rank_whose_interval_spans_its_range_is_not_resolved():
    """Of one eigenvalue alone the rank is 1; a probe sees it or not, and two know it to no digit."""
    values = np.r_[10.0, np.full(99, 1e-3)]
    measure = ls.spectral_density(ls.MatrixOperator(np.diag(values)), num_probes=2, num_steps=4)
    rank = measure.effective_rank()
    swallowed = half_interval(rank) >= min(rank.value, 50.0)
    assert ("effective rank not resolved" in density_row(measure)) == swallowed


def test_one_probe_knows_no_error_and_resolves_nothing():
    measure = ls.spectral_density(INDEFINITE, num_probes=1, num_steps=6)
    assert "not resolved (its error is not known)" in density_row(measure)


def test_a_spectrum_known_whole_is_printed_as_it_is():
    eigs = ls.top_eigenpairs(ls.MatrixOperator(np.diag([3.0, 1.0, -1.0, -2.0])), 4, tol=1e-10)
    measure = ls.spectral_density(ls.MatrixOperator(np.diag([3.0, 1.0, -1.0, -2.0])), eigs)
    assert resolved(measure.negative_mass(), most=1.0, scale=100.0, unit=" %") == "50 %"


def test_outliers_by_mass_have_the_interval_of_their_probes():
    samples = np.array([0.0, 9.0, 1.0, 2.0])
    mass = Estimate(3.0, sem=float(samples.std(ddof=1) / 2), samples=samples)
    assert half_interval(mass) > 3.0  # Student's t with three degrees of freedom: 3.18 × 2.04
    assert "not resolved" in str(OutlierCount(2, mass, -np.inf, 4.0))
    clear = OutlierCount(9, Estimate(9.0, sem=0.1, samples=np.array([8.9, 9.0, 9.1, 9.0])), -np.inf, 4.0)
    assert str(clear).startswith("eigenvalues beyond the bulk  9.00 ± ")


@pytest.mark.parametrize(("sem", "shown"), [(0.5, "4.00 ± "), (3.0, "not resolved (± ")])
def test_a_trace_in_the_details_of_a_run_is_a_number_or_not_resolved(sem, shown):
    samples = 4 + sem * np.sqrt(8) * np.array([-1, 1] * 4) * np.sqrt(7 / 8)
    trace = Estimate(4.0, sem=sem, samples=samples, method="hutchinson")
    assert _rows_of("trace", trace, failed=False)[0][1].startswith(shown)


def test_a_skewed_estimate_whose_interval_stays_above_zero_is_resolved():
    """Seen on LeNet-5: 3.19 from eight probes with one far up, its interval 2.4 … 6.5; longer than 3.19 on one side."""
    samples = np.array([3.206, 2.010, 2.978, 3.882, 2.755, 5.169, 2.948, 2.547])
    mean, sem = float(samples.mean()), float(samples.std(ddof=1) / 8**0.5)
    skewed = Estimate(mean, sem=sem, samples=samples, method="deflated")
    low, high = skewed.interval(0.95)
    assert 0 < low < mean < high
    assert towards_zero(skewed) == pytest.approx(mean - low)
    assert "not resolved" not in _rows_of("trace", skewed, failed=False)[0][1]
    assert "not resolved" not in resolved(skewed)
    if high > 2 * mean:
        assert resolved(skewed) == f"3.2 [{low:.1f}, {high:.1f}]"


def test_the_interval_goes_towards_zero_from_either_side():
    for sign in (1.0, -1.0):
        found = Estimate(sign * 4.0, sem=1.0, samples=sign * np.array([3.0, 4.0, 5.0, 4.0]))
        low, high = found.interval(0.95)
        assert towards_zero(found) == pytest.approx(4.0 - (low if sign > 0 else -high))
