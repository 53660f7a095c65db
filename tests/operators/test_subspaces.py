"""Projected and deflated operators equal their dense matrices, whatever spans the subspace."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.errors import UsageError
from landscape.operators import (
    DeflatedOperator,
    MatrixOperator,
    ProjectedOperator,
)
from tests.support.matrices import symmetric


def spans(dim: int, count: int, scale: float, seed: int) -> np.ndarray:
    """Columns of very different lengths, some nearly parallel."""
    rng = np.random.default_rng(seed)
    V = rng.standard_normal((dim, count)) * 10.0 ** rng.uniform(-3, 3, count)
    V[:, 1:] += 100 * V[:, :1]
    return scale * V


@given(
    st.integers(1, 8),
    st.integers(1, 4),
    st.sampled_from([1e-14, 1.0, 1e14]),
    st.sampled_from([1e-200, 1.0, 1e150]),
    st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_projection_and_deflation_equal_their_dense_matrices(dim, count, size, scale, seed):
    count = min(count, dim)
    a, V = size * symmetric(dim, seed), spans(dim, count, scale, seed)
    inside, outside = ProjectedOperator(MatrixOperator(a), V), DeflatedOperator(a, V)
    Q = inside.basis.numpy()
    np.testing.assert_allclose(Q.T @ Q, np.eye(count), atol=1e-13)
    np.testing.assert_allclose(Q @ (Q.T @ (V / scale)), V / scale, atol=1e-12 * np.abs(V / scale).max())
    np.testing.assert_allclose(inside.dense().numpy(), Q.T @ a @ Q, atol=1e-12 * size)
    P = np.eye(dim) - Q @ Q.T
    np.testing.assert_allclose(outside.dense().numpy(), P @ a @ P, atol=1e-12 * size)
    w = np.random.default_rng(seed).standard_normal(dim)
    np.testing.assert_allclose((outside @ w).numpy(), P @ a @ P @ w, atol=1e-11 * size)
    assert inside.dim == count
    assert outside.dim == dim


def test_deflating_eigenvectors_leaves_the_other_eigenvalues():
    a = symmetric(12)
    values, vectors = np.linalg.eigh(a)
    left = torch.linalg.eigvalsh(DeflatedOperator(a, vectors[:, [0, 11]]).dense()).numpy()
    np.testing.assert_allclose(left, np.sort([*values[1:11], 0, 0]), atol=1e-13)
    kept = torch.linalg.eigvalsh(ProjectedOperator(a, vectors[:, [0, 11]]).dense()).numpy()
    np.testing.assert_allclose(kept, values[[0, 11]], atol=1e-13)


def test_an_orthonormal_basis_is_taken_as_it_is_also_with_its_signs():
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((7, 3)))[0]
    np.testing.assert_allclose(ProjectedOperator(np.eye(7), -Q).basis.numpy(), -Q, atol=1e-15)
    single = ProjectedOperator(np.eye(7, dtype=np.float32), Q)
    assert single.basis.dtype == torch.float32


@pytest.mark.parametrize(
    ("V", "message"),
    [
        (np.ones((3, 1)), r"shape \(3, 1\) does not fit; expected \(4, K\)"),
        (np.ones((4, 5)), r"1 ≤ K ≤ 4"),
        (np.ones((4, 0)), r"1 ≤ K ≤ 4"),
        (np.ones((4, 2)), "column 1 of V is zero or a combination"),
        (np.zeros(4), "column 0 of V is zero"),
        (np.array([1.0, np.nan, 0, 0]), "1 of the entries of V are NaN"),
        ([[1.0]], "not list"),
        (np.array([[1, 1], [1, 1], [1, 1], [1, 1 + 3e-7]], dtype=np.float32), "column 1 of V"),
    ],
)
def test_columns_that_span_nothing_definite_are_refused(V, message):
    for kind in (ProjectedOperator, DeflatedOperator):
        with pytest.raises(UsageError, match=message):
            kind(np.eye(4), V)
