"""The spectral gap: bounds that hold for whatever the residuals allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.errors import UsageError
from landscape.estimators import spectral_gap
from landscape.results import Eigenpairs


def record(values, residuals, *, which="largest", dim=100) -> Eigenpairs:
    values = np.array(values, dtype=float)
    return Eigenpairs(
        values=values,
        vectors=np.empty((dim, 0)),
        residuals=np.array(residuals, dtype=float),
        converged=np.ones(len(values), dtype=bool),
        reason="",
        num_matvecs=1,
        which=which,
        method="lanczos",
        tol=1e-3,
        seed=0,
        dim=dim,
    )


@given(st.floats(-10, 10), st.floats(0.01, 10), st.floats(0, 1), st.floats(0, 1), st.floats(-1, 1), st.floats(-1, 1))
@settings(max_examples=200, deadline=None)
def test_gap_bounds_hold_for_any_eigenvalues_within_their_residuals(low, gap, r1, r2, a, b):
    found = spectral_gap(record([low + gap, low], [r1, r2]))
    first, second = low + gap + a * r1, low + b * r2
    slack = 1 + 1e-9
    assert abs(found.difference.value - (first - second)) <= found.difference.bound * slack + 1e-12
    if abs(low) <= r2:
        assert found.ratio.bound == np.inf
    elif abs(second) > 1e-6:
        assert abs(found.ratio.value - first / second) <= found.ratio.bound * slack + 1e-9


def test_gap_of_exact_values_prints_without_error():
    found = spectral_gap(record([6.0, 2.0], [0.0, 0.0]))
    assert (found.value, found.ratio.value) == (4.0, 3.0)
    assert str(found.ratio) == "3"
    assert spectral_gap(record([1.0, 0.0], [0.1, 0.1])).ratio.value == np.inf
    assert np.isnan(spectral_gap(record([0.0, 0.0], [0.1, 0.1])).ratio.value)


def test_gap_needs_the_two_largest():
    for bad in (
        record([3.0], [0.1]),
        record([3.0, -1.0], [0.1, 0.1], which="both"),
        record([3.0, 2.0], [0.1, 0.1], which="smallest"),
        record([-3.0, 2.0], [0.1, 0.1], which="magnitude"),
    ):
        with pytest.raises(UsageError, match="two largest"):
            spectral_gap(bad)
    assert spectral_gap(record([5.0, -4.0, 3.0], [0, 0, 0], which="magnitude")).value == 2
    assert spectral_gap(record([5.0, 3.0, -1.0, -2.0], [0, 0, 0, 0], which="both")).value == 2
    assert spectral_gap(record([5.0, 3.0], [0, 0], which="smallest", dim=2)).value == 2
