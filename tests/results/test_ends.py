"""λ_max and λ_min have one definition, which everything that shows them reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import landscape as ls
from landscape.errors import UsageError
from landscape.plots.arrays import measured
from landscape.results import Eigenpairs, Estimate
from landscape.store.catalogue import IN_TABLE
from landscape.store.rows import rows
from landscape.tables import final_cells
from tests.support.spectra import with_spectrum
from tests.support.tables import one_run


def pairs(values, which, *, dim=100, residual=0.0):
    """A record of some eigenvalues, in the order that it would have."""
    key = np.abs(values) if which == "magnitude" else np.asarray(values)
    values = np.asarray(values, dtype=float)[np.argsort(-key, kind="stable")]
    K = len(values)
    return Eigenpairs(
        values, np.zeros((dim, 0)), np.full(K, residual), np.ones(K, bool), 2 * K, "", which, "lanczos", 1e-3, 0, dim
    )


@settings(max_examples=100, deadline=None)
@given(
    dim=st.integers(1, 12),
    k=st.integers(1, 6),
    which=st.sampled_from(["largest", "smallest", "both", "magnitude"]),
    seed=st.integers(0, 10_000),
)
def test_an_end_is_that_of_the_whole_spectrum_or_none(dim, k, which, seed):
    """Whole numbers, so that values tie, also λ with −λ, and some are zero."""
    exact = np.sort(np.random.default_rng(seed).integers(-4, 5, dim).astype(float))[::-1]
    k = min(k, dim)
    chosen = {
        "largest": exact[:k],
        "smallest": exact[-k:],
        "both": exact if 2 * k >= dim else np.r_[exact[:k], exact[-k:]],
        "magnitude": exact[np.argsort(-np.abs(exact), kind="stable")][:k],
    }[which]
    eigs = pairs(chosen, which, dim=dim)
    for end, truth, always in (
        (eigs.largest, exact[0], ("largest", "both")),
        (eigs.smallest, exact[-1], ("smallest", "both")),
    ):
        assert end is None or end.value == truth
        assert end is not None or which not in always
    for places, ordered in ((eigs.top, exact), (eigs.bottom, exact[::-1])):
        np.testing.assert_array_equal(eigs.values[places], ordered[: len(places)])
    if which == "magnitude" and chosen.max() > 0:
        assert eigs.largest is not None
    assert len(pairs(exact, which, dim=dim).top) == len(pairs(exact, which, dim=dim).bottom) == dim


def test_the_largest_by_magnitude_alone_says_nothing_of_the_other_end():
    eigs = pairs([-9.0, -5.0], "magnitude")
    assert eigs.largest is None
    assert eigs.smallest.value == -9
    mixed = pairs([-9.0, 4.0, 5.0], "magnitude")
    assert (mixed.largest.value, mixed.smallest.value) == (5, -9)
    assert ls.spectral_gap(mixed).value == 1
    with pytest.raises(UsageError, match="does not hold them"):
        ls.spectral_gap(pairs([-9.0, 4.0, -5.0], "magnitude"))


def test_zeros_at_the_end_of_a_list_by_magnitude_are_the_other_end_whatever_the_sign_of_their_rounding():
    """Rank one: nothing outside the list is further from zero than the last of it."""
    eigs = pairs([4.0, -1e-17], "magnitude", residual=1e-15)
    assert eigs.smallest.value == -1e-17
    assert pairs([-4.0, -1e-17], "magnitude", residual=1e-15).largest.value == -1e-17
    assert pairs([-4.0, -1.0], "magnitude", residual=1e-15).largest is None


def test_an_end_carries_the_residual_and_the_convergence_of_its_own_pair():
    eigs = replace(pairs([3.0, -4.0], "magnitude"), residuals=np.array([0.2, 0.1]), converged=np.array([False, True]))
    assert (eigs.values[0], eigs.largest.bound, eigs.largest.converged) == (-4, 0.1, True)
    assert (eigs.smallest.bound, eigs.smallest.converged) == (0.2, False)
    assert eigs.largest.interval() == (2.9, 3.1)
    assert pairs([], "largest").largest is None


@pytest.mark.parametrize("which", ["largest", "smallest", "both", "magnitude"])
def test_rows_tables_and_figures_show_the_same_end(which, tmp_path):
    eigs = pairs([-9.0, 4.0, 5.0], which, residual=0.01)
    results = one_run(tmp_path, {"eigenpairs": eigs, "trace": Estimate(1.0)})
    (row,), ((_, cells),) = rows(results), final_cells(results, digits=4)
    end, drawn = eigs.largest, measured(results.runs[0].last, "lambda_max")
    cell = cells[IN_TABLE.index("lambda_max")]
    if end is None:
        assert row["lambda_max"] is drawn is None
        assert cell.text == "—"
    else:
        assert row["lambda_max"] == drawn.value == end.value == 5
        assert row["lambda_max_residual"] == drawn.error == 0.01
        assert cell.text.startswith("5")


def test_power_iteration_cut_short_holds_as_many_from_each_end_as_it_says():
    """Both ends in turn: after two pairs they are λ_max and λ_min, not λ₁ and λ₂."""
    values = np.r_[10.0, 9.0, -8.0, -6.0, np.linspace(-0.1, 0.1, 30)]
    for budget in range(8, 200, 12):
        eigs = ls.top_eigenpairs(
            with_spectrum(values), 2, which="both", method="power", tol=1e-2, max_matvecs=budget, strict=False
        )
        for end, truth in ((eigs.largest, 10.0), (eigs.smallest, -8.0)):
            assert end is None or not end.converged or abs(end.value - truth) <= end.bound
