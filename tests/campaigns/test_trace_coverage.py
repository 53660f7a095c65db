"""How often the intervals of the trace family cover the truth, over 400 seeds each: what docs/accuracy.md states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from landscape.estimators import diagonal, frobenius_norm, spectral_moments, trace
from landscape.operators import MatrixOperator
from tests.support.networks import dense_hessian, make
from tests.support.spectra import Turned, like_lenet, pairs_of, with_spectrum

pytestmark = pytest.mark.campaign

SEEDS = 400
P = 200
#: The share that docs/accuracy.md states.
STATED = 0.92
SPECTRA = {
    "flat": np.linspace(0.5, 1.5, P),
    "power law": np.arange(1, P + 1) ** -2.0,
    "slow power law": np.arange(1, P + 1) ** -1.5,
    "exponential": 0.7 ** np.arange(P),
    "ten outliers": np.r_[np.linspace(5, 50, 10), np.linspace(-0.1, 0.1, P - 10)],
    "one above all": np.r_[1.0, np.full(P - 1, 1e-4)],
    "both signs": np.r_[1.0, -0.9, np.linspace(-0.05, 0.05, P - 2)],
}
CASES = [*SPECTRA, "mlp", "cnn"]


def operator(name: str) -> MatrixOperator:
    if name in SPECTRA:
        return with_spectrum(SPECTRA[name])
    matrix = dense_hessian(*make(name))
    return MatrixOperator((matrix + matrix.T) / 2)


@pytest.mark.parametrize("num_probes", [16, 32])
@pytest.mark.parametrize("method", ["auto", "hutchinson", "hutch++", "xtrace", "deflated"])
@pytest.mark.parametrize("name", CASES)
def test_intervals_of_the_trace_cover(name, method, num_probes):
    H = operator(name)
    exact = float(H.dense().trace())
    eigs = pairs_of(H, 5, error=1e-3) if method == "deflated" else None
    found = [trace(H, method=method, num_probes=num_probes, eigs=eigs, seed=s) for s in range(SEEDS)]
    hits = sum(low <= exact <= high for low, high in (e.interval() for e in found))
    error = np.array([e.value for e in found]) - exact
    print(f"{name}, {method}, {num_probes}: {hits / SEEDS:.3f}, error {error.std():.3g}")
    assert hits >= stats.binom.ppf(0.001, SEEDS, STATED)
    assert abs(error.mean()) <= 4 * error.std() / np.sqrt(SEEDS)


@pytest.mark.parametrize("method", ["hutchinson", "auto", "xtrace"])
def test_intervals_cover_where_a_tolerance_ended_the_work(method):
    H = Turned(like_lenet())
    found = [trace(H, method=method, tol=0.05, seed=s) for s in range(SEEDS)]
    hits = sum(low <= 1 <= high for low, high in (e.interval() for e in found))
    print(f"{method}: {hits / SEEDS:.3f} from {np.mean([e.num_matvecs for e in found]):.0f} matvecs")
    assert hits >= stats.binom.ppf(0.001, SEEDS, STATED)


@pytest.mark.parametrize("method", ["auto", "hutchinson", "hutch++", "deflated"])
@pytest.mark.parametrize("name", CASES)
def test_intervals_of_moments_and_norm_cover(name, method):
    H = operator(name)
    values = np.linalg.eigvalsh(H.dense().numpy())
    eigs = pairs_of(H, 5, error=1e-3) if method == "deflated" else None
    hits = np.zeros(5)
    for seed in range(SEEDS):
        moments = spectral_moments(H, method=method, num_probes=24, eigs=eigs, seed=seed)
        norm = frobenius_norm(H, method=method, num_probes=24, eigs=eigs, seed=seed)
        truths = [*((values**p).sum() for p in moments.powers), np.linalg.norm(values)]
        hits += [
            low <= x <= high for x, (low, high) in zip(truths, (e.interval() for e in [*moments, norm]), strict=True)
        ]
    print(f"{name}, {method}: {hits / SEEDS}")
    assert hits.min() >= stats.binom.ppf(0.001, SEEDS, STATED)


@pytest.mark.parametrize("method", ["auto", "hutchinson", "xdiag"])
@pytest.mark.parametrize("name", CASES)
def test_intervals_of_the_diagonal_cover_and_no_choice_biases_it(name, method):
    H = operator(name)
    exact = torch.diagonal(H.dense()).numpy()
    for num_probes in (8, 32):
        found = [diagonal(H, num_probes=num_probes, method=method, seed=s) for s in range(SEEDS)]
        inside = np.mean([(d.interval()[0] <= exact) & (exact <= d.interval()[1]) for d in found])
        errors = np.array([d.values - exact for d in found])
        spread = errors.std(axis=0)
        moving = spread > 1e-12 * np.abs(exact).max()
        scores = errors.mean(axis=0)[moving] / (spread[moving] / np.sqrt(SEEDS))
        print(f"{name}, {method}, {num_probes}: {inside:.3f}, largest score {np.abs(scores).max():.2f}")
        assert inside >= stats.binom.ppf(0.001, SEEDS, 0.95) / SEEDS
        assert np.abs(scores).max() <= stats.norm.ppf(1 - 1e-6 / len(scores))
