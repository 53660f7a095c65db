"""The Krylov kernel: identities of the factorisation, at any scale, through restarts and breakdowns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.errors import LandscapeError, UsageError
from landscape.estimators.krylov.lanczos import Krylov
from landscape.estimators.matvecs import Matvecs
from landscape.estimators.probes import probe
from landscape.estimators.vectors import dot, norm
from landscape.operators import LinearOperator, MatrixOperator
from tests.support.spectra import with_spectrum


def krylov(H: LinearOperator, *, capacity: int, seed: int = 0) -> Krylov:
    def fresh(i: int) -> torch.Tensor:
        return probe(i + 1, H.dim, seed=seed, kind="gaussian", dtype=H.dtype)

    return Krylov(Matvecs(H, 10**6), fresh(-1), capacity=capacity, fresh=fresh)


def assert_factorisation(K: Krylov, H: LinearOperator) -> None:
    """AQ = QT + r eᵀ, QᵀQ = I and Qᵀr = 0, to a modest multiple of eps, in units of ‖A‖."""
    eps = torch.finfo(H.dtype).eps
    A, Q = H.dense().to(torch.float64), K.basis.to(torch.float64)
    scale = float(torch.linalg.matrix_norm(A, 2))
    r = K.residual.to(torch.float64)
    defect = A @ Q - Q @ torch.from_numpy(K.projected)
    defect[:, -1] -= r
    assert float((Q.T @ Q - torch.eye(K.size)).abs().max()) <= 40 * eps
    assert float(torch.linalg.vector_norm(defect, dim=0).max()) <= 40 * eps * scale
    assert float((Q.T @ r).abs().max()) <= 40 * eps * scale


SPECTRA = {
    "flat": np.linspace(-1, 1, 60),
    "decaying": 0.8 ** np.arange(60),
    "outliers": np.r_[50.0, 40.0, np.linspace(-0.1, 0.1, 58)],
    "dominated": np.r_[1e6, np.linspace(0, 1, 59)],
    "low rank": np.r_[3.0, 2.0, np.zeros(58)],
    "clusters": np.repeat([1.0, 2.0, 5.0], 20),
    "identity": np.ones(60),
    "zero": np.zeros(60),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-14, 1e14])
@pytest.mark.parametrize("name", SPECTRA)
def test_factorisation_holds_through_breakdowns_and_restarts(name, scale, dtype):
    H = with_spectrum(SPECTRA[name] * scale, dtype=dtype)
    K = krylov(H, capacity=12)
    for _ in range(40):
        if K.is_full:
            values, vectors = K.ritz()
            K.restart(values[-5:], vectors[:, -5:])
        K.step()
        assert_factorisation(K, H)


@given(st.integers(1, 12), st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_full_basis_has_every_eigenvalue(dim, seed):
    values = np.random.default_rng(seed).integers(-2, 3, dim).astype(float)  # many repeated, many zero
    H = with_spectrum(values, seed=seed)
    K = krylov(H, capacity=dim, seed=seed)
    while not K.spans_all:
        K.step()
    np.testing.assert_allclose(K.ritz()[0], np.sort(values), atol=1e-13)
    assert K.beta == 0


def test_orthogonality_survives_the_convergence_of_a_dominating_eigenvalue():
    """Where the plain recurrence fails: the top Ritz value converges early, and would come back as a ghost."""
    values = np.r_[1e8, np.linspace(0, 1, 199)]
    K = krylov(with_spectrum(values), capacity=80)
    for _ in range(80):
        K.step()
    ritz = K.ritz()[0]
    assert np.sum(ritz > 10) == 1
    assert_factorisation(K, with_spectrum(values))


def test_residuals_of_ritz_pairs_are_the_true_ones():
    H = with_spectrum(SPECTRA["flat"])
    K = krylov(H, capacity=20)
    for _ in range(20):
        K.step()
    values, vectors = K.ritz()
    X = K.lift(vectors)
    true = torch.linalg.vector_norm(H @ X - X * torch.from_numpy(values), dim=0).numpy()
    np.testing.assert_allclose(K.ritz_residuals(vectors), true, rtol=1e-9, atol=1e-13)


def test_breakdown_is_relative_to_the_operator_and_continues_with_finite_numbers():
    """An absolute threshold of 1e-12 would stop at once at scale 1e-14, and never at 1e14."""
    for scale in (1e-14, 1.0, 1e14):
        H = with_spectrum(scale * np.r_[3.0, 2.0, 2.0, 1.0, np.ones(16)])
        K = krylov(H, capacity=20)
        for _ in range(20):
            K.step()
            assert np.isfinite(K.projected).all()
            assert torch.isfinite(K.basis).all()
        np.testing.assert_allclose(K.ritz()[0], scale * np.r_[np.ones(17), 2.0, 2.0, 3.0], rtol=1e-12)


def test_exhausted_space_without_a_spare_vector_is_refused():
    K = Krylov(Matvecs(MatrixOperator(np.eye(3)), 9), torch.ones(3, dtype=torch.float64), capacity=3)
    K.step()
    assert K.beta == 0
    with pytest.raises(UsageError, match="fresh"):
        K.step()


def test_full_basis_must_be_restarted():
    K = krylov(with_spectrum(SPECTRA["flat"]), capacity=2)
    K.step()
    K.step()
    with pytest.raises(UsageError, match="restart"):
        K.step()


# ---- probes and matvecs


def test_probe_depends_on_seed_and_index_alone():
    first = [probe(r, 50, seed=3) for r in range(4)]
    again = [probe(r, 50, seed=3) for r in range(8)][:4]
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b)
    different = {tuple(probe(r, 50, seed=s).tolist()) for r in range(20) for s in range(20)}
    assert len(different) == 400
    assert not torch.equal(probe(1, 50, seed=0, kind="gaussian").sign(), probe(1, 50, seed=0))


def test_probe_is_the_same_in_both_dtypes():
    for kind in ("rademacher", "gaussian"):
        low, high = (probe(2, 100, seed=1, kind=kind, dtype=t) for t in (torch.float32, torch.float64))
        assert torch.equal(low, high.to(torch.float32))


def test_probes_have_mean_zero_and_unit_covariance():
    """4,000 × 25 entries: the mean is within 4 standard errors, as is each entry of the covariance (400 of them)."""
    for kind, fourth in (("rademacher", 1.0), ("gaussian", 3.0)):
        Z = torch.stack([probe(r, 25, seed=7, kind=kind) for r in range(4000)])
        assert abs(float(Z.mean())) <= 4 / np.sqrt(Z.numel())
        assert float((Z.T @ Z / 4000 - torch.eye(25)).abs().max()) <= 4.5 * np.sqrt(2 / 4000)
        assert float((Z**4).mean()) == pytest.approx(fourth, abs=0.2)
    assert set(probe(0, 1000, seed=0).tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize(
    ("index", "options"),
    [(0, {"seed": None}), (0, {"seed": -1}), (-1, {"seed": 0}), (0, {"seed": 0, "kind": "uniform"})],
)
def test_probe_refuses_what_cannot_be_repeated(index, options):
    with pytest.raises(UsageError):
        probe(index, 5, **options)


def test_norm_and_dot_survive_numbers_whose_squares_do_not_fit():
    for scale in (1e-30, 1e30):
        assert norm(torch.full((4,), scale)) == pytest.approx(2 * scale, rel=1e-6)
    assert norm(torch.zeros(3)) == 0
    many = torch.full((10**6,), 0.1)
    assert dot(many, many) == pytest.approx(10**6 * float(many[0]) ** 2, rel=1e-10)


def test_nan_in_a_matvec_is_reported_with_its_number():
    class Sick(LinearOperator):
        calls = 0

        def _matvec(self, v):
            self.calls += 1
            return v * (float("nan") if self.calls == 3 else 1.0)

    matvecs = Matvecs(Sick(4, dtype=torch.float64), 10)
    v = torch.ones(4, dtype=torch.float64)
    matvecs(v)
    matvecs(v)
    with pytest.raises(LandscapeError, match=r"matvec 3 .*NaN or Inf in 4 of 4"):
        matvecs(v)


def test_progress_sees_every_matvec():
    seen = []
    matvecs = Matvecs(MatrixOperator(np.eye(2)), 3, lambda done, maximum: seen.append((done, maximum)))
    for _ in range(3):
        matvecs(torch.ones(2, dtype=torch.float64))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert matvecs.left == 0
