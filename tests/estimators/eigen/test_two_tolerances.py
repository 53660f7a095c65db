"""Positive eigenvalues to one residual, negative ones to another: each held to its own, by true residuals."""

from __future__ import annotations

import numpy as np
import pytest

import landscape as ls
from landscape.errors import UsageError
from landscape.operators import MatrixOperator
from tests.support.eigenproblems import exact, true_residuals

P = 400
#: Ten outliers, a bulk, and a lower end whose values lie close together near zero.
VALUES = np.r_[8.3, 6.9, 5.8, 4.6, 4.3, 3.9, 3.5, 3.1, 2.3, 1.5, 1.2 * np.arange(1, P - 9) ** -0.8]
VALUES[250:] *= -0.05
VALUES[-4:] = [-0.31, -0.28, -0.26, -0.25]
H = MatrixOperator(np.diag(VALUES))
WAYS = {
    "lanczos": {},
    "lobpcg": {"method": "lobpcg"},
    "blocks": {"block": 3},
    "a guess": {"start": np.eye(P)[:, [0, 1, P - 1]] + 1e-2},
    "a core": {"core": MatrixOperator(np.diag(VALUES * (1 + 0.02 * np.sin(np.arange(P)))))},
}


def within(eigs, tol, negative_tol, of=H):
    allowed = np.where(eigs.values > 0, tol, negative_tol) * np.abs(eigs.values)
    return (true_residuals(of, eigs) <= allowed * (1 + 1e-6)).all()


@pytest.mark.parametrize("way", WAYS)
def test_each_pair_is_within_the_tolerance_of_its_sign(way):
    eigs = ls.top_eigenpairs(H, 4, which="both", tol=1e-4, negative_tol=0.05, max_matvecs=2000, **WAYS[way])
    assert eigs.converged.all()
    assert within(eigs, 1e-4, 0.05)
    assert (np.abs(eigs.values - exact(H, 4, "both")) <= eigs.bounds + 1e-9).all()
    assert (eigs.tol, eigs.negative_tol) == (1e-4, 0.05)
    assert [eigs.tol_at(value) for value in (2.0, -2.0)] == [1e-4, 0.05]


def test_a_loose_lower_end_takes_fewer_products_and_the_upper_is_as_good():
    edge = -0.3 * (1 - (np.arange(P - 10) / P) ** (2 / 3))  # of a semicircle, as a bulk has it
    dense = MatrixOperator(np.diag(np.r_[VALUES[:10], edge]))
    loose = ls.top_eigenpairs(dense, 4, which="both", tol=1e-4, negative_tol=0.05)
    tight = ls.top_eigenpairs(dense, 4, which="both", tol=1e-4)
    assert loose.num_matvecs < 0.75 * tight.num_matvecs
    assert within(loose, 1e-4, 0.05, dense)
    assert within(tight, 1e-4, 1e-4, dense)


def test_the_other_way_round_negative_pairs_may_be_the_finer_ones():
    eigs = ls.top_eigenpairs(H, 2, which="smallest", tol=0.1, negative_tol=1e-6)
    assert within(eigs, 0.1, 1e-6)


def test_what_has_not_converged_is_told_with_the_residual_asked_of_it():
    with pytest.raises(ls.NotConverged, match=r"negative_tol=0\.05.* -0\.252 ± 0\.022 \(asked: ± 0\.01262\)"):
        ls.top_eigenpairs(H, 4, which="both", tol=1e-4, negative_tol=0.05, max_matvecs=18)


def test_of_a_matrix_that_is_known_the_record_keeps_both():
    eigs = ls.top_eigenpairs(ls.exact(H), 2, which="both", tol=1e-4, negative_tol=0.05)
    assert (eigs.tol, eigs.negative_tol) == (1e-4, 0.05)


def test_a_tolerance_that_is_no_share_is_refused_by_its_name():
    with pytest.raises(UsageError, match="negative_tol=5 must lie between 0 and 1"):
        ls.top_eigenpairs(H, 2, which="both", negative_tol=5)
