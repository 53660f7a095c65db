"""The whole way from network to number, against dense float64 Hessians made by another route."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binom, wasserstein_distance

import landscape as ls
from tests.support.networks import KINDS, dense_hessian, make


@pytest.fixture(scope="module", params=KINDS)
def network(request):
    """(kind, model, loss_fn, batches, dense float64 Hessian) with batches of 7, 4 and 2 examples."""
    model, loss_fn, batches = make(request.param)
    return model, loss_fn, batches, dense_hessian(model, loss_fn, batches).numpy()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", ["lanczos", "power"])
def test_the_first_five_eigenvalues_lie_within_their_residuals(network, dtype, method):
    model, loss_fn, batches, dense = network
    H = ls.HessianOperator(ls.Objective(model, loss_fn, batches, dtype=dtype))
    eigs = ls.top_eigenpairs(
        H, 5, method=method, max_matvecs=3000, strict=False, tol=1e-2 if method == "power" else 1e-3
    )
    exact = np.linalg.eigvalsh(dense)[::-1][:5]
    rounding = 32 * torch.finfo(dtype).eps * abs(exact).max()
    settled = eigs.converged
    assert settled[0]
    assert method == "power" or settled.all()
    assert np.all(abs(eigs.values - exact)[settled] <= eigs.residuals[settled] + rounding)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_reported_residuals_are_true_within_twenty_percent(network, dtype):
    """Recomputed with the dense float64 matrix; a loose tolerance leaves residuals far above rounding."""
    model, loss_fn, batches, dense = network
    H = ls.HessianOperator(ls.Objective(model, loss_fn, batches, dtype=dtype))
    eigs = ls.top_eigenpairs(H, 5, which="both", tol=0.2, strict=False)
    vectors = eigs.vectors.astype(float)
    true = np.linalg.norm(dense @ vectors - vectors * eigs.values, axis=0)
    rounding = 32 * torch.finfo(dtype).eps * np.abs(np.linalg.eigvalsh(dense)).max()
    assert np.all(abs(true - eigs.residuals) <= 0.2 * true + rounding)


@pytest.mark.slow
def test_trace_intervals_cover_as_often_as_they_say(network):
    """400 seeds; the limits are those that a coverage of 95 % leaves once in a thousand times."""
    dense = network[3]
    H, exact = ls.MatrixOperator(dense), np.trace(dense)
    inside = 0
    for seed in range(400):
        low, high = ls.trace(H, num_probes=16, seed=seed).interval(0.95)
        inside += low <= exact <= high
    assert inside >= binom.ppf(5e-4, 400, 0.95)
    assert inside <= binom.ppf(1 - 5e-4, 400, 0.95)


@pytest.mark.slow
def test_the_density_lies_near_the_spectrum(network):
    model, loss_fn, batches, dense = network
    H = ls.HessianOperator(ls.Objective(model, loss_fn, batches))
    measure = ls.spectral_density(H, num_probes=16, num_steps=64)
    exact = np.linalg.eigvalsh(dense)
    distance = wasserstein_distance(measure.nodes.ravel(), exact, u_weights=np.maximum(measure.weights.ravel(), 0))
    # The probe error falls with the number of parameters: 6e-3 is for a few hundred.
    assert distance / np.ptp(exact) <= 6e-3 * max(1.0, (300 / len(exact)) ** 0.5)
