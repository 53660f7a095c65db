"""The kit of all Krylov methods: bases taken out to rounding, eigenvalues at any scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from landscape.estimators.krylov.projection import eigh, orthogonalise, outside

EPS = float(torch.finfo(torch.float64).eps)
PACKAGE = Path(__file__).parents[3] / "landscape"


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthonormal(dim, count, seed=0):
    return torch.linalg.qr(random(dim, count, seed=seed)).Q


@pytest.mark.parametrize("share", [1.0, 1e-8, 1e-14])
def test_a_vector_that_all_but_lies_in_the_basis_comes_out_orthogonal_to_it(share):
    """One sweep leaves eps·‖v‖ of the basis in what is left, which of 1e-14·‖v‖ is a percent."""
    Q = orthonormal(40, 6)
    fresh = outside(random(40, seed=1), Q)
    v = Q @ random(6, seed=2) + share * fresh
    for left in (outside(v, Q), outside(v[:, None], Q)[:, 0]):
        assert (Q.T @ left).norm() <= 10 * EPS * max(left.norm(), EPS)
    w = v.clone()
    found = orthogonalise(w, Q.T.contiguous())
    assert (Q.T @ w).norm() <= 10 * EPS * w.norm()
    assert np.allclose(found, (Q.T @ v).numpy(), atol=1e-13)
    assert (Q @ torch.from_numpy(found) + w - v).norm() <= 10 * EPS * v.norm()


def test_known_vectors_are_taken_out_too_and_are_none_of_the_overlaps():
    Q = orthonormal(30, 5)
    known, rows = Q[:, :2].T.contiguous(), Q[:, 2:].T.contiguous()
    w = random(30, seed=3)
    v = w.clone()
    found = orthogonalise(w, rows, known=known)
    assert np.allclose(found, (rows @ v).numpy())
    assert (Q.T @ w).norm() <= 10 * EPS * w.norm()


def test_arrays_are_taken_as_tensors_are():
    Q, v = orthonormal(20, 3), random(20, seed=4)
    assert np.allclose(outside(v.numpy(), Q.numpy()), outside(v, Q).numpy(), rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_eigenvalues_are_right_at_any_scale(scale):
    """NumPy's own squares the entries, so that 1e-200 would come back as zero or with half its digits."""
    V, values = orthonormal(4, 4).numpy(), np.array([-2.0, 0.5, 1.0, 3.0])
    found, vectors = eigh(scale * (V * values) @ V.T)
    assert np.allclose(found / scale, values, rtol=1e-13)
    assert np.allclose(np.abs(vectors.T @ V), np.eye(4), atol=1e-12)


def test_a_zero_matrix_and_an_empty_one_have_their_eigenvalues():
    assert eigh(np.zeros((2, 2)))[0].tolist() == [0.0, 0.0]
    assert eigh(np.zeros((0, 0)))[0].shape == (0,)


def test_small_eigenproblems_are_solved_in_one_place():
    files = [*(PACKAGE / "estimators").rglob("*.py"), PACKAGE / "geometry" / "sharpness" / "ascent.py"]
    assert [p.name for p in files if "linalg.eigh(" in p.read_text()] == ["projection.py"]
