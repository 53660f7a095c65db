"""Principal angles, shares and attributions against closed forms, at the edges where formulas lose digits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.errors import UsageError
from landscape.estimators import (
    class_attribution,
    gradient_share,
    layer_attribution,
    principal_angles,
    top_eigenpairs,
)
from landscape.operators import MatrixOperator
from landscape.params import ParamLayout


@given(
    st.lists(st.floats(0, np.pi / 2), min_size=1, max_size=4),
    st.integers(0, 3),
    st.sampled_from([1e-14, 1.0, 1e14]),
    st.integers(0, 10**6),
)
@settings(max_examples=100, deadline=None)
def test_angles_that_were_built_in_come_out(angles, extra, scale, seed):
    """Planes turned by known angles, seen in random coordinates and random bases; one space may be larger."""
    k, rng = len(angles), np.random.default_rng(seed)
    dim = 2 * k + extra + 2
    E = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    first = E[:, :k]
    second = first * np.cos(angles) + E[:, k : 2 * k] * np.sin(angles)
    second = np.c_[second, E[:, 2 * k : 2 * k + extra]]
    mix = [np.linalg.qr(rng.standard_normal((m, m)))[0] for m in (k, k + extra)]
    found = principal_angles(scale * first @ mix[0], second @ mix[1])
    np.testing.assert_allclose(found.angles, np.sort(angles), atol=3e-14)
    assert found.overlap == pytest.approx(np.mean(np.cos(angles) ** 2), abs=1e-13)
    swapped = principal_angles(second @ mix[1], scale * first @ mix[0])
    np.testing.assert_allclose(swapped.angles, found.angles, atol=3e-14)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-9, 1e-5])
def test_small_angles_keep_their_digits_where_the_cosine_has_lost_them(angle):
    rng = np.random.default_rng(0)
    E = np.linalg.qr(rng.standard_normal((50, 4)))[0]
    turned = np.c_[np.cos(angle) * E[:, 0] + np.sin(angle) * E[:, 2], E[:, 1]]
    found = principal_angles(E[:, :2], turned @ np.array([[1.0, 2.0], [0.5, -1.0]]))
    np.testing.assert_allclose(found.angles, [0.0, angle], atol=1e-14)


def test_angles_take_tensors_vectors_and_eigenpairs():
    H = MatrixOperator(np.diag([5.0, 4.0, 1.0, 0.5, 0.1]))
    eigs = top_eigenpairs(H, 2, tol=1e-12)
    found = principal_angles(eigs, torch.eye(5)[:, :2])
    np.testing.assert_allclose(found.angles, [0, 0], atol=1e-10)
    assert principal_angles(torch.tensor([1.0, 0.0]), np.array([0, 2])).angles[0] == pytest.approx(np.pi / 2)
    assert found.dims == (2, 2)
    assert "overlap" in str(found)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.eye(3)[:, :1], np.eye(4)[:, :1], "same P"),
        (np.ones((3, 2)), np.eye(3), "dependent"),
        (np.zeros(3), np.eye(3), "zero"),
        (np.full(3, np.nan), np.eye(3), "NaN"),
        (np.ones((3, 0)), np.eye(3), "at least one column"),
        (np.ones((2, 3)), np.eye(2), "independent"),
    ],
)
def test_what_spans_no_subspace_is_refused(first, second, message):
    with pytest.raises(UsageError, match=message):
        principal_angles(first, second)


def test_gradient_share_is_the_squared_cosine():
    g = np.array([3.0, 4.0, 12.0])
    assert gradient_share(g, np.eye(3)[:, :2]).value == pytest.approx(25 / 169)
    assert gradient_share(1e200 * g, np.eye(3), k=1).value == pytest.approx(9 / 169)
    assert gradient_share(torch.tensor(g), np.eye(3)).value == pytest.approx(1)
    # Columns that are not orthonormal span the same space.
    assert gradient_share(g, np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])).value == pytest.approx(25 / 169)
    for bad in (np.zeros(3), np.ones(2)):
        with pytest.raises(UsageError):
            gradient_share(bad, np.eye(3))
    with pytest.raises(UsageError, match="k=4"):
        gradient_share(g, np.eye(3), k=4)


@pytest.mark.parametrize("tol", [0.2, 1e-2, 1e-4])
def test_the_error_of_the_gradient_share_covers_the_truth(tol):
    values = np.r_[9.0, 7.0, 4.0, np.linspace(-0.5, 0.5, 100)]
    H = MatrixOperator(np.diag(values))
    for seed in range(20):
        g = np.random.default_rng(seed).standard_normal(103) + 5 * np.eye(103)[0]
        found = gradient_share(g, top_eigenpairs(H, 3, tol=tol, seed=seed), k=2)
        exact = (g[:2] @ g[:2]) / (g @ g)
        assert found.bound is not None
        assert abs(found.value - exact) <= found.bound + 1e-12
    assert found.bound <= 10 * tol
    assert gradient_share(g, top_eigenpairs(H, 2), k=2).bound is None  # nothing says where the rest begins


def test_where_residuals_leave_no_gap_the_share_may_be_anything():
    eigs = top_eigenpairs(MatrixOperator(np.diag([9.0, 7.0, 6.9, 1.0, 0.5])), 3)
    blurred = dataclasses.replace(eigs, residuals=np.array([0.01, 0.06, 0.06]))
    found = gradient_share(np.arange(1.0, 6), blurred, k=2)
    assert found.value - found.bound <= 0 or found.value + found.bound >= 1


def test_layer_attribution_sums_to_one_and_knows_names_and_modules():
    with torch.random.fork_rng():
        model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    layout = ParamLayout.of(model)
    V = np.random.default_rng(0).standard_normal((layout.size, 3)) * 1e160
    found = layer_attribution(V, layout)
    assert set(found.names) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    np.testing.assert_allclose(found.shares.sum(1), 1, rtol=1e-12)
    place = layout.slices()["1.weight"]
    U = V / 1e160
    expected = (U[place] ** 2).sum(0) / (U**2).sum(0)
    np.testing.assert_allclose(found.shares[:, found.names.index("1.weight")], expected, rtol=1e-12)
    modules = layer_attribution(torch.from_numpy(V), layout, groups="module")
    assert modules.names == ("0", "1")
    np.testing.assert_allclose(
        modules.shares[:, 1], found.shares[:, [found.names.index(n) for n in ("1.weight", "1.bias")]].sum(1)
    )
    assert "%" in str(modules)
    with pytest.raises(UsageError, match="length 3"):
        layer_attribution(np.ones(3), layout)


def test_class_attribution_gives_squared_cosines_and_the_share_in_the_span():
    G = np.array([[2.0, 0, 0, 0], [1.0, 1.0, 0, 0], [0, 0, 3.0, 0]])
    V = np.array([[1.0, 0, 0, 0], [0, 0, 1, 1]]).T
    found = class_attribution(V, G, names=["cat", "dog", "bird"])
    np.testing.assert_allclose(found.shares, [[1, 0.5, 0], [0, 0, 0.5]], atol=1e-15)
    np.testing.assert_allclose(found.explained, [1, 0.5], atol=1e-12)
    assert "cat 100 %" in str(found)
    # Gradients that sum to zero, as at a stationary point, span one dimension less.
    dependent = class_attribution(V, np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [-1, -1, 0, 0]]))
    np.testing.assert_allclose(dependent.explained, [1, 0], atol=1e-12)
    for bad in (np.ones((2, 3)), np.zeros((2, 4)), np.ones(4)):
        with pytest.raises(UsageError):
            class_attribution(V, bad)


def test_outliers_of_softmax_regression_lie_in_the_span_of_class_gradients():
    """Clusters far apart: the Hessian is Σ over classes, and its top space is that of the class means."""
    rng = np.random.default_rng(0)
    means = 4 * np.linalg.qr(rng.standard_normal((6, 3)))[0].T
    labels = np.repeat(np.arange(3), 40)
    X = torch.tensor(means[labels] + 0.1 * rng.standard_normal((120, 6)))
    targets = torch.tensor(labels)

    def loss(theta, x, t):
        return torch.nn.functional.cross_entropy(x @ theta.reshape(6, 3), t)

    theta = torch.zeros(18, dtype=torch.float64)
    A = torch.autograd.functional.hessian(lambda t: loss(t, X, targets), theta)
    rows = []
    for c in range(3):
        for other in range(3):  # the derivative of class c's logit gap: Papyan's cross-class gradients
            mine = targets == c
            wrong = torch.full((int(mine.sum()),), other)
            rows.append(torch.autograd.functional.jacobian(lambda t, m=mine, w=wrong: loss(t, X[m], w), theta))
    eigs = top_eigenpairs(MatrixOperator(A), 6)
    found = class_attribution(eigs, torch.stack(rows))
    assert (found.explained >= 0.99).all()
