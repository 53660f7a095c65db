"""Operators are matrices that are known by their products."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import eigsh

from landscape.errors import LandscapeError, UsageError
from landscape.operators import (
    IdentityOperator,
    LinearOperator,
    MatrixOperator,
)
from landscape.operators import base as operators_base
from tests.support.matrices import symmetric


class Diagonal(LinearOperator):
    """A subclass as a user would write it: only _matvec."""

    def __init__(self, entries: torch.Tensor) -> None:
        super().__init__(len(entries), dtype=entries.dtype)
        self.entries = entries

    def _matvec(self, v: torch.Tensor) -> torch.Tensor:
        return self.entries * v


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_equal_those_of_the_matrix(dtype):
    a = torch.tensor(symmetric(7), dtype=dtype)
    v, V = torch.randn(7, 3, generator=torch.Generator().manual_seed(1), dtype=dtype).split([1, 2], dim=1)
    H = MatrixOperator(a)
    torch.testing.assert_close(H @ v[:, 0], a @ v[:, 0])
    torch.testing.assert_close(H @ V, a @ V)
    assert (H @ v[:, 0]).dtype == dtype
    assert H.shape == (7, 7)


def test_numpy_vectors_are_converted_to_the_dtype_of_the_operator():
    H = MatrixOperator(torch.eye(3))
    reversed_view = np.arange(3.0)[::-1]
    read_only = np.arange(3.0)
    read_only.flags.writeable = False
    for v in (reversed_view, read_only, np.arange(3)):
        out = H @ v
        assert out.dtype == torch.float32
        np.testing.assert_array_equal(out.numpy(), v)


def test_loop_over_columns_equals_the_products_one_by_one():
    H = Diagonal(torch.arange(5.0))
    V = torch.ones(5, 3) * torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(H @ V, torch.arange(5.0)[:, None] * V)
    assert (H @ torch.empty(5, 0)).shape == (5, 0)


def test_wrong_shape_is_refused_with_both_shapes():
    H = MatrixOperator(np.eye(4))
    for bad in (torch.ones(3), torch.ones(3, 4), torch.ones(4, 1, 1), torch.tensor(1.0)):
        with pytest.raises(UsageError, match=r"\(4, 4\)") as info:
            H @ bad
        assert str(tuple(bad.shape)) in str(info.value)
    with pytest.raises(UsageError, match="list"):
        H @ [1.0, 2.0, 3.0, 4.0]
    with pytest.raises(UsageError, match="complex"):
        H @ torch.ones(4, dtype=torch.complex64)


def test_product_of_two_operators_is_refused():
    with pytest.raises(UsageError, match=r"A @ \(B @ v\)"):
        MatrixOperator(np.eye(2)) @ MatrixOperator(np.eye(2))


def test_nan_in_a_product_is_not_hidden():
    out = Diagonal(torch.tensor([1.0, float("nan"), float("inf")])) @ torch.ones(3)
    assert torch.isnan(out[1])
    assert torch.isinf(out[2])


def test_operator_that_returns_another_shape_is_named():
    class Wrong(Diagonal):
        def _matvec(self, v):
            return v[:2]

    with pytest.raises(LandscapeError, match=r"Wrong returned .*\(2,\).*\(3,\)"):
        Wrong(torch.ones(3)) @ torch.ones(3)


def test_products_carry_no_autograd_history():
    v = torch.ones(3, requires_grad=True)
    assert not (MatrixOperator(torch.eye(3)) @ v).requires_grad


@given(st.integers(1, 6), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_algebra_equals_that_of_matrices(dim, c, d, seed):
    a, b = symmetric(dim, seed), symmetric(dim, seed + 1)
    A, B, one = MatrixOperator(a), MatrixOperator(b), IdentityOperator(dim)
    for combined, expected in [
        (A + B, a + b),
        (A - B, a - b),
        (-A, -a),
        (c * A, c * a),
        (A * c, c * a),
        (np.float64(c) * A, c * a),
        (torch.tensor(c, dtype=torch.float64) * A, c * a),
        (A / 4, a / 4),
        (A + c * one, a + c * np.eye(dim)),
        (c * one - A, c * np.eye(dim) - a),
        (A + (c * one + d * one), a + (c + d) * np.eye(dim)),
        (2 * (A - B) + c * one, 2 * (a - b) + c * np.eye(dim)),
    ]:
        size = 1 + abs(c) + abs(d)
        np.testing.assert_allclose(combined.dense().numpy(), expected, rtol=1e-12, atol=1e-13 * size)
        V = np.random.default_rng(seed).standard_normal((dim, 2))
        np.testing.assert_allclose((combined @ V).numpy(), expected @ V, rtol=1e-10, atol=1e-11 * size)


def test_identity_takes_the_dtype_of_its_partner_on_either_side():
    H = MatrixOperator(torch.eye(3))
    for combined in (H + IdentityOperator(3), IdentityOperator(3) + H, 0.5 * IdentityOperator(3) - H):
        assert combined.dtype == torch.float32
    assert IdentityOperator(3).dtype == torch.float64
    assert (IdentityOperator(3) @ np.arange(3.0)).tolist() == [0, 1, 2]


def test_operators_that_do_not_match_are_refused():
    A = MatrixOperator(torch.eye(3))
    with pytest.raises(UsageError, match=r"\(3, 3\).*\(4, 4\)"):
        A + IdentityOperator(4)
    with pytest.raises(UsageError, match=r"float64.*float32|float32.*float64"):
        A + MatrixOperator(np.eye(3))
    with pytest.raises(UsageError, match="float64"):
        A + IdentityOperator(3, dtype=torch.float64)
    with pytest.raises(TypeError):
        A + 1
    with pytest.raises(TypeError):
        A * "2"
    with pytest.raises(UsageError, match="nan"):
        float("nan") * A
    with pytest.raises(UsageError, match="zero"):
        A / 0


def test_dense_of_an_operator_equals_its_matrix_across_blocks():
    a = symmetric(150)  # more than two blocks of columns

    class Hidden(LinearOperator):
        def __init__(self) -> None:
            super().__init__(150, dtype=torch.float64)

        def _matvec(self, v):
            return torch.from_numpy(a) @ v

    np.testing.assert_allclose(Hidden().dense().numpy(), a, atol=1e-15)


def test_dense_refuses_what_would_not_fit_and_says_how_large_it_is():
    with pytest.raises(UsageError, match=r"50000.*GB"):
        Diagonal(torch.ones(50_000)).dense()
    assert operators_base.MAX_DENSE_DIM == 20_000


def test_scipy_finds_the_same_eigenvalues_through_to_scipy():
    a = symmetric(40)
    A = MatrixOperator(a.astype(np.float32)).to_scipy()
    assert A.dtype == np.float32
    found = eigsh(A, k=3, which="LA", return_eigenvectors=False, v0=np.ones(40, dtype=np.float32))
    np.testing.assert_allclose(np.sort(found), np.linalg.eigvalsh(a)[-3:], rtol=1e-4)
    np.testing.assert_allclose(A @ np.ones((40, 2)), a @ np.ones((40, 2)), rtol=1e-4, atol=1e-4)
    assert A.matvec(np.ones((40, 1))).shape == (40, 1)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)), "not square"),
        (np.ones(3), "not square"),
        (np.empty((0, 0)), "not square"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "NaN or Inf"),
        (np.array([[1.0, 2.0], [0.0, 1.0]]), "not symmetric"),
        (1e-200 * np.array([[1.0, 2.0], [0.0, 1.0]]), "not symmetric"),
        (np.eye(2, dtype=np.float16), "float32 or torch.float64"),
        (np.eye(2, dtype=complex), "float32 or torch.float64"),
    ],
)
def test_matrix_that_is_no_symmetric_operator_is_refused(matrix, message):
    with pytest.raises(UsageError, match=message):
        MatrixOperator(matrix)


def test_matrix_symmetric_to_rounding_is_accepted_and_copied():
    a = symmetric(30) * 1e14
    a[0, 1] *= 1 + 1e-15
    H = MatrixOperator(a)
    dense = H.dense().numpy().copy()
    np.testing.assert_array_equal(dense, dense.T)
    a[:] = 0
    np.testing.assert_array_equal(H.dense().numpy(), dense)
    assert MatrixOperator(np.array([[2, 1], [1, 2]])).dtype == torch.float64


def test_block_needs_names():
    with pytest.raises(UsageError, match=r"fc\*.*MatrixOperator knows no parameter names"):
        MatrixOperator(np.eye(2)).block("fc*")
    with pytest.raises(UsageError, match=r"MatrixOperator knows no parameter names"):
        MatrixOperator(np.eye(2)).blocks()
