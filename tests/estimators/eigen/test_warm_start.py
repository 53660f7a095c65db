"""Warm starts and tracking: what they save, what they must still find, and what they must not claim."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import linalg, stats

from landscape.errors import NotConverged, UsageError
from landscape.estimators import EigenTracker, top_eigenpairs
from landscape.operators import MatrixOperator

P, OUTLIERS = 300, 10


def checkpoints(moved, *, count, seed=0):
    """Ten outliers and a bulk: eigenvectors turn by about ``moved`` radians a step, values drift by 2 %."""
    rng = np.random.default_rng(seed)
    values = np.r_[np.sort(rng.uniform(2, 20, OUTLIERS))[::-1], rng.laplace(size=P - OUTLIERS) * 0.1]
    Q = np.linalg.qr(rng.standard_normal((P, P)))[0]
    for _ in range(count):
        yield (Q * values) @ Q.T
        turn = rng.standard_normal((OUTLIERS, OUTLIERS))
        turn = (turn - turn.T) * moved / np.sqrt(4 * OUTLIERS)
        outside = rng.standard_normal((P - OUTLIERS, OUTLIERS)) * moved / np.sqrt(2 * (P - OUTLIERS))
        new = Q[:, :OUTLIERS] @ linalg.expm(turn) + Q[:, OUTLIERS:] @ outside
        Q = np.linalg.qr(np.c_[new, Q[:, OUTLIERS:]])[0]
        values = values * (1 + 0.02 * rng.standard_normal(P))


def operator(A, dtype=torch.float64):
    return MatrixOperator(torch.tensor((A + A.T) / 2, dtype=dtype))


def assert_right(eigs, H):
    A = H.dense().to(torch.float64).numpy()
    exact = np.linalg.eigvalsh(A)[::-1][: len(eigs)]
    slack = 32 * torch.finfo(H.dtype).eps * exact[0]
    assert (np.abs(eigs.values - exact) <= eigs.residuals + slack).all()
    V = eigs.vectors.astype(np.float64)
    true = np.linalg.norm(A @ V - V * eigs.values, axis=0)
    np.testing.assert_allclose(true, eigs.residuals, rtol=0.2, atol=slack)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tracking_slow_checkpoints_takes_two_fifths_of_the_matvecs_of_cold_starts(dtype):
    tracker, cold, tracked, warm, last = EigenTracker(k=2), 0, 0, 0, None
    for A in checkpoints(0.01, count=20):
        H = operator(A, dtype)
        eigs = tracker.update(H)
        assert_right(eigs, H)
        tracked += eigs.num_matvecs
        cold += top_eigenpairs(H, 2).num_matvecs
        last = top_eigenpairs(H, 2, start=last)
        assert_right(last, H)
        warm += last.num_matvecs
    # The first of the twenty is cold itself, and every fifth looks for what is not known.
    assert cold / tracked >= 2.4
    assert cold / warm >= 1.2


@pytest.mark.parametrize("moved", [0.1, 0.3, 1.0])
def test_tracking_costs_hardly_more_than_a_cold_start_however_far_the_vectors_have_moved(moved):
    tracker, cold, tracked = EigenTracker(k=2), [], []
    for A in checkpoints(moved, count=8, seed=1):
        H = operator(A)
        eigs = tracker.update(H)
        assert_right(eigs, H)
        tracked.append(eigs.num_matvecs)
        cold.append(top_eigenpairs(H, 2).num_matvecs)
    assert np.mean(tracked[1:]) <= 1.1 * np.mean(cold)


def test_where_following_does_not_pay_the_tracker_starts_afresh_and_tries_again_ever_more_rarely():
    tracker = EigenTracker(k=2)
    methods = [tracker.update(operator(A)).method for A in checkpoints(1.5, count=16, seed=2)]
    assert [i for i, method in enumerate(methods) if method == "tracked"] == [1, 3, 6, 11]


def test_where_following_pays_it_goes_on():
    tracker = EigenTracker(k=2)
    methods = [tracker.update(operator(A)).method for A in checkpoints(0.01, count=12)]
    assert methods == ["lanczos"] + ["tracked"] * 11


def test_tracking_sees_an_eigenvalue_that_overtakes_without_mixing():
    """Eigenvectors fixed, so that the guess stays an exactly invariant subspace while the third value rises through."""
    tracker = EigenTracker(k=2)
    for third in (6.0, 7.0, 7.9, 8.5, 9.5, 11.0):
        values = np.r_[10.0, 8.0, third, 4.0, 3.0, np.linspace(-0.3, 0.3, 200)]
        eigs = tracker.update(MatrixOperator(np.diag(values)))
        np.testing.assert_allclose(eigs.values, np.sort(values)[::-1][:2], rtol=2e-3)


def test_tracking_finds_a_direction_of_which_nothing_was_known_within_five_calls():
    """It rises from the middle of the bulk to the top at once, orthogonal to all eigenvectors that were outliers."""
    late = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = np.r_[10.0, 8.0, 6.0, 4.0, 3.0, rng.laplace(size=200) * 0.1]
        tracker = EigenTracker(k=2, seed=seed)
        tracker.update(MatrixOperator(np.diag(values)))
        values[100] = 12.0
        tops = [tracker.update(MatrixOperator(np.diag(values))).values[0] for _ in range(10)]
        late.append(int(np.argmax(np.abs(np.array(tops) - 12) < 0.02)) if max(tops) > 11 else 10)
    # The watch at the fifth call sees it with 95 % probability: more than 4 of 20 fail once in 400 times.
    assert np.sum(np.array(late) > 4) <= 4


@pytest.mark.parametrize("which", ["largest", "smallest", "both", "magnitude"])
def test_tracking_works_at_every_end(which):
    tracker = EigenTracker(k=2, which=which)
    for t in range(4):
        values = np.r_[9.0 + t, 7.0, 4.0, np.linspace(-0.5, 0.5, 150), -4.0, -6.0 - t, -10.5]
        eigs = tracker.update(MatrixOperator(np.diag(values)))
        order = np.argsort(-np.abs(values)) if which == "magnitude" else np.argsort(-values)
        expected = {"largest": order[:2], "smallest": order[-2:], "both": np.r_[order[:2], order[-2:]]}
        np.testing.assert_allclose(eigs.values, values[expected.get(which, order[:2])], rtol=2e-3)
        assert eigs.method == ("tracked" if t else "lanczos")
        assert (eigs.upper_bound is None) == bool(t)


@pytest.mark.parametrize(
    "values", [np.zeros(40), np.full(40, 3.0), np.r_[1.0], np.r_[2.0, -1.0], 1e-14 * np.arange(30.0)]
)
def test_tracking_degenerate_operators_works(values):
    k = min(2, len(values))
    tracker = EigenTracker(k=k)
    for _ in range(3):
        eigs = tracker.update(MatrixOperator(np.diag(values)))
        np.testing.assert_allclose(eigs.values, np.sort(values)[::-1][:k], atol=1e-3 * np.abs(values).max() + 1e-30)


def test_tracking_goes_on_after_a_call_that_did_not_converge():
    tracker = EigenTracker(k=2, max_matvecs=8, tol=1e-6)
    H = MatrixOperator(np.diag(np.r_[9.0, 7.0, 4.0, np.linspace(-0.5, 0.5, 150)]))
    with pytest.raises(NotConverged) as info:
        tracker.update(H)
    assert tracker.eigenpairs is info.value.partial
    for _ in range(3):
        try:
            eigs = tracker.update(H)
        except NotConverged:
            continue
        np.testing.assert_allclose(eigs.values, [9, 7], atol=1e-5)
        return
    raise AssertionError("it did not profit from what it had")


def test_tracking_another_size_is_refused():
    tracker = EigenTracker(k=1)
    tracker.update(MatrixOperator(np.eye(3)))
    with pytest.raises(UsageError, match="P=4"):
        tracker.update(MatrixOperator(np.eye(4)))
    with pytest.raises(UsageError, match="rank=0"):
        EigenTracker(rank=0)


def test_an_exact_guess_costs_its_own_products_and_the_watch():
    values = np.r_[9.0, 7.0, 4.0, np.linspace(-0.1, 0.1, 300)]
    H = MatrixOperator(np.diag(values))
    eigs = top_eigenpairs(H, 2, start=np.eye(303)[:, :2])
    assert eigs.num_matvecs <= 2 + 12
    np.testing.assert_allclose(eigs.values, [9, 7], atol=1e-12)


def test_eigenpairs_are_accepted_as_a_start_unless_stored_without_vectors():
    H = MatrixOperator(np.diag(np.r_[9.0, 7.0, 4.0, np.linspace(-0.1, 0.1, 300)]))
    cold = top_eigenpairs(H, 2)
    warm = top_eigenpairs(H, 2, start=cold)
    np.testing.assert_allclose(warm.values, cold.values, rtol=1e-5)
    assert warm.num_matvecs < cold.num_matvecs
    with pytest.raises(UsageError, match="without vectors"):
        top_eigenpairs(H, 2, start=cold.without_vectors())


def test_more_vectors_than_pairs_and_fewer_are_accepted():
    H = MatrixOperator(np.diag(np.r_[9.0, 7.0, 4.0, 3.0, np.linspace(-0.1, 0.1, 300)]))
    four = top_eigenpairs(H, 4)
    np.testing.assert_allclose(top_eigenpairs(H, 2, start=four).values, [9, 7], rtol=1e-3)
    np.testing.assert_allclose(top_eigenpairs(H, 4, start=four.vectors[:, 0]).values, [9, 7, 4, 3], rtol=1e-3)


def test_a_guess_blind_to_the_largest_eigenvalue_finds_it_nearly_always():
    """The guess is exactly the second and third eigenvector: no residual tells, the watch does at 95 %."""
    missed = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        values = np.sort(np.r_[rng.uniform(2, 20, 10), rng.laplace(size=190) * 0.1])[::-1]
        eigs = top_eigenpairs(MatrixOperator(np.diag(values)), 2, start=np.eye(200)[:, 1:3], seed=seed)
        missed += bool((np.abs(eigs.values - values[:2]) > eigs.residuals + 1e-9).any())
    assert missed <= stats.binom.ppf(0.999, 60, 0.05)
