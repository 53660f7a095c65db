"""Every estimator on every operator of every kind of network, in both dtypes, against dense float64 matrices."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

import landscape as ls
from tests.support.jacobians import dense_gauss_newton, dense_jacobian, make_network
from tests.support.networks import dense_hessian

NETWORKS = ("mlp", "cnn", "deep_linear", "logistic", "tied")  # the cnn has BatchNorm in eval mode and ReLU
OPERATORS = ("hessian", "gauss_newton", "fisher", "empirical", "preconditioned", "block_diagonal")
LEVEL = 0.9999  # of the intervals that must hold the truth, for seeds laid down: some 500 of them


@cache
def network(kind):
    return make_network(kind)


@cache
def scale_of(kind):
    """The diagonal of a preconditioner, spread over two orders of magnitude."""
    size = len(dense_of(kind, "hessian"))
    return torch.logspace(-1, 1, size, dtype=torch.float64)[torch.randperm(size, generator=torch.manual_seed(4))]


@cache
def dense_of(kind, name):
    model, loss_fn, batches, likelihood = network(kind)
    if name in ("gauss_newton", "fisher"):
        return dense_gauss_newton(model, batches, likelihood)
    if name == "empirical":
        return _outer_products(model, batches, likelihood)
    hessian = dense_hessian(model, loss_fn, batches)
    if name == "preconditioned":
        root = scale_of(kind).rsqrt()
        return root[:, None] * hessian * root
    if name == "block_diagonal":
        sizes = [p.numel() for p in model.parameters() if p.requires_grad]
        return hessian * torch.block_diag(*(torch.ones(n, n, dtype=torch.float64) for n in sizes))
    return hessian


def _outer_products(model, batches, likelihood):
    """(1/N) Σ gᵢgᵢᵀ from the Jacobian and the residuals p − y, or 2(f − y)/C, written down."""
    f, J = dense_jacobian(model, batches)
    targets = torch.cat([b[1] for b in batches])
    rows, J = f.reshape(-1, f.shape[-1]), J.reshape(-1, f.shape[-1], J.shape[-1])
    if likelihood == "categorical":
        residuals = rows.softmax(-1) - torch.nn.functional.one_hot(targets.reshape(-1), rows.shape[1])
    else:
        residuals = 2 * (rows - targets.double()) / rows.shape[1]
    gradients = torch.einsum("uc,ucp->up", residuals, J)
    return gradients.T @ gradients / len(rows)


def operator_of(kind, name, dtype):
    model, loss_fn, batches, likelihood = network(kind)
    objective = ls.Objective(model, loss_fn, batches, dtype=dtype, check=False)
    if name == "gauss_newton":
        return ls.GaussNewtonOperator(objective)
    if name in ("fisher", "empirical"):
        return ls.FisherOperator(objective, kind="exact" if name == "fisher" else name, likelihood=likelihood)
    H = ls.HessianOperator(objective)
    if name == "preconditioned":
        return ls.PreconditionedOperator(H, scale_of(kind).to(dtype))
    return ls.block_diagonal(H, "tensor") if name == "block_diagonal" else H


@pytest.fixture(scope="module", params=[(k, o, d) for k in NETWORKS for o in OPERATORS for d in ("float32", "float64")],
                ids="-".join)  # fmt: skip
def case(request):
    """(operator, dense float64 matrix, what rounding may do)."""
    kind, name, dtype = request.param
    dense = dense_of(kind, name).numpy()
    dtype = getattr(torch, dtype)
    return operator_of(kind, name, dtype), dense, 1e3 * torch.finfo(dtype).eps * np.linalg.norm(dense, 2)


def assert_covers(estimate, truth, rounding):
    low, high = estimate.interval(LEVEL)
    assert low - rounding <= truth <= high + rounding


@pytest.mark.parametrize("method", ["lanczos", "lobpcg"])
def test_eigenvalues_lie_within_their_residuals(case, method):
    A, dense, rounding = case
    eigs = ls.top_eigenpairs(A, 3, method=method, max_matvecs=3000)
    exact = np.linalg.eigvalsh(dense)
    assert np.all(np.abs(eigs.values - exact[::-1][:3]) <= eigs.residuals + rounding)
    if eigs.upper_bound is not None:
        assert exact[-1] <= eigs.upper_bound[0]


@pytest.mark.parametrize("method", ["hutchinson", "hutch++", "xtrace", "deflated"])
def test_traces_lie_within_their_errors(case, method):
    A, dense, rounding = case
    eigs = ls.top_eigenpairs(A, 2, max_matvecs=3000) if method == "deflated" else None
    seen = ls.trace(A, method=method, eigs=eigs, num_probes=24)
    assert_covers(seen, np.trace(dense), len(dense) * rounding)


@pytest.mark.slow
def test_the_density_its_moments_and_the_norm_lie_within_their_errors(case):
    A, dense, rounding = case
    exact = np.linalg.eigvalsh(dense)
    overview = ls.spectrum(A, k=2, num_probes=6, num_steps=len(dense), max_matvecs=3000)
    assert_covers(overview.density.moment(1), exact.mean(), rounding)
    assert_covers(overview.trace, exact.sum(), len(dense) * rounding)
    assert_covers(overview.frobenius, np.linalg.norm(dense), len(dense) * rounding)
    assert overview.density.wasserstein(exact) <= 0.1 * np.ptp(exact)
    assert np.all(np.abs(overview.eigs.values - exact[::-1][:2]) <= overview.eigs.residuals + rounding)


@pytest.mark.slow
def test_the_diagonal_and_second_moment_lie_within_their_errors(case):
    A, dense, rounding = case
    exact = ls.diagonal(A, num_probes=len(dense))
    assert np.abs(exact.values - dense.diagonal()).max() <= rounding
    rough = ls.diagonal(A, num_probes=30)
    off = np.abs(rough.values - dense.diagonal())
    assert np.mean(off <= 3 * rough.sem + rounding) >= 0.9
    square = ls.spectral_moments(A, (2,), num_probes=24)[2]
    truth = float((dense**2).sum())
    assert_covers(square, truth, 1e-5 * truth)
