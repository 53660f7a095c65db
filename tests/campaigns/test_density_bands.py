"""How often bands of a density at a tolerance cover the exact spectrum, of networks and of harder matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn.datasets import load_digits
from torch import nn

import landscape as ls
from tests.support.spectra import Turned

pytestmark = pytest.mark.campaign

SEEDS = 400
HARDER = {
    "low rank": np.r_[np.geomspace(1, 100, 40), np.zeros(460)],
    "two clusters": np.r_[1 + 1e-3 * np.linspace(-1, 1, 200), 2 + 1e-3 * np.linspace(-1, 1, 300)],
    "heavy tails": stats.cauchy.ppf((np.arange(500) + 0.5) / 500),
    "one above all": np.r_[1e4, np.linspace(-1, 1, 499)],
    "flat": np.linspace(0.5, 1.5, 500),
}


@pytest.fixture(scope="module")
def networks():
    """Exact float64 spectra of an MLP on the digits, P = 650, at its start, in the middle and at the end."""
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x[:300, ::2] / 16), torch.tensor(y[:300])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(32, 12), nn.Tanh(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 10)).double()
    optimizer, found = torch.optim.Adam(model.parameters(), 0.01), {}
    for step in range(601):
        if step in (0, 60, 600):
            H = ls.HessianOperator(ls.Objective(model, F.cross_entropy, (x, y)))
            found[step] = torch.linalg.eigvalsh(H.dense()).numpy()
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return found


def measured(values, *, known, **options):
    """Pointwise coverage between eigenvalues, how often the distance is within the width, and of three estimates."""
    values = np.sort(values)
    H, size = Turned(values), np.abs(values).max()
    gaps = np.flatnonzero(np.diff(values) > 1e-6 * size)
    chosen = np.unique(np.r_[gaps[:: max(1, len(gaps) // 30)], gaps[:8], gaps[-8:]])
    points = (values[chosen] + values[chosen + 1]) / 2
    truth = (chosen + 1) / len(values)
    eigs = ls.top_eigenpairs(H, known, which="both", tol=1e-6, strict=False) if known else None
    negative = float((values < -1e-6 * size).mean())
    covered, near, hits, costs = [], 0, np.zeros(3, int), []
    for seed in range(SEEDS):
        measure = ls.spectral_density(H, eigs, seed=seed + 1, strict=False, **options)
        low, _, high = measure.cdf(points)
        covered.append((low <= truth) & (truth <= high))
        near += measure.wasserstein(values) <= 2 * measure.width
        costs.append(measure.num_matvecs)
        for i, (estimate, exact) in enumerate(
            ((measure.moment(1), values.mean()), (measure.moment(2), (values**2).mean()),
             (measure.negative_mass(), negative))
        ):  # fmt: skip
            low, high = estimate.interval()
            hits[i] += low - 1e-9 * size <= exact <= high + 1e-9 * size
    worst = np.mean(covered, axis=0).min()
    print(f"{len(points)} points: worst {worst:.3f}, mean {np.mean(covered):.3f}, all at once "
          f"{np.mean(np.all(covered, axis=1)):.3f}; W1 within twice the width {near / SEEDS:.3f}; mean, second moment, "
          f"negative mass {hits / SEEDS}; {np.mean(costs):.0f} matvecs")  # fmt: skip
    return worst, near, hits


@pytest.mark.parametrize("known", [0, 5])
@pytest.mark.parametrize("options", [{"tol": 0.02, "max_matvecs": 200}, {"tol": 0.9, "num_steps": 64}], ids=str)
@pytest.mark.parametrize("name", [0, 60, 600, *HARDER])
def test_bands_cover_pointwise(name, options, known, networks):
    print(f"\n{name}, {options}, {known} known at either end: ", end="")
    worst, near, hits = measured(networks[name] if name in networks else HARDER[name], known=known, **options)
    assert worst >= stats.binom.ppf(1e-4, SEEDS, 0.95) / SEEDS
    assert near >= stats.binom.ppf(1e-4, SEEDS, 0.95)
    assert hits[2] >= stats.binom.ppf(1e-4, SEEDS, 0.95)
    assert min(hits) >= stats.binom.ppf(1e-4, SEEDS, 0.93)
