"""Few distinct eigenvalues: every estimator on spectra whose Krylov spaces end after a few steps, against the spectrum.

A Krylov space holds as many dimensions as the spectrum has distinct values; what follows is rounding. The truth of each
test is the list of eigenvalues that the matrix was made of.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import landscape as ls
from tests.support.spectra import RoundedProducts, clusters, with_spectrum

LEVEL = 0.9999  # of the intervals that must hold the truth, for seeds laid down: some hundreds of them


def near(values, width, seed=3):
    """Each value moved by about that share of it."""
    return np.array(values) * (1 + width * np.random.default_rng(seed).standard_normal(len(values)))


THREE = np.repeat([-1.0, 0.5, 2.0], [5, 8, 7])
SPECTRA = {
    "one number": np.array([3.0]),
    "two numbers, one value": np.array([-2.0, -2.0]),
    "three values, 20 numbers": THREE,
    "three values, a billionth apart": near(THREE, 1e-9),
    "three values, a hundred thousandth apart": near(THREE, 1e-5),
    "five values, 40 of each": np.repeat([-3.0, -0.5, 0.0, 1.0, 4.0], 40),
    "5 of one and 500 of another": np.r_[np.full(5, 3.0), np.full(500, -0.25)],
    "500 of the largest": np.r_[np.full(500, 1.5), -1.0, -2.0],
    "plus and minus": np.repeat([1.0, -1.0], 30),
    "zero": np.zeros(60),
    "a multiple of the identity": np.full(60, 0.3),
    "minus the identity": np.full(60, -1.0),
    "rank one": np.r_[4.0, np.zeros(59)],
    "minus rank one": np.r_[np.zeros(59), -4.0],
    "one above many": np.r_[1e4, np.full(59, 1e-2)],
}


#: Exactly degenerate in every arithmetic, so that the number of distinct values is the length of a run.
EXACT = [name for name in SPECTRA if "apart" not in name]


def operator(values, kind):
    if kind == "float32 inside":
        return RoundedProducts(with_spectrum(values))
    return with_spectrum(values, dtype=getattr(torch, kind))


def mark(names, daily=("float32", "float64", "float32 inside")):
    """Every spectrum in every arithmetic; what is large, or not among the ``daily`` ones, in the campaigns."""
    params = []
    for name in names:
        for kind in ("float32", "float64", "float32 inside"):
            often = kind in daily and (len(SPECTRA[name]) <= 60 or kind == "float32 inside")
            marks = () if often else (pytest.mark.campaign,)
            params.append(pytest.param(name, kind, id=f"{name}-{kind}", marks=marks))
    return pytest.mark.parametrize(("name", "kind"), params)


def case(name, kind):
    """Operator, eigenvalues in descending order, and the error that one product may have."""
    H, values = operator(SPECTRA[name], kind), np.sort(SPECTRA[name])[::-1]
    return H, values, H.resolution * float(np.abs(values).max())


def formation(values):
    """How far rounding may take the eigenvalues of the matrix from those it was made of, in float64."""
    return 32 * np.finfo(float).eps * float(np.abs(values).max())


def width(values):
    """Of the clusters, within which a few steps tell no eigenvalue from the next."""
    steps = np.diff(np.sort(values), prepend=np.nan)
    return float(np.abs(steps[steps < 1e-3 * np.abs(values).max()]).sum())


def from_nearest(found, values):
    return np.abs(np.asarray(found)[..., None] - values).min(-1)


def assert_covers(estimate, truth, rounding):
    low, high = estimate.interval(LEVEL)
    assert low - rounding <= truth <= high + rounding


# --- eigenpairs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lanczos", "lobpcg", "power", "block"])
@mark(SPECTRA)
def test_pairs_are_within_their_residuals_and_the_ends_are_the_ends(name, kind, method):
    H, values, rounding = case(name, kind)
    options = {"method": "lanczos", "block": 3} if method == "block" else {"method": method}
    dense = H.dense().double().numpy()
    tied = method == "power" and name == "plus and minus"  # which it says that it cannot separate
    for which in ("largest", "smallest", "both", "magnitude"):
        eigs = ls.top_eigenpairs(
            H, min(2, H.dim), which=which, tol=1e-4, strict=False, max_matvecs=100 if tied else 500, **options
        )
        assert eigs.converged.all() != tied
        assert_pairs(eigs, dense, values, rounding)
        if not tied:
            assert (eigs.largest is None) <= (which in ("smallest", "magnitude"))
            assert (eigs.smallest is None) <= (which in ("largest", "magnitude"))


def assert_pairs(eigs, dense, values, rounding):
    """Orthonormal, with true residuals, each at an eigenvalue to within it; and the ends are those of the spectrum."""
    u = eigs.vectors.astype(float)
    np.testing.assert_allclose(u.T @ u, np.eye(len(eigs)), atol=1e3 * np.finfo(eigs.vectors.dtype).eps)
    assert np.all(np.linalg.norm(dense @ u - u * eigs.values, axis=0) <= eigs.residuals + 8 * rounding)
    assert np.all(from_nearest(eigs.values, values) <= eigs.residuals + formation(values))
    for end, truth in ((eigs.largest, values[0]), (eigs.smallest, values[-1])):
        if end is not None and end.converged:
            assert abs(end.value - truth) <= end.bound + formation(values)
    if eigs.upper_bound is not None:
        assert eigs.upper_bound[0] >= values[0] - formation(values)


@mark(EXACT, daily=("float64", "float32 inside"))
def test_blocks_find_as_many_copies_as_they_have_vectors(name, kind):
    H, values, _ = case(name, kind)
    for options in ({"block": 4}, {"method": "lobpcg"}):
        eigs = ls.top_eigenpairs(H, min(3, H.dim), tol=1e-4, strict=False, **options)
        assert np.all(np.abs(eigs.values - values[: len(eigs)]) <= eigs.residuals + formation(values))
        if H.dim > 1:
            gap = ls.spectral_gap(eigs)
            assert abs(gap.value - (values[0] - values[1])) <= gap.difference.bound + formation(values)


@mark(SPECTRA)
def test_the_overview_holds_the_truth_and_no_node_lies_outside(name, kind):
    H, values, rounding = case(name, kind)
    for seed in range(2):
        found = ls.spectrum(H, k=min(2, H.dim), num_probes=4, num_steps=12, seed=seed, strict=False)
        assert found.eigs.converged.all()
        assert np.all(from_nearest(found.eigs.values, values) <= found.eigs.residuals + formation(values))
        assert_covers(found.trace, values.sum(), len(values) * rounding)
        assert_covers(found.frobenius, np.linalg.norm(values), len(values) * rounding)
        assert_measure(found.density, values, rounding)


@mark(SPECTRA)
def test_the_density_is_that_of_the_spectrum(name, kind):
    H, values, rounding = case(name, kind)
    for known in (1, 3):
        eigs = ls.top_eigenpairs(H, min(known, H.dim), which="both", strict=False)
        assert_measure(ls.spectral_density(H, eigs, num_probes=4, num_steps=30), values, rounding)
    measure = ls.spectral_density(H, num_probes=4, num_steps=30)
    assert_measure(measure, values, rounding)
    # Where a probe sees an eigenvalue weakly, what rounding adds is magnified and may take further steps.
    if kind == "float32 inside" and name in EXACT and len(values) <= 60:
        assert measure.num_steps <= len(np.unique(values)) + 3


def assert_measure(measure, values, rounding):
    """Nodes with mass are eigenvalues, the others lie between them, and the band holds the distribution."""
    slack = 32 * rounding + formation(values)
    assert np.isfinite(measure.nodes).all()
    np.testing.assert_allclose(measure.weights.sum(1), 1, atol=1e-12)
    assert measure.nodes.max() <= values[0] + slack
    assert measure.nodes.min() >= values[-1] - slack
    heavy = measure.weights * measure.dim >= 0.01
    assert np.all(from_nearest(measure.nodes[heavy], values) <= slack + width(values))
    apart = np.unique(values)
    apart = apart[np.r_[True, np.diff(apart) > 4 * slack + 1e-4 * np.abs(values).max()]]
    points = np.r_[apart[0] - 1.0, (apart[1:] + apart[:-1]) / 2, apart[-1] + 1.0]
    low, _, high = measure.cdf(points, level=LEVEL)
    truth = (values[None, :] <= points[:, None]).mean(1)
    assert ((low <= truth) & (truth <= high)).all()
    assert measure.effective_rank().value >= 0
    assert 0 <= measure.negative_mass().value <= 1
    assert np.isfinite(measure.num_outliers().value)


# --- sums over the spectrum --------------------------------------------------------------------------------------


@mark(SPECTRA)
def test_traces_moments_and_norm_hold_the_truth(name, kind):
    H, values, rounding = case(name, kind)
    error = len(values) * (rounding + formation(values))
    eigs = ls.top_eigenpairs(H, 1, strict=False)
    for method in ("auto", "hutchinson", "hutch++", "xtrace", "deflated"):
        options = {"method": method, "num_probes": 16, "eigs": eigs if method == "deflated" else None}
        for seed in range(2):
            assert_covers(ls.trace(H, seed=seed, **options), values.sum(), error)
            if method == "xtrace":
                continue
            assert_covers(ls.frobenius_norm(H, seed=seed, **options), np.linalg.norm(values), error)
            moments = ls.spectral_moments(H, (1, 2, 3), seed=seed, **options)
            for p in (1, 2, 3):
                assert_covers(moments[p], (values**p).sum(), p * error * np.abs(values).max() ** (p - 1))


@mark(SPECTRA, daily=("float64", "float32 inside"))
def test_the_diagonal_holds_the_truth(name, kind):
    H, values, rounding = case(name, kind)
    truth = np.diag(with_spectrum(SPECTRA[name]).dense().numpy())
    for method in ("auto", "hutchinson", "xdiag"):
        found = ls.diagonal(H, num_probes=16, method=method)
        low, high = found.interval(1 - (1 - LEVEL) / len(values))
        slack = 8 * rounding + formation(values)
        assert np.all((low - slack <= truth) & (truth <= high + slack))


@mark(SPECTRA, daily=("float32", "float32 inside"))
def test_blocks_of_degenerate_spectra_have_their_trace_and_largest_eigenvalue(name, kind):
    H, values, rounding = case(name, kind)
    table = ls.block_table({"a": H, "b": 2.0 * H}, num_probes=8, tol=1e-4, max_matvecs=400)
    assert table.converged.all()
    for row, factor in (("a", 1.0), ("b", 2.0)):
        assert_covers(table[row], factor * values.sum(), factor * len(values) * rounding)
    assert np.all(np.abs(table.lambda_max - [values[0], 2 * values[0]]) <= table.residual + 2 * formation(values))


# --- what was missed, what changes, what a step promises ---------------------------------------------------------


@mark(SPECTRA, daily=("float64", "float32 inside"))
def test_copies_that_were_left_out_are_found_and_a_complete_list_is_called_complete(name, kind):
    H, values, rounding = case(name, kind)
    for end, order in (("largest", values), ("smallest", values[::-1])):
        sign = 1 if end == "largest" else -1
        copies = int((np.abs(values - order[0]) <= 1e-3 * abs(order[0])).sum())
        for k in sorted({1, min(copies, 3), min(copies, H.dim)}):
            eigs = ls.top_eigenpairs(H, k, which=end, block=min(k, H.dim), max_matvecs=5000)
            search = ls.search_missed(H, eigs=eigs, which=end, seed=1)
            assert search.missed == (k < copies)
            assert search.complete == (k == copies)
            if k < H.dim:
                assert sign * search.bound >= sign * order[k] - formation(values)
            if search.missed:
                assert abs(search.largest - order[k]) <= 1e-3 * abs(order[k]) + 32 * rounding


@mark(SPECTRA, daily=("float32 inside",))
def test_a_tracker_follows_degenerate_spectra(name, kind):
    values = np.sort(SPECTRA[name])[::-1]
    tracker = ls.EigenTracker(min(2, len(values)), which="both", tol=1e-4, strict=False)
    for step in range(7):
        scaled = values * (1 + 0.01 * step)
        eigs = tracker.update(operator(scaled, kind))
        assert eigs.converged.all()
        assert abs(eigs.largest.value - scaled[0]) <= eigs.largest.bound + formation(scaled)
        assert abs(eigs.smallest.value - scaled[-1]) <= eigs.smallest.bound + formation(scaled)


@mark([name for name in SPECTRA if SPECTRA[name].max() > 0])
def test_the_gain_of_a_newton_step_lies_within_its_bound(name, kind):
    """Against the sums over the spectrum, in the eigenvectors that the matrix was made of."""
    H, values, rounding = case(name, kind)
    eigs = ls.top_eigenpairs(H, 1, which="both", tol=1e-6, strict=False)
    exact, vectors = np.linalg.eigh(with_spectrum(SPECTRA[name]).dense().numpy())
    g = np.random.default_rng(0).standard_normal(len(values))
    found = ls.second_order_gain(H, torch.from_numpy(g), eigs=eigs, num_steps=20)
    share = (vectors.T @ g) ** 2 / (g @ g)
    top, shift = eigs.largest.value, max(1e-2 * eigs.largest.value, -2 * eigs.smallest.interval()[0])
    newton = share @ ((exact / 2 + shift) / (exact + shift) ** 2)
    steps = (1 - exact / top)[:, None] ** np.arange(2 * found.num_steps)
    truth = newton / (share @ steps.sum(1) / (2 * top))
    assert abs(found.value - truth) <= found.bound + 1e3 * rounding / values[0] * truth


# --- spectra drawn at random -------------------------------------------------------------------------------------


@st.composite
def degenerate(draw):
    """One to four distinct values, each 1 to 30 times and up to some 1e-5 apart, at scales from 1e-14 to 1e14."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    distinct = draw(st.integers(1, 4))
    values = np.repeat(
        rng.choice([-2.0, -1.0, 0.0, 0.5, 2.0, 3.0], distinct, replace=False), rng.integers(1, 30, distinct)
    )
    spread = draw(st.sampled_from([0.0, 1e-15, 1e-13, 1e-11, 1e-9, 1e-8, 1e-7, 1e-5]))
    return near(values, spread, seed=int(rng.integers(2**31))) * draw(st.sampled_from([1e-14, 1.0, 1e14]))


@settings(max_examples=40, deadline=None)
@given(values=degenerate(), kind=st.sampled_from(["float32", "float64", "float32 inside"]), seed=st.integers(0, 3))
# Copies that all runs had found came back as a node 6.5e-7 beyond λ_max, relatively: rounding, magnified twice.
@example(values=clusters(36, 1e-8), kind="float64", seed=0)
@example(values=clusters(244, 1e-9), kind="float64", seed=0)
@example(values=clusters(192, 1e-10), kind="float64", seed=0)
def test_on_any_degenerate_spectrum_what_is_stated_holds(values, kind, seed):
    H, exact = operator(values, kind), np.sort(values)[::-1]
    rounding = H.resolution * np.abs(values).max()
    found = ls.spectrum(H, k=min(2, H.dim), num_probes=4, num_steps=12, seed=seed, strict=False)
    # An image is taken up with an error of √resolution/32 at most.
    slack = rounding * (32 + H.resolution**-0.5 / 32) + formation(values)
    assert found.density.nodes.max() <= exact[0] + slack
    assert found.density.nodes.min() >= exact[-1] - slack
    good = found.eigs.converged
    assert np.all((from_nearest(found.eigs.values, exact) <= found.eigs.residuals + formation(values))[good])
    assert_covers(found.trace, exact.sum(), len(values) * (rounding + formation(values)))
    assert_covers(found.frobenius, np.linalg.norm(exact), len(values) * (rounding + formation(values)))
