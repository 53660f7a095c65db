"""Rounding of products is measured, and is part of what is said of an eigenvalue."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import landscape as ls
from landscape.operators.product_error import UNMEASURED, rounding_on
from tests.support.networks import seeded


def saturated(dtype=torch.float32, *, count=400, scale=6.0, **options):
    """A classifier that is sure of most examples: p near 1, of which float32 knows 1 − p to few digits."""

    def build():
        model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 4))
        x = torch.randn(count, 6)
        with torch.no_grad():
            model[2].weight.mul_(scale)
            y = model(x).argmax(1)
        return model, x, y

    model, x, y = seeded(build)
    return ls.Objective(model, functional.cross_entropy, (x, y), dtype=dtype, **options)


def exact_values(objective):
    H = ls.HessianOperator(objective.with_dtype(torch.float64)).dense()
    return torch.linalg.eigvalsh(H).numpy()[::-1]


@pytest.mark.parametrize("scale", [1.0, 6.0, 12.0])
def test_eigenvalues_in_float32_lie_within_their_bounds_of_those_in_float64(scale):
    objective = saturated(scale=scale)
    truth = exact_values(objective)
    for seed in range(5):
        eigs = ls.top_eigenpairs(ls.HessianOperator(objective), 5, tol=1e-6, strict=False, seed=seed)
        assert np.all(np.abs(eigs.values - truth[:5]) <= eigs.bounds)
        assert eigs.rounding <= 1e-3 * truth[0]
        assert abs(eigs.largest.value - truth[0]) <= eigs.largest.bound == eigs.bounds[0]
        assert truth[0] <= eigs.upper_bound[0]


def sure_of_all():
    """Softmax regression on four clusters with 1 − p of about 1e-5 everywhere, as at the end of a training."""

    def build():
        y = torch.arange(400) % 4
        model = nn.Linear(4, 4)
        with torch.no_grad():
            model.weight.copy_(6 * torch.eye(4) + 0.1 * torch.randn(4, 4))
        return model, 2 * torch.eye(4)[y] + 0.1 * torch.randn(400, 4), y

    model, x, y = seeded(build)
    return ls.Objective(model, functional.cross_entropy, (x, y))


def test_residuals_alone_would_say_too_little():
    """At a trained minimum rounding leaves an error that no residual shows; the bounds hold it."""
    objective = sure_of_all()
    truth, beyond = exact_values(objective)[:3], []
    for seed in range(5):
        eigs = ls.top_eigenpairs(ls.HessianOperator(objective), 3, tol=1e-7, strict=False, seed=seed)
        error = np.abs(eigs.values - truth)
        beyond.append(error > eigs.residuals)
        assert np.all(error <= eigs.bounds)
    assert np.any(beyond)


def test_what_is_measured_is_of_the_size_of_the_true_error():
    objective = saturated()
    H = ls.HessianOperator(objective)
    D = ls.HessianOperator(objective.with_dtype(torch.float64)).dense()
    eigs = ls.top_eigenpairs(H, 5, strict=False)
    U = torch.from_numpy(eigs.vectors)
    true = float(((H @ U).double() - D @ U.double()).square().sum(0).mean().sqrt())
    for seed in range(8):
        assert 0.3 * true <= rounding_on(H, eigs.values, U, seed=seed) <= 30 * true


@pytest.mark.parametrize("make", [ls.HessianOperator, ls.GaussNewtonOperator, ls.FisherOperator])
def test_operators_made_of_others_have_the_rounding_of_these(make):
    H = make(saturated())
    P = H.dim
    v = torch.linspace(-1, 1, P)
    error = H.product_error(v)
    assert float(error.norm()) > 0
    torch.testing.assert_close((2.0 * H).product_error(v), 2 * error)
    torch.testing.assert_close((H + 0.5 * ls.IdentityOperator(P)).product_error(v), error)
    scale = torch.linspace(1, 4, P)
    root = scale.double().rsqrt()
    seen = ls.PreconditionedOperator(H, scale).product_error(v)
    torch.testing.assert_close(seen, root * H.product_error(root.float() * v), rtol=1e-5, atol=0)
    V = torch.eye(P)[:, :3]
    torch.testing.assert_close(ls.ProjectedOperator(H, V).product_error(torch.ones(3)), H.product_error(V.sum(1))[:3])
    assert not ls.DeflatedOperator(H, V).product_error(v)[:3].any()
    torch.testing.assert_close(ls.exact(H).product_error(v.double()), error)
    blocks = ls.block_diagonal(H, "module")
    assert blocks.product_error(v).shape == (P,)


def test_a_matrix_is_what_it_multiplies_by():
    A = ls.MatrixOperator(torch.diag(torch.tensor([3.0, 1.0])))
    assert not A.product_error(torch.ones(2)).any()
    assert ls.top_eigenpairs(A, 1).rounding == 0


def test_where_nothing_can_be_measured_a_stated_multiple_of_eps_is_taken():
    together = saturated(interacting=True)
    for objective in (together, saturated(torch.float64)):
        H = ls.HessianOperator(objective)
        assert H.product_error(torch.ones(H.dim, dtype=H.dtype)) is None
        eigs = ls.top_eigenpairs(H, 2, strict=False)
        assert eigs.rounding == pytest.approx(UNMEASURED * H.resolution * eigs.values[0])


def test_the_same_seed_measures_the_same_and_the_model_stays_as_it_was():
    objective = saturated()
    H, v = ls.HessianOperator(objective), torch.ones(objective.layout.size)
    before, state = objective.theta, torch.random.get_rng_state()
    assert torch.equal(H.product_error(v), H.product_error(v))
    assert not torch.equal(H.product_error(v), H.product_error(v, seed=1))
    assert torch.equal(objective.theta, before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_records_of_earlier_versions_have_residuals_for_bounds():
    eigs = ls.top_eigenpairs(ls.MatrixOperator(torch.eye(3)), 1)
    np.testing.assert_array_equal(eigs.bounds, eigs.residuals)
