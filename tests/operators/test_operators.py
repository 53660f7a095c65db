"""Operators are matrices that are known by their products."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.linalg import LinearOperator as ScipyOperator
from scipy.sparse.linalg import aslinearoperator, eigsh

from landscape.errors import LandscapeError, UsageError
from landscape.objective import Objective
from landscape.operators import (
    DeflatedOperator,
    GaussNewtonOperator,
    IdentityOperator,
    LinearOperator,
    MatrixOperator,
    ProjectedOperator,
    as_operator,
)
from landscape.operators import base as operators_base


def symmetric(dim: int, seed: int = 0) -> np.ndarray:
    a = np.random.default_rng(seed).standard_normal((dim, dim))
    return (a + a.T) / 2


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


class Bare:
    """What a user might write: a shape and @, for one kind of array only."""

    def __init__(self, a, *, only_vectors=False):
        self.a, self.shape, self.only_vectors = a, tuple(a.shape), only_vectors

    def __matmul__(self, v):
        if type(v) is not type(self.a) or (self.only_vectors and v.ndim != 1):
            raise TypeError(f"no {type(v).__name__} of shape {tuple(v.shape)}")
        return self.a @ v


FOREIGN = {
    "array": lambda a: a,
    "tensor": torch.from_numpy,
    "ours": MatrixOperator,
    "sparse matrix": sparse.csr_matrix,
    "sparse array": sparse.coo_array,
    "sparse tensor": lambda a: torch.from_numpy(a).to_sparse(),
    "SciPy operator": aslinearoperator,
    "SciPy operator of vectors": lambda a: ScipyOperator(a.shape, matvec=lambda v: a @ v, dtype=a.dtype),
    "bare, NumPy": Bare,
    "bare, torch": lambda a: Bare(torch.from_numpy(a)),
    "bare, one vector at a time": lambda a: Bare(torch.from_numpy(a), only_vectors=True),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_anything_with_a_shape_and_at_becomes_an_operator(kind):
    a = symmetric(9)
    A = as_operator(FOREIGN[kind](a))
    assert isinstance(A, LinearOperator)
    assert A.dtype == torch.float64
    V = np.random.default_rng(2).standard_normal((9, 3))
    np.testing.assert_allclose((A @ V).numpy(), a @ V, atol=1e-13)
    np.testing.assert_allclose((A @ V[:, 0]).numpy(), a @ V[:, 0], atol=1e-13)
    np.testing.assert_allclose((A + IdentityOperator(9)).dense().numpy(), a + np.eye(9), atol=1e-13)


def test_a_foreign_operator_keeps_its_dtype_or_takes_the_one_that_is_asked_for():
    a = symmetric(5)
    single, whole = sparse.csr_matrix(a.astype(np.float32)), sparse.csr_matrix(np.eye(5, dtype=np.int64))
    assert as_operator(single).dtype == torch.float32
    assert as_operator(whole).dtype == torch.float64
    assert as_operator(single, dtype=torch.float64).dtype == torch.float64
    assert as_operator(a, dtype=torch.float32).dtype == torch.float32
    half = Bare(torch.from_numpy(a).float())
    half.dtype = torch.float32
    wide = as_operator(half, dtype=torch.float64)
    np.testing.assert_allclose((wide @ np.ones(5)).numpy(), a @ np.ones(5), rtol=1e-5, atol=1e-6)
    H = MatrixOperator(a)
    assert as_operator(H) is H


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (sparse.csr_matrix(np.triu(np.ones((6, 6)))), "csr_matrix is not symmetric"),
        (1e-150 * np.triu(np.ones((6, 6))), "not symmetric"),
        (Bare(torch.triu(1e-150 * torch.ones(6, 6, dtype=torch.float64))), "Bare is not symmetric"),
        (sparse.csr_matrix(np.ones((2, 3))), r"shape \(2, 3\) is not square"),
        (Bare(np.ones(3)), r"shape \(3,\) is not square"),
        (sparse.csr_matrix(np.eye(2, dtype=complex)), "complex128 cannot carry"),
        (3.0, r"float is no operator: it has no .shape and A @ v"),
        ([[1.0]], r"list is no operator: it has no .shape and A @ v"),
        (Bare(torch.eye(2, dtype=torch.float16)), "multiplies neither a tensor nor a NumPy array"),
    ],
)
def test_what_is_no_symmetric_operator_is_refused(matrix, message):
    with pytest.raises(UsageError, match=message):
        as_operator(matrix)


def test_the_check_of_symmetry_can_be_left_out_and_does_not_hide_nan():
    lopsided = sparse.csr_matrix(np.triu(np.ones((4, 4))))
    assert as_operator(lopsided, check=False).dim == 4
    broken = as_operator(sparse.csr_matrix(np.diag([1.0, np.nan])))
    assert bool(torch.isnan(broken @ np.ones(2)).any())


def test_operators_of_curvlinops_are_taken_as_they_are():
    curvlinops = pytest.importorskip("curvlinops")
    with torch.random.fork_rng():  # theirs draws numbers of its own
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2).double()
        x, y = torch.randn(8, 3).double(), torch.randint(2, (8,))
        loss_fn = torch.nn.CrossEntropyLoss()
        A = as_operator(curvlinops.GGNLinearOperator(model, loss_fn, list(model.parameters()), [(x, y)]))
        ours = GaussNewtonOperator(Objective(model, loss_fn, (x, y)))
        torch.testing.assert_close(A.dense(), ours.dense())


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
