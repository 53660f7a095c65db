"""Eigenpairs from a core: right whatever the core, dearer than a fresh start only where the core is poor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import landscape as ls
from landscape.errors import NotConverged, UsageError
from landscape.estimators.eigen.core_model import CoreModel
from landscape.estimators.eigen.rest import largest_below
from landscape.estimators.matvecs import Matvecs
from landscape.operators import LinearOperator, MatrixOperator
from landscape.operators.core import CoreOperator, Draw
from tests.support.classified import LOSSES, STAGES, classified
from tests.support.eigenproblems import WHICH, exact, true_residuals

P = 400
#: Like that of a classifier: ten outliers over a bulk that falls off, a few negative ones.
VALUES = np.r_[8.3, 6.9, 5.8, 4.6, 4.3, 3.9, 3.5, 3.1, 2.3, 1.5, 1.2 * np.arange(1, P - 9) ** -0.8]
VALUES[250:] *= -0.05


class Counted(LinearOperator):
    """Counts its products by itself."""

    def __init__(self, H):
        super().__init__(H.dim, dtype=H.dtype)
        self._H, self.count = H, 0

    def _matvec(self, v):
        self.count += 1
        return self._H @ v


def near(error, seed=0, values=VALUES):
    """H, and ``H^½(1 + error·GOE)H^½``: an operator off by a relative error, as a draw of examples is."""
    rng = np.random.default_rng(seed)
    X, root = rng.standard_normal((len(values), len(values))), np.sqrt(np.abs(values))
    noise = error * root[:, None] * (X + X.T) / np.sqrt(2) * root
    return MatrixOperator(np.diag(values)), MatrixOperator(np.diag(values) + noise)


def assert_right(eigs, H, k, which="largest"):
    assert eigs.converged.all()
    assert (np.abs(eigs.values - exact(H, k, which)) <= eigs.residuals + 1e-9).all()
    np.testing.assert_allclose(true_residuals(H, eigs), eigs.residuals, rtol=0.05, atol=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("stage", STAGES)
def test_pairs_from_a_fifth_of_the_data_are_those_of_the_dense_hessian(stage, loss):
    H = ls.HessianOperator(classified(stage, loss, N=900, width=12), route="retained")
    eigs = ls.top_eigenpairs(H, 3, tol=1e-3, core=0.2)
    assert_right(eigs, H, 3)
    assert eigs.method == "core"
    assert eigs.upper_bound[0] >= exact(H, 1, "largest")[0]


@pytest.mark.slow
@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("error", [0.0, 0.01, 0.1, 1.0])
def test_pairs_are_right_at_every_end_however_far_off_the_core_is(which, error):
    H, core = near(error)
    assert_right(ls.top_eigenpairs(H, 2, which=which, core=core), H, 2, which)


def test_products_with_both_operators_are_counted_as_they_are_made():
    H, core = map(Counted, near(0.01))
    core.share = 0.25
    eigs = ls.top_eigenpairs(H, 5, core=core)
    assert eigs.num_matvecs == H.count
    assert eigs.core_products == pytest.approx(core.count * 0.25)
    assert f"{eigs.core_products:.1f} more on parts of the data" in str(eigs)


@pytest.mark.parametrize(("error", "tol", "most"), [(0.003, 1e-2, 5), (0.003, 1e-3, 10), (0.01, 1e-2, 10)])
def test_a_near_core_leaves_one_product_or_two_for_each_pair_on_all_data(error, tol, most):
    """A fresh start takes 19 to 21."""
    for seed in range(3):
        H, core = near(error, seed)
        assert ls.top_eigenpairs(H, 5, tol=tol, core=core, watch=False, seed=seed).num_matvecs <= most
        assert ls.top_eigenpairs(H, 5, tol=tol, seed=seed).num_matvecs >= 18


def test_a_core_that_says_nothing_costs_at_most_two_and_a_half_fresh_starts():
    H = near(0.0)[0]
    core = MatrixOperator(np.diag(np.random.default_rng(1).permutation(VALUES)))
    eigs = ls.top_eigenpairs(H, 5, core=core)
    assert_right(eigs, H, 5)
    assert eigs.num_matvecs <= 2.5 * ls.top_eigenpairs(H, 5).num_matvecs


@pytest.mark.slow
def test_upper_bounds_from_cores_hold_and_are_close():
    """At 99.9 % each: of 60 none fails but once in 17 times, two once in 500."""
    close, failed = [], 0
    for seed in range(60):
        H, core = near(0.01, seed)
        bound, confidence = ls.top_eigenpairs(H, 1, tol=1e-2, core=core, seed=seed).upper_bound
        assert confidence == 0.999
        failed += bound < VALUES[0]
        close.append(bound / VALUES[0] - 1)
    assert failed <= 1
    assert np.median(close) <= 0.02


def test_an_eigenvalue_of_which_the_core_holds_nothing_is_seen_by_the_watch_or_lies_below_its_bound():
    """Larger than all others, orthogonal to whatever the core shows."""
    values, seen = VALUES.copy(), 0
    values[300] = 12.0
    for seed in range(20):
        H, core = MatrixOperator(np.diag(values)), near(0.01, seed)[1]
        eigs = ls.top_eigenpairs(H, 3, tol=1e-2, core=core, seed=seed)
        assert eigs.upper_bound is None or eigs.upper_bound[0] >= 12.0
        seen += abs(eigs.values[0] - 12.0) < 0.1
        assert ls.top_eigenpairs(H, 3, tol=1e-2, core=core, seed=seed, watch=False).upper_bound is None
    assert seen >= 15


@pytest.mark.parametrize("seed", range(4))
def test_the_bound_on_a_matrix_with_a_known_rest_holds_and_is_met(seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((12, 12))
    A = A + A.T
    T, B, rest = A[:4, :4], A[4:, :4], np.linalg.eigvalsh(A[4:, 4:])[-1]
    assert largest_below(T, B.T @ B, rest) >= np.linalg.eigvalsh(A)[-1] - 1e-9
    # Where all of B goes to what is worst, it is the eigenvalue itself.
    A[4:, 4:] = rest * np.eye(8)
    assert largest_below(T, B.T @ B, rest) == pytest.approx(np.linalg.eigvalsh(A)[-1])


def test_an_automatic_core_says_why_there_is_none():
    x, y = torch.arange(60.0).reshape(20, 3).sin(), torch.arange(20) % 2
    with torch.random.fork_rng(devices=[]):
        model = torch.nn.Linear(3, 2)
    few = ls.HessianOperator(ls.Objective(model, F.cross_entropy, (x, y)))
    assert "too few examples" in ls.top_eigenpairs(few, 2, core="auto").method
    matrix = ls.top_eigenpairs(MatrixOperator(np.diag(VALUES)), 2, core="auto")
    assert "no mean over examples" in matrix.method
    assert matrix.num_matvecs == ls.top_eigenpairs(MatrixOperator(np.diag(VALUES)), 2).num_matvecs
    pairs = ls.Objective(model, F.cross_entropy, (x, y), interacting=True)
    assert "no mean over examples" in ls.top_eigenpairs(ls.HessianOperator(pairs), 2, core="auto").method


def test_what_is_no_core_is_refused():
    H = MatrixOperator(np.diag(VALUES))
    for given, said in {"all": "'all'", 1.5: "core=1.5", 0.5: "draws examples"}.items():
        with pytest.raises(UsageError, match=said):
            ls.top_eigenpairs(H, 2, core=given)
    with pytest.raises(UsageError, match="must have the size"):
        ls.top_eigenpairs(H, 2, core=MatrixOperator(np.eye(3)))
    for other in ({"method": "power"}, {"block": 2}):
        with pytest.raises(UsageError, match=next(iter(other))):
            ls.top_eigenpairs(H, 2, core="auto", **other)


def test_matvecs_beyond_the_maximum_are_never_made():
    H, core = near(0.3)
    with pytest.raises(NotConverged) as info:
        ls.top_eigenpairs(H, 5, tol=1e-4, core=core, max_matvecs=10)
    assert info.value.partial.num_matvecs == 10


@pytest.mark.parametrize("which", ["largest", "both"])
def test_a_core_begun_from_a_guess_gives_the_pairs_of_the_dense_hessian_for_fewer_products_with_the_core(which):
    """The guess is of a point a little apart, as of the checkpoint before."""
    H = ls.HessianOperator(classified("end", N=900, width=12), route="retained")
    there = H.at(H.theta + 1e-3 * torch.from_numpy(np.random.default_rng(0).standard_normal(H.dim)))
    guess = ls.top_eigenpairs(there, 2, which=which, tol=1e-3)
    both = ls.top_eigenpairs(H, 2, which=which, tol=1e-3, core=0.2, start=guess)
    assert_right(both, H, 2, which)
    assert both.upper_bound is None
    assert both.num_matvecs < ls.top_eigenpairs(H, 2, which=which, tol=1e-3, start=guess).num_matvecs
    assert both.core_products < ls.top_eigenpairs(H, 2, which=which, tol=1e-3, core=0.2).core_products


def test_both_ends_from_a_core_take_three_fifths_of_what_a_fresh_start_does():
    """In products on all data, those on the core by its share: the same pairs to the same residuals."""
    H = ls.HessianOperator(classified("end", N=900, width=16), route="retained")
    core = ls.top_eigenpairs(H, 2, which="both", tol=5e-3, core="auto")
    fresh = ls.top_eigenpairs(H, 2, which="both", tol=5e-3)
    assert core.method == "core"
    assert_right(core, H, 2, "both")
    assert core.products == core.num_matvecs + core.core_products
    assert core.products <= 0.6 * fresh.num_matvecs
    # Corrections of the residuals alone, without what the core makes of them, take 42.
    assert ls.top_eigenpairs(H, 2, which="both", core=0.2).num_matvecs <= 36
    assert np.isnan(fresh.products)


@pytest.mark.parametrize("watch", [True, False])
def test_a_pair_of_an_example_outside_of_the_core_is_found_by_the_watch_alone(watch):
    """Least squares with one long example along a direction of its own, left out of a draw that is right but for it.

    The guess is exact there: its residuals vanish, and nothing but a random vector can show what is missing.
    """
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((200, 60)) * np.linspace(2, 0.1, 60))
    x[:, 59] = 0.0
    x = torch.cat([torch.eye(60, dtype=x.dtype)[59:] * 60.0, x, x])
    with torch.random.fork_rng(devices=[]):
        model = torch.nn.Linear(60, 1, bias=False).double()
    loss = torch.nn.MSELoss()
    H = ls.HessianOperator(ls.Objective(model, loss, (x, torch.zeros(401, 1, dtype=x.dtype))))
    core = CoreOperator(H, Draw(((np.arange(1, 201), 2.0),), 0.05))
    known, largest = torch.linalg.eigh(core.dense()).eigenvectors[:, -2:], 2 * 60.0**2 / 401
    for seed in range(5):
        eigs = ls.top_eigenpairs(H, 2, tol=1e-2, core=core, start=known, watch=watch, seed=seed)
        assert (abs(eigs.values[0] - largest) <= eigs.residuals[0] + 1e-9) == watch


def test_a_model_takes_in_more_vectors_than_it_was_to_hold_and_knows_their_products():
    core = near(0.3)[1]
    model = CoreModel(
        Matvecs(core, 300), torch.eye(4, P).double(), core.dense()[:, :4].T.contiguous(), size=4, capacity=6
    )
    V = torch.linalg.qr(torch.from_numpy(np.random.default_rng(0).standard_normal((P, 20)))).Q
    model.cover(V)
    for v in V.T:
        torch.testing.assert_close(model.image(v), core @ v)
