"""The records themselves: errors, brackets and quadratures against closed forms and measured coverage."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, special, stats

from landscape.errors import UsageError
from landscape.results import (
    Eigenpairs,
    Estimate,
    LineSlice,
    PlaneSlice,
    Sharpness,
    SpectralGap,
    SpectralMeasure,
)
from landscape.rounding import format_measured, format_value
from tests.support.synthetic_results import eigenpairs, final_records, tail_records

SEEDS = st.integers(0, 2**32 - 1)


def gauss_quadrature(values: np.ndarray, weights: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights (steps,) of a discrete measure, by Lanczos on diag(values) with full reorthogonalisation."""
    basis = [np.sqrt(weights / weights.sum())]
    alphas, betas = [], []
    for _ in range(steps):
        w = values * basis[-1]
        alphas.append(w @ basis[-1])
        for _ in range(2):
            w = w - np.array(basis).T @ (np.array(basis) @ w)
        betas.append(np.linalg.norm(w))
        if betas[-1] < 1e-10 * np.abs(values).max():
            break
        basis.append(w / betas[-1])
    nodes, vectors = linalg.eigh_tridiagonal(alphas, betas[: len(alphas) - 1])
    quadrature = vectors[0] ** 2
    missing = steps - len(nodes)
    return np.pad(nodes, (0, missing), mode="edge"), np.pad(quadrature, (0, missing))


def spectrum(rng: np.random.Generator, size: int = 30) -> np.ndarray:
    """A bulk around zero, a cluster, and a few outliers on both sides."""
    return np.concatenate([0.1 * rng.standard_normal(size - 8), 2 + 1e-3 * rng.random(4), [5.0, 9.0, 10.0, -1.0]])


def measure(rng: np.random.Generator, values: np.ndarray, *, probes: int, steps: int) -> SpectralMeasure:
    """As stochastic Lanczos quadrature would return it: each probe weighs the eigenvalues at random."""
    pairs = [gauss_quadrature(values, rng.standard_normal(len(values)) ** 2, steps) for _ in range(probes)]
    nodes, weights = map(np.array, zip(*pairs, strict=True))
    return SpectralMeasure(nodes, weights, len(values), probes * steps, 0)


# --- numbers with errors -----------------------------------------------------------------------------------------


def test_the_interval_of_symmetric_samples_is_students_t():
    half = np.random.default_rng(0).normal(0, 2, 5)
    samples = 3 + np.concatenate([half, -half])
    estimate = Estimate(samples.mean(), sem=stats.sem(samples), samples=samples)
    expected = stats.ttest_1samp(samples, 0.0).confidence_interval(0.9)
    assert estimate.interval(0.9) == pytest.approx((expected.low, expected.high), rel=1e-9)


@pytest.mark.parametrize(("probes", "level", "skewed"), [(3, 0.95, False), (8, 0.8, False), (32, 0.95, True)])
def test_intervals_cover_the_truth_at_least_as_often_as_they_say(probes, level, skewed):
    """Also for samples as skewed as those of a trace that one eigenvalue dominates, where t alone falls short."""
    draws = 1500
    rng, covered, widths, plain = np.random.default_rng(1), 0, 0.0, 0.0
    for _ in range(draws):
        samples = rng.chisquare(1, probes) if skewed else rng.normal(1.0, 0.7, probes)
        sem = samples.std(ddof=1) / np.sqrt(probes)
        low, high = Estimate(samples.mean(), sem=sem, samples=samples).interval(level)
        covered += low <= 1.0 <= high
        widths += high - low
        plain += 2 * special.stdtrit(probes - 1, 0.5 + level / 2) * sem
    assert covered >= stats.binom.ppf(1e-3, draws, level)
    assert widths <= 1.8 * plain  # and not by being far too wide


def test_a_bound_is_the_interval_at_every_level():
    estimate = Estimate(2.0, sem=5.0, bound=0.5)
    assert estimate.interval(0.5) == estimate.interval(0.999) == (1.5, 2.5)
    assert str(estimate) == "2.00 ± 0.50"


def test_an_interval_without_an_error_or_with_an_impossible_level_is_refused():
    with pytest.raises(UsageError, match="no error"):
        Estimate(1.0).interval()
    for level in (0.0, 1.0, 95):
        with pytest.raises(UsageError, match="between 0 and 1"):
            Estimate(1.0, sem=0.1).interval(level)


@given(
    value=st.floats(-1e12, 1e12).filter(lambda x: x == 0 or abs(x) > 1e-12),
    error=st.floats(1e-9, 1e9),
)
def test_a_printed_number_keeps_two_digits_of_its_error_and_none_beyond(value, error):
    text = format_measured(value, error)
    if "±" not in text:
        assert error < 1e-12 * abs(value)
        return
    inner, _, power = text.replace("(", "").partition(")e")
    shown, shown_error = inner.split(" ± ")
    scale = 10.0 ** int(power or 0)
    assert float(shown_error) * scale == pytest.approx(error, rel=0.051)
    assert abs(float(shown) * scale - value) <= 0.051 * error + 1e-11 * abs(value)
    if error > 1e-10 * abs(value):
        assert len(re.sub(r"^0+", "", shown_error.replace(".", "")).rstrip("0")) <= 2
        assert len(shown.partition(".")[2]) == len(shown_error.partition(".")[2])


def test_an_error_that_rounds_up_to_a_power_of_ten_still_shows_two_digits():
    assert format_measured(3.14159, 0.0999) == "3.14 ± 0.10"
    assert format_measured(1234.5, 99.9) == "1230 ± 100"


def test_what_is_not_a_number_is_said_in_words():
    assert format_measured(float("nan"), 1.0) == "not a number"
    assert format_measured(None, 1.0) == "—"
    assert format_measured(1.5, float("inf")) == "1.5 ± ∞"
    assert format_value(float("-inf")) == "−∞"


# --- spectral measure --------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, steps=st.integers(2, 12))
def test_cdf_brackets_contain_the_exact_weighted_cdf_everywhere(seed, steps):
    """Two equal probes have no spread, so the band is the bracket of Gauss quadrature alone: it may never fail."""
    rng = np.random.default_rng(seed)
    values, weights = spectrum(rng), rng.dirichlet(np.full(30, 0.5))
    nodes, quadrature = gauss_quadrature(values, weights, steps)
    both = SpectralMeasure(np.stack([nodes, nodes]), np.stack([quadrature, quadrature]), 30, 2 * steps, 0)
    x = np.concatenate([np.linspace(-1.5, 10.5, 400), rng.normal(0, 0.1, 200), values - 1e-7, values + 1e-7])
    exact = (weights[None, :] * (values[None, :] <= x[:, None])).sum(1)
    lower, estimate, upper = both.cdf(x)
    assert (lower <= exact + 1e-9).all()
    assert (exact <= upper + 1e-9).all()
    assert ((lower <= estimate + 1e-12) & (estimate <= upper + 1e-12)).all()


def test_cdf_of_a_run_that_saw_the_whole_spectrum_is_exact_and_padding_changes_nothing():
    values, weights = np.array([-1.0, 0.5, 2.0, 7.0]), np.array([0.1, 0.2, 0.3, 0.4])
    nodes, quadrature = gauss_quadrature(values, weights, 9)
    assert nodes.shape == (9,)
    assert (quadrature[4:] == 0).all()
    both = SpectralMeasure(np.stack([nodes] * 2), np.stack([quadrature] * 2), 4, 18, 0)
    x = np.array([-2.0, -0.5, 1.0, 3.0, 8.0])
    assert both.cdf(x)[1] == pytest.approx([0, 0.1, 0.3, 0.6, 1.0], abs=1e-12)
    assert both.cdf(8.0)[0].shape == ()
    assert float(both.cdf(8.0)[0]) == pytest.approx(1.0)


def test_the_cdf_band_covers_the_spectrum_as_often_as_it_says():
    """With as many steps as eigenvalues the brackets are narrow, and nearly all of the band is the spread of probes."""
    values = spectrum(np.random.default_rng(5), 20)
    x = np.array([-0.05, 0.05, 1.0, 4.0])
    exact = (values[None, :] <= x[:, None]).mean(1)
    seeds, covered = 300, np.zeros(4)
    for seed in range(seeds):
        lower, _, upper = measure(np.random.default_rng(seed), values, probes=8, steps=20).cdf(x, level=0.9)
        covered += (lower <= exact) & (exact <= upper)
    assert (covered >= stats.binom.ppf(1e-3, seeds, 0.9)).all()


def test_more_probes_narrow_the_band():
    values = spectrum(np.random.default_rng(5), 200)
    widths = []
    for probes in (4, 64):
        lower, _, upper = measure(np.random.default_rng(0), values, probes=probes, steps=60).cdf(0.0)
        widths.append(float(upper - lower))
    assert widths[1] < 0.5 * widths[0]
    lower, _, upper = measure(np.random.default_rng(0), values, probes=1, steps=16).cdf(1.0)
    assert (float(lower), float(upper)) == (0.0, 1.0)  # one probe knows nothing of its own spread


def test_moments_are_exact_in_each_probe_up_to_twice_the_steps():
    rng = np.random.default_rng(2)
    values, steps = spectrum(rng), 4
    weights = [w / w.sum() for w in rng.random((3, 30))]
    pairs = [gauss_quadrature(values, w, steps) for w in weights]
    measured = SpectralMeasure(np.array([n for n, _ in pairs]), np.array([w for _, w in pairs]), 30, 12, 7)
    for power in range(2 * steps):
        exact = [float(w @ values**power) for w in weights]
        moment = measured.moment(power)
        assert moment.samples == pytest.approx(exact, rel=1e-9)
        assert moment.value == pytest.approx(np.mean(exact), rel=1e-9)
        assert moment.sem == pytest.approx(stats.sem(exact), rel=1e-6, abs=1e-12)
    beyond = [float(w @ values ** (2 * steps)) for w in weights]
    assert measured.moment(2 * steps).samples != pytest.approx(beyond, rel=1e-9)


@pytest.mark.parametrize("bandwidth", [None, 0.05, 2.0])
def test_the_density_has_area_one_and_the_mean_of_the_measure(bandwidth):
    measured = measure(np.random.default_rng(3), spectrum(np.random.default_rng(3)), probes=3, steps=10)
    width = bandwidth or 0.01 * np.ptp(measured.nodes)
    grid = np.linspace(measured.nodes.min() - 8 * width, measured.nodes.max() + 8 * width, 20_000)
    _, density = measured.density(grid, bandwidth)
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=1e-9)
    assert np.trapezoid(density * grid, grid) == pytest.approx(measured.moment(1).value, rel=1e-6)


def test_the_default_grid_of_the_density_holds_all_but_the_kernels_tail():
    measured = measure(np.random.default_rng(3), spectrum(np.random.default_rng(3)), probes=3, steps=10)
    grid, density = measured.density()
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=2e-3)
    one_value = SpectralMeasure(np.full((2, 3), 4.0), np.full((2, 3), 1 / 3), 5, 6, 0)
    grid, density = one_value.density()
    assert np.isfinite(density).all()
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=2e-3)


# --- slices ------------------------------------------------------------------------------------------------------


def between(loss: np.ndarray) -> LineSlice:
    return LineSlice(np.linspace(0, 1, len(loss)), loss, "between", 1.0, "interpolation")


def test_the_barrier_is_the_highest_rise_above_the_chord():
    t = np.linspace(0, 1, 41)
    chord = (1 - t) * 0.2 + t * 0.9
    assert between(chord + 4 * 1.7 * t * (1 - t)).barrier == pytest.approx(1.7)
    assert between(chord).barrier == pytest.approx(0.0, abs=1e-15)
    assert between(chord - t * (1 - t)).barrier == 0.0  # a convex valley has none, and its ends say so
    assert np.isnan(between(np.where(t == 0.5, np.nan, chord)).barrier)


def test_a_slice_that_leaves_one_minimum_has_no_barrier():
    with pytest.raises(UsageError, match="interpolate"):
        _ = dataclasses.replace(between(np.ones(5)), kind="direction").barrier


def test_centre_curvatures_agree_only_within_their_error():
    line = LineSlice(np.zeros(3), np.zeros(3), "d", 1.0, "direction", 2.0, 2.1, 0.11)
    assert line.curvature_agrees
    assert not dataclasses.replace(line, curvature_slice=2.2).curvature_agrees
    assert not between(np.ones(3)).curvature_agrees  # NaN agrees with nothing
    eye = np.eye(2)
    plane = PlaneSlice(np.zeros(1), np.zeros(1), np.zeros((1, 1)), ("a", "b"), np.ones(2), eye, eye * 1.1, eye * 0.2)
    assert plane.curvature_agrees
    assert "agrees" in str(plane)
    assert "DISAGREES" in str(dataclasses.replace(plane, curvature_error=eye * 0.05))


def test_slices_that_are_all_nan_print_without_a_warning(recwarn):
    assert "not a number" in str(between(np.full(5, np.nan)))
    nan = np.full((2, 2), np.nan)
    assert "not a number" in str(PlaneSlice(np.zeros(2), np.zeros(2), nan, ("a", "b"), np.ones(2), nan, nan, nan))
    assert not recwarn.list


# --- printing ----------------------------------------------------------------------------------------------------


def test_every_record_prints_itself_and_has_escaped_html():
    rng = np.random.default_rng(0)
    records = {**tail_records(rng, 10.0), **final_records(rng, 10.0)}
    for record in records.values():
        assert str(record) == repr(record)
        page = record._repr_html_()
        assert page.count("<tr>") == page.count("</tr>") >= 1
        assert "array(" not in str(record)
    page = dataclasses.replace(records["line_random_0"], direction="<b>&</b>")._repr_html_()
    assert "&lt;b&gt;&amp;&lt;/b&gt;" in page


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Estimate(1.0).value = 2.0  # type: ignore[misc]


def test_what_did_not_converge_says_so_in_print():
    rng = np.random.default_rng(0)
    bad = eigenpairs(rng, 10.0, which="both", k=2, converged=False)
    assert [("NOT CONVERGED" in line) for line in str(bad).splitlines()] == [False, False, False, True, False]
    assert len(bad) == 4
    sharp = Sharpness("worst", 0.5, None, "lower bound", 0.05, 2.0, np.ones(2), False, 10, 0, "SAM")
    assert str(sharp).splitlines()[0].endswith("≥ 0.5")
    assert "NOT CONVERGED" in str(sharp)
    assert "≥" not in str(dataclasses.replace(sharp, kind="estimate", error=0.1))


def test_a_gap_prints_both_of_its_forms_with_their_errors():
    gap = SpectralGap(Estimate(1.5, bound=0.25), Estimate(1.2, bound=0.1))
    assert (gap.value, float(gap.ratio)) == (1.5, 1.2)
    assert [line.split("  ")[-1] for line in str(gap).splitlines()] == ["1.50 ± 0.25", "1.20 ± 0.10"]


def test_eigenvalues_print_with_their_residuals():
    pairs = Eigenpairs(
        np.array([3.14159, 1.0]), np.empty((9, 0)), np.array([0.01, 0.1]), np.ones(2, bool), 12, "done", "largest",
        "lanczos", 1e-3, 0, 9,
    )  # fmt: skip
    assert [line.split("  ")[-1] for line in str(pairs).splitlines()[:2]] == ["3.142 ± 0.010", "1.00 ± 0.10"]
