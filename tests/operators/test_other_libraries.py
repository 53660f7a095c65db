"""Anything with a shape and ``@`` becomes an operator if it is symmetric."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.sparse.linalg import LinearOperator as ScipyOperator
from scipy.sparse.linalg import aslinearoperator

from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.operators import (
    GaussNewtonOperator,
    IdentityOperator,
    LinearOperator,
    MatrixOperator,
    as_operator,
)
from tests.support.matrices import symmetric


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
