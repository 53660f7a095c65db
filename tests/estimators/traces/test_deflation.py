"""Known eigenpairs leave only the rest of the trace to the probes, and cause no bias where they are wrong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from landscape.errors import UsageError
from landscape.estimators import top_eigenpairs, trace
from landscape.operators import MatrixOperator
from tests.support.networks import dense_hessian, make
from tests.support.spectra import SPECTRA, pairs_of, with_spectrum


def test_pairs_without_their_vectors_are_refused():
    H = with_spectrum(SPECTRA["flat"])
    with pytest.raises(UsageError, match="stored or loaded without them"):
        trace(H, eigs=pairs_of(H, 2).without_vectors())


def test_eigenpairs_cost_nothing_and_leave_only_the_rest_to_the_probes():
    values = SPECTRA["ten outliers"]
    H = with_spectrum(values)
    found = trace(H, num_probes=8, eigs=pairs_of(H, 10))
    assert found.num_matvecs == 8
    assert found.method == "deflated, 8 probes"
    assert found.sem < 1e-2 * trace(H, method="hutchinson", num_probes=8).sem
    assert abs(found.value - values.sum()) <= 8 * found.sem


def test_wrong_eigenpairs_cause_no_bias_and_their_error_shows():
    """Values off by a third and vectors that are not orthogonal: what is taken from a probe has the mean put back."""
    values = SPECTRA["ten outliers"]
    H = with_spectrum(values)
    eigs = pairs_of(H, 10, error=0.05)
    eigs.values[:] *= 1.3
    found = [trace(H, num_probes=8, eigs=eigs, seed=s) for s in range(400)]
    error = np.array([e.value for e in found]) - values.sum()
    assert abs(error.mean()) <= 4 * error.std() / 20
    assert error.std() > 1
    assert np.sqrt(np.mean([e.sem**2 for e in found])) == pytest.approx(error.std(), rel=0.15)


def test_vectors_without_eigenvalues_cost_one_matvec_each_and_need_not_be_orthogonal():
    values = SPECTRA["ten outliers"]
    H = with_spectrum(values)
    mixed = pairs_of(H, 10).vectors @ np.random.default_rng(0).standard_normal((10, 10))
    found = trace(H, num_probes=16, eigs=np.c_[mixed, mixed[:, :1]])
    assert (found.num_matvecs, found.samples.size) == (16, 6)
    assert found.sem < 0.2
    assert abs(found.value - values.sum()) <= 10 * found.sem


def test_pairs_from_our_own_solver_deflate_a_real_network():
    matrix = dense_hessian(*make("cnn"))
    H = MatrixOperator((matrix + matrix.T) / 2)
    eigs = top_eigenpairs(H, 10, which="magnitude", max_matvecs=2000)
    found = [trace(H, eigs=eigs, num_probes=16, seed=s) for s in range(40)]
    plain = [trace(H, method="hutchinson", num_probes=16, seed=s) for s in range(40)]
    assert np.mean([e.sem for e in found]) < 0.7 * np.mean([e.sem for e in plain])
    hits = sum(low <= float(matrix.trace()) <= high for low, high in (e.interval() for e in found))
    assert hits >= stats.binom.ppf(0.001, 40, 0.92)
