"""Hessian-vector products against dense Hessians made by another route, and against finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import landscape as ls
from landscape.hvp import linearized, reverse
from tests.support.landscapes import built, draw
from tests.support.networks import KINDS, dense_hessian, make
from tests.support.products import EAGER, seeded_vector

EPS = torch.finfo(torch.float64).eps


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("route", EAGER)
def test_hvp_equals_the_dense_hessian_of_all_examples_at_once(kind, dtype, limit, route):
    """Batches of 7, 4 and 2: a mean of batch means would be far off."""
    model, loss_fn, batches = make(kind)
    exact = dense_hessian(model, loss_fn, batches)
    objective = ls.Objective(model.to(dtype), loss_fn, batches, chunk=None)
    H = ls.HessianOperator(objective, route=route)
    assert H.dim == len(exact)
    for seed in range(3):
        v = seeded_vector(H.dim, seed)
        expected = exact @ v
        assert (H @ v.to(dtype) - expected).norm() <= limit * expected.norm()


@pytest.mark.parametrize("kind", KINDS)
def test_the_value_does_not_depend_on_the_chunk_size(kind):
    model, loss_fn, batches = make(kind)
    v = None
    for chunk in (1, 3, 5, 100, None):
        objective = ls.Objective(model, loss_fn, batches, chunk=chunk, check=False)
        v = seeded_vector(objective.layout.size, 0) if v is None else v
        seen = torch.cat([objective.gradient(), objective.hvp(v), torch.tensor([objective.loss()])])
        if chunk == 1:
            first = seen
        assert (seen - first).norm() <= 1e-13 * first.norm()


def uneven_regression():
    """Least squares on batches of 8 and 2: H = (2/N) XᵀX, whatever θ is."""
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(10, 6, generator=generator, dtype=torch.float64)
    y = torch.randn(10, 1, generator=generator, dtype=torch.float64)
    with torch.random.fork_rng():
        model = torch.nn.Linear(6, 1, bias=False).double()
    batches = [(X[:8], y[:8]), (X[8:], y[8:])]
    return ls.Objective(model, torch.nn.functional.mse_loss, batches, chunk=None), 2 / 10 * X.T @ X


@pytest.mark.parametrize("scale", [1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3])
@pytest.mark.parametrize("at_zero", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_hvp_equals_central_difference_of_gradient(scale, at_zero, seed):
    """On a quadratic the difference quotient has no truncation error, only roundoff."""
    objective, hessian = uneven_regression()
    theta = torch.zeros(6, dtype=torch.float64) if at_zero else seeded_vector(6, seed)
    v = scale * seeded_vector(6, seed + 100)
    step = EPS ** (1 / 3) * max(float(theta.norm()), 1.0) / v.norm()  # scaled, so that ‖v‖ does not matter
    g_plus, g_minus = objective.gradient(theta + step * v), objective.gradient(theta - step * v)
    roundoff = 100 * EPS * (g_plus.norm() + g_minus.norm()) / (2 * step)
    hv = objective.hvp(v, theta)
    assert (hv - (g_plus - g_minus) / (2 * step)).norm() <= roundoff  # two routes agree
    assert (hv - hessian @ v).norm() <= 100 * EPS * hv.norm()  # and so does the algebra
    assert roundoff <= 1e-6 * hv.norm()  # and the first line is not vacuous


@pytest.mark.parametrize("kind", ["mlp", "tied", "cnn"])
def test_a_block_is_the_submatrix_of_the_dense_hessian(kind):
    model, loss_fn, batches = make(kind)
    exact = dense_hessian(model, loss_fn, batches)
    objective = ls.Objective(model, loss_fn, batches)
    pattern = {"mlp": "2.*", "tied": "mlp*,wte*", "cnn": "conv*.weight"}[kind]
    rows = torch.cat([torch.arange(len(exact))[objective.layout.slices()[n]] for n in objective.layout.select(pattern)])
    block = ls.HessianOperator(objective).block(pattern).dense()
    expected = exact[rows][:, rows]
    assert (block - expected).norm() <= 1e-10 * expected.norm()


def test_a_block_stays_at_the_operators_theta_not_at_the_models():
    model, loss_fn, batches = make("mlp")
    objective = ls.Objective(model, loss_fn, batches)
    elsewhere = objective.theta + 0.5 * seeded_vector(objective.layout.size, 4)
    whole = ls.HessianOperator(objective, elsewhere)
    where = objective.layout.slices()["0.weight"]
    block = whole.block("0.weight").dense()
    assert (block - whole.dense()[where, where]).norm() <= 1e-12 * block.norm()


def test_an_operator_keeps_its_point_when_the_model_trains_on():
    model, loss_fn, batches = make("cnn")
    objective = ls.Objective(model, loss_fn, batches)
    for route in ("fresh", "retained", "linearized"):
        H = ls.HessianOperator(objective, route=route)
        v = seeded_vector(H.dim, 0)
        before = H @ v
        with torch.no_grad():
            for tensor in [*model.parameters(), model.bn.running_mean]:
                tensor += 0.1
        assert torch.equal(H @ v, before)
        assert not torch.allclose(objective.hvp(v), before)


def test_graphs_are_kept_only_where_they_fit_the_memory():
    model, loss_fn, batches = make("cnn")
    objective = ls.Objective(model, loss_fn, batches)
    with_room, without = (
        ls.HessianOperator(objective, expected_matvecs=1, **memory).plan for memory in ({}, {"memory": 1000})
    )
    assert "retained" in {candidate.route for candidate in with_room.candidates}
    assert "retained" not in {candidate.route for candidate in without.candidates}
    assert without.route in ("fresh", "forward")
    with pytest.raises(ls.UsageError, match="'fastest' is not one of 'auto', 'fresh', 'retained'"):
        ls.HessianOperator(objective, route="fastest")


def test_a_model_restricted_to_some_parameters_has_their_block():
    model, loss_fn, batches = make("mlp")
    exact = dense_hessian(model, loss_fn, batches)
    objective = ls.Objective(model, loss_fn, batches, params="2.weight")
    where = ls.Objective(model, loss_fn, batches).layout.slices()["2.weight"]
    assert (ls.HessianOperator(objective).dense() - exact[where, where]).norm() <= 1e-10 * exact.norm()
    assert objective.layout.frozen == ("0.weight", "0.bias", "2.bias")


def test_scipy_finds_the_dense_eigenvalues_through_the_operator():
    from scipy.sparse.linalg import eigsh

    model, loss_fn, batches = make("mlp")
    exact = torch.linalg.eigvalsh(dense_hessian(model, loss_fn, batches))
    found = eigsh(ls.HessianOperator(ls.Objective(model, loss_fn, batches)).to_scipy(), k=3, which="LA")[0]
    assert abs(found - exact[-3:].numpy()).max() <= 1e-8 * exact.abs().max()


@pytest.mark.parametrize("route", ["fresh", "forward", "forward/channels-last"])
def test_a_block_of_vectors_passes_over_the_data_once(route, monkeypatch):
    """What a chunk needs for its products is made once for five columns, and each is as it is alone, to the bit."""
    model = built(lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)))
    objective = ls.Objective(
        model, nn.functional.cross_entropy, (draw(12, 4, seed=1).float(), torch.arange(12) % 3), chunk=4
    )
    H = ls.HessianOperator(objective, route=route)
    V = draw(H.shape[0], 5, seed=2).float()
    alone, made = torch.stack([H @ v for v in V.T], dim=1), []
    residuals, gradient = linearized.Kernels.residuals, reverse._differentiable_gradient
    monkeypatch.setattr(linearized.Kernels, "residuals", lambda *a: (made.append(1), residuals(*a))[1])
    monkeypatch.setattr(reverse, "_differentiable_gradient", lambda *a: (made.append(1), gradient(*a))[1])
    assert torch.equal(H @ V, alone)
    assert len(made) == objective.num_chunks == 3
