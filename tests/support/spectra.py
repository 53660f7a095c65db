"""Matrices of known spectrum: made from lists of eigenvalues, exactly degenerate, large, or rounded inside."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from scipy import fft

from landscape.operators import LinearOperator, MatrixOperator
from landscape.results import Eigenpairs


def with_spectrum(values, *, seed=0, dtype=torch.float64) -> MatrixOperator:
    dim = len(values)
    q = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0]
    a = (q * np.asarray(values)) @ q.T
    return MatrixOperator(torch.tensor((a + a.T) / 2, dtype=dtype))


@st.composite
def spectra(draw):
    """Clusters, zeros, both signs, one value above all, scales from 1e-14 to 1e14, dimension 1."""
    kind = draw(st.sampled_from(["any", "clusters", "zeros", "dominated", "one"]))
    dim = 1 if kind == "one" else draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.standard_normal(dim)
    if kind == "clusters":
        values = rng.choice([-1.0, 0.5, 2.0], dim) * (1 + 1e-9 * rng.standard_normal(dim))
    if kind == "zeros":
        values[rng.random(dim) < 0.7] = 0.0
    if kind == "dominated":
        values[0] = 1e6
    return values * draw(st.sampled_from([1e-14, 1.0, 1e14]))


#: Small ones, for estimates of sums over the spectrum.
SPECTRA = {
    "flat": np.linspace(0.5, 1.5, 60),
    "decaying": np.arange(1, 61) ** -1.5,
    "ten outliers": np.r_[np.linspace(5, 50, 10), np.linspace(-0.1, 0.1, 50)],
    "one above all": np.r_[1.0, np.zeros(59)],
    "both signs": np.r_[1.0, -0.9, np.linspace(-0.05, 0.05, 58)],
}


class Turned(LinearOperator):
    """A large matrix of known spectrum whose eigenvectors, signed cosines, have no large entry."""

    def __init__(self, values, *, seed=0):
        super().__init__(len(values), dtype=torch.float64)
        self.values = np.asarray(values)[:, None]
        self.signs = np.random.default_rng(seed).choice([-1.0, 1.0], (len(values), 1))

    def vectors(self, count):
        return self.signs * fft.idct(np.eye(self.dim, count), axis=0, norm="ortho")

    def _matmat(self, V):
        inside = self.values * fft.dct(self.signs * V.numpy(), axis=0, norm="ortho")
        return torch.as_tensor(self.signs * fft.idct(inside, axis=0, norm="ortho"))

    def _matvec(self, v):
        return self._matmat(v[:, None])[:, 0]


def pairs_of(H, count, *, error=0.0) -> Eigenpairs:
    """The first eigenpairs by |λ|, turned away from the truth by about ``error`` and no longer orthogonal."""
    values, vectors = np.linalg.eigh(H.dense().double().numpy())
    order = np.argsort(-np.abs(values))[:count]
    vectors = vectors[:, order] + error * np.random.default_rng(1).standard_normal((H.dim, len(order)))
    vectors /= np.linalg.norm(vectors, axis=0)
    nothing = np.zeros(len(order))
    return Eigenpairs(values[order], vectors, nothing, nothing == 0, 0, "", "magnitude", "", 1e-3, 0, H.dim)


def like_lenet() -> np.ndarray:
    """15 outliers that carry 60 % of the trace, 1, over a bulk of P = 2000."""
    outliers, bulk = np.linspace(8, 1, 15), np.random.default_rng(0).exponential(size=1985)
    return np.r_[0.6 * outliers / outliers.sum(), 0.4 * bulk / bulk.sum()]


def clusters(seed, width, dim=20):
    """Three clusters of random sizes."""
    rng = np.random.default_rng(seed)
    return rng.choice([-1.0, 0.5, 2.0], dim) * (1 + width * rng.standard_normal(dim))


class RoundedProducts(LinearOperator):
    """float64 outside, float32 inside: what a model that casts its activations down makes of a Hessian."""

    def __init__(self, H: LinearOperator) -> None:
        super().__init__(H.dim, dtype=torch.float64)
        self._single = H.dense().float()

    @property
    def resolution(self) -> float:
        return float(torch.finfo(torch.float32).eps)

    def _matvec(self, v: torch.Tensor) -> torch.Tensor:
        return (self._single @ v.float()).double()

    def _matmat(self, V: torch.Tensor) -> torch.Tensor:
        return torch.stack([self._matvec(v) for v in V.T], dim=1)
