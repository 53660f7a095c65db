"""Lanczos runs in lockstep: each is a factorisation of its own, whatever others step beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.estimators import probe, spectral_density, top_eigenpairs
from landscape.estimators.krylov.lanczos import Krylov
from landscape.estimators.krylov.several_starts import Lockstep, runs_at_once
from landscape.estimators.matvecs import Matvecs
from landscape.operators import LinearOperator, MatrixOperator
from tests.support.densities import SPECTRA
from tests.support.spectra import with_spectrum


class Counted(LinearOperator):
    """A matrix that notes how many columns each product had."""

    def __init__(self, matrix: MatrixOperator):
        super().__init__(matrix.dim, dtype=matrix.dtype)
        self.matrix, self.columns = matrix, []

    def _matvec(self, v):
        return self._matmat(v[:, None])[:, 0]

    def _matmat(self, V):
        self.columns.append(V.shape[1])
        return self.matrix @ V


def starts(H, count, *, kind="rademacher"):
    return torch.stack([probe(r, H.dim, seed=0, kind=kind, dtype=H.dtype) for r in range(count)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("deflated", [False, True])
def test_every_run_in_lockstep_is_a_lanczos_factorisation_of_its_own(dtype, deflated):
    """A Q = Q T + r eᵀ, QᵀQ = I, Qᵀr = 0, of A or of (I − UUᵀ)A(I − UUᵀ); one run of a block ends early."""
    H = with_spectrum(SPECTRA["outliers and bulk"][:120], dtype=dtype)
    a = H.dense()
    q0 = starts(H, 4, kind="gaussian")
    known = None
    if deflated:
        # Not quite eigenvectors: the identity is that of the projected matrix, whatever it projects out.
        known = torch.linalg.qr(torch.linalg.eigh(a)[1][:, -3:] + 0.01 * q0[:3].T)[0]
        keep = torch.eye(120, dtype=dtype) - known @ known.T
        a, q0 = keep @ a @ keep, q0 @ keep
    else:
        H = MatrixOperator(torch.diag(torch.linalg.eigvalsh(a)))
        a, q0[2] = H.dense(), torch.eye(120, dtype=dtype)[[0, -3, -1]].sum(0)  # three eigenvectors, exactly
    runs = Lockstep(Matvecs(H, 200), q0, steps=20, known=known)
    runs.run()
    slack = 300 * torch.finfo(dtype).eps
    for r in range(4):
        Q, T, rest = runs.basis(r), torch.from_numpy(runs.projected(r)).to(dtype), runs.residual(r)
        size = Q.shape[1]
        if r == 2 and not deflated:
            assert size == 3
        left = a @ Q - Q @ T
        left[:, -1] -= rest
        assert left.abs().max() <= slack * 50
        assert (Q.T @ Q - torch.eye(size, dtype=dtype)).abs().max() <= slack
        assert (Q.T @ rest).abs().max() <= slack * 50
        if known is not None:
            assert (known.T @ Q).abs().max() <= slack


def test_a_run_in_lockstep_is_the_run_alone():
    H = with_spectrum(SPECTRA["outliers and bulk"])
    runs = Lockstep(Matvecs(H, 1000), starts(H, 3), steps=25)
    runs.run()
    for r in range(3):
        alone = Krylov(Matvecs(H, 1000), probe(r, H.dim, seed=0), capacity=25)
        for _ in range(25):
            alone.step()
        np.testing.assert_allclose(runs.projected(r), alone.projected, atol=1e-9)


def test_each_step_is_one_product_of_at_most_sixteen_columns():
    H = Counted(with_spectrum(SPECTRA["decaying"]))
    spectral_density(H, num_probes=5, num_steps=7)
    assert H.columns == [5] * 7
    H.columns.clear()
    assert spectral_density(H, num_probes=20, num_steps=3).num_matvecs == 60
    assert H.columns == [16] * 3 + [4] * 3


def test_probes_that_have_ended_are_not_multiplied_any_more():
    H = Counted(MatrixOperator(np.ones((3, 3))))
    measure = spectral_density(H, num_probes=10, num_steps=3)
    short = int((measure.betas[:, 0] == 0).sum())
    assert 0 < short < 10
    assert H.columns == [10, 10 - short]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_measure_does_not_depend_on_how_many_probes_step_together(monkeypatch, dtype):
    H = with_spectrum(SPECTRA["outliers and bulk"], dtype=dtype)
    eigs = top_eigenpairs(H, 3)
    for known in (None, eigs):
        measures = []
        for count in (1, 3, 16):
            monkeypatch.setattr("landscape.estimators.density.slq.runs_at_once", lambda *_, count=count: count)
            measures.append(spectral_density(H, known, num_probes=8, num_steps=16))
        for other in measures[1:]:
            np.testing.assert_allclose(other.alphas, measures[0].alphas, atol=3e4 * torch.finfo(dtype).eps)
            assert other.wasserstein(measures[0]) <= 100 * torch.finfo(dtype).eps


def test_the_basis_stays_within_a_gibibyte_and_one_run_always_goes():
    for dim, steps, itemsize in ((100, 64, 8), (10**6, 64, 4), (3 * 10**6, 100, 4), (10**8, 64, 4), (61_706, 64, 4)):
        count = runs_at_once(dim, steps, itemsize)
        assert 1 <= count <= 16
        assert count == 1 or count * (steps + 1) * dim * itemsize <= 2**30
    assert runs_at_once(100, 64, 8) == 16
    assert runs_at_once(10**6, 64, 4) == 4
