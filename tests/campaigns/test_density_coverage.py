"""Densities and what is read from them: how often bands and intervals cover, and how near they come on a network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn.datasets import load_digits
from torch import nn

import landscape as ls
from tests.support.spectra import with_spectrum

pytestmark = pytest.mark.campaign

SEEDS = 500
P = 200
SPECTRA = {
    "flat": np.linspace(0.5, 1.5, P),
    "decaying": np.arange(1, P + 1) ** -1.5,
    "ten outliers": np.r_[np.linspace(5, 50, 10), np.linspace(-0.1, 0.1, P - 10)],
    "one above all": np.r_[1.0, 1e-3 * np.linspace(-1, 1, P - 1)],
    "copies": np.r_[12.0, np.full(30, 7.0), np.full(3, 3.0), np.linspace(-0.5, 0.5, P - 34)],
}


def hit(estimate, truth):
    low, high = estimate.interval()
    return low <= truth <= high


def points_of(values):
    """Between neighbouring eigenvalues, some of the bulk and all of the outliers."""
    gaps = np.flatnonzero(np.diff(values) > 1e-9)
    chosen = np.unique(np.r_[gaps[::10], gaps[-12:]])
    return (values[chosen] + values[chosen + 1]) / 2


@pytest.mark.parametrize("known", [0, 10])
@pytest.mark.parametrize("name", SPECTRA)
def test_cdf_bands_cover_pointwise(name, known):
    values = np.sort(SPECTRA[name])
    H = with_spectrum(values)
    points = points_of(values)
    exact = np.searchsorted(values, points, side="right") / P
    covered = []
    for seed in range(SEEDS):
        eigs = ls.top_eigenpairs(H, known, seed=seed, strict=False) if known else None
        low, _, high = ls.spectral_density(H, eigs, num_probes=8, num_steps=24, seed=seed).cdf(points)
        covered.append((low <= exact) & (exact <= high))
    print(f"{name}, {known} known: worst point {np.mean(covered, axis=0).min():.3f}, mean {np.mean(covered):.3f}, "
          f"all points at once {np.mean(np.all(covered, axis=1)):.3f}")  # fmt: skip
    assert np.mean(covered, axis=0).min() >= stats.binom.ppf(0.001, SEEDS, 0.95) / SEEDS


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SPECTRA)
def test_intervals_of_a_spectrum_cover(name, dtype):
    """Trace, norm and second moment, with eigenvectors taken out that come from the same probes."""
    values = np.sort(SPECTRA[name])
    H = with_spectrum(values, dtype=dtype)
    points = points_of(values)
    exact = np.searchsorted(values, points, side="right") / P
    truths = {"trace": values.sum(), "frobenius": np.linalg.norm(values), "second moment": (values**2).mean()}
    hits, known, covered = dict.fromkeys(truths, 0), [], []
    for seed in range(SEEDS):
        found = ls.spectrum(H, k=3, num_probes=8, num_steps=24, seed=seed, strict=False)
        estimates = found.trace, found.frobenius, found.density.moment(2)
        for (label, truth), estimate in zip(truths.items(), estimates, strict=True):
            hits[label] += hit(estimate, truth)
        low, _, high = found.density.cdf(points)
        covered.append((low <= exact) & (exact <= high))
        known.append(found.density.num_known)
    rates = {label: round(count / SEEDS, 3) for label, count in hits.items()}
    print(f"{name}, {dtype}: {rates}, band at its worst point {np.mean(covered, axis=0).min():.3f}, "
          f"{np.mean(known):.1f} eigenvalues known")  # fmt: skip
    assert min(hits.values()) >= stats.binom.ppf(0.001, SEEDS, 0.93)
    assert np.mean(covered, axis=0).min() >= stats.binom.ppf(0.001, SEEDS, 0.95) / SEEDS


class ByItsEigenvalues(ls.LinearOperator):
    """A large matrix with a known spectrum: a diagonal between reflections."""

    def __init__(self, values, *, dtype):
        super().__init__(len(values), dtype=dtype)
        generator = torch.Generator().manual_seed(0)
        mirrors = torch.randn(3, len(values), dtype=torch.float64, generator=generator)
        self.values = torch.as_tensor(np.array(values)).to(dtype)
        self.mirrors = (mirrors / mirrors.norm(dim=1, keepdim=True)).to(dtype)

    def _matmat(self, V):
        for w in self.mirrors:
            V = V - 2 * w[:, None] * (w @ V)
        V = self.values[:, None] * V
        for w in self.mirrors.flip(0):
            V = V - 2 * w[:, None] * (w @ V)
        return V

    def _matvec(self, v):
        return self._matmat(v[:, None])[:, 0]


@pytest.mark.parametrize("which", ["largest", "both"])
def test_one_spectrum_costs_less_than_its_parts_and_knows_more(which):
    """P = 2000 as of a network with ten classes: what each way costs and how exact it is."""
    values = np.sort(np.r_[np.geomspace(2, 40, 10), np.random.default_rng(0).laplace(size=1990) * 0.05])[::-1]
    H = ByItsEigenvalues(values, dtype=torch.float32)
    found = ls.spectrum(H, k=5, which=which)
    eigs, density = ls.top_eigenpairs(H, 5, which=which), ls.spectral_density(H)
    trace = ls.trace(H, method="hutchinson", num_probes=8)
    separate = eigs.num_matvecs + density.num_matvecs + 2 * trace.num_matvecs
    print(f"together {found.num_matvecs} matvecs: trace {found.trace}, norm {found.frobenius}, W1 "
          f"{found.density.wasserstein(values):.2e}; apart {separate}: trace {trace}, W1 "
          f"{density.wasserstein(values):.2e}; exactly {values.sum():.4f}, {np.linalg.norm(values):.4f}")  # fmt: skip
    assert found.num_matvecs < separate
    assert found.eigs.converged.all()
    assert found.trace.sem < 0.15 * trace.sem
    assert abs(found.trace.value - values.sum()) <= 4 * found.trace.sem
    assert found.density.num_outliers().value == pytest.approx(10)


@pytest.fixture(scope="module")
def network():
    """(Hessian operator in float32, its exact eigenvalues) of an MLP with P = 2,410 after some training."""
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x[:600] / 16, dtype=torch.float32), torch.tensor(y[:600])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 10))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    exact = torch.linalg.eigvalsh(
        ls.HessianOperator(ls.Objective(model, F.cross_entropy, (x, y), dtype=torch.float64)).dense()
    )
    return ls.HessianOperator(ls.Objective(model, F.cross_entropy, (x, y))), exact.numpy()


def test_the_density_of_a_network_lies_within_3e_4_of_the_range_of_its_whole_spectrum(network):
    """Ten probes of a hundred steps, by three ways to the same matvecs."""
    H, exact = network
    assert len(exact) == 2410
    eigs = ls.top_eigenpairs(H, 10)
    for seed in range(5):
        plain = ls.spectral_density(H, num_probes=10, num_steps=100, seed=seed)
        known = ls.spectral_density(H, eigs, num_probes=10, num_steps=100, seed=seed)
        found = ls.spectrum(H, k=5, num_probes=10, num_steps=100, seed=seed)
        distances = [m.wasserstein(exact) for m in (plain, known, found.density)]
        print(f"seed {seed}: plain {distances[0]:.2e}, ten known {distances[1]:.2e}, spectrum {distances[2]:.2e} "
              f"({found.density.num_known} known, {found.num_matvecs} matvecs), step error {plain.step_error:.1e}; "
              f"trace {found.trace} of {exact.sum():.4f}; {found.density.num_outliers().mass} outliers")  # fmt: skip
        assert max(distances[1:]) <= 3e-4
        assert distances[0] <= 2e-3  # the outliers' masses are random here
        assert abs(found.trace.value - exact.sum()) <= 5 * found.trace.sem
