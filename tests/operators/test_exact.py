"""The whole matrix of an operator, formed once: it is the dense Hessian, and every estimator reads it without error."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import LandscapeError, UsageError
from landscape.operators.base import LinearOperator
from tests.support.networks import dense_hessian, make, seeded
from tests.support.roundtrip import written_and_read

KINDS = ("mlp", "siamese", "tied")


class Counted(LinearOperator):
    """A matrix that counts its products."""

    def __init__(self, matrix):
        super().__init__(len(matrix), dtype=torch.float64)
        self.matrix, self.products = torch.as_tensor(matrix), 0

    def _matvec(self, v):
        self.products += 1
        return self.matrix @ v


def wishart(dim=40, seed=0):
    x = np.random.default_rng(seed).standard_normal((dim, 60))
    return x @ x.T / 60 - 0.5 * np.eye(dim)


def hessian(kind, dtype=torch.float64):
    model, loss_fn, batches = make(kind, dtype=dtype)
    return ls.HessianOperator(ls.Objective(model, loss_fn, batches, check=False)), dense_hessian(
        model, loss_fn, batches
    )


def test_everything_is_read_from_p_products_and_no_more():
    A = wishart()
    source = Counted(A)
    H = ls.exact(source)
    assert source.products == H.num_matvecs == 40
    values, seen = np.linalg.eigvalsh(A)[::-1], []
    for which, wanted in (
        ("largest", values[:5]), ("smallest", values[-5:]), ("both", np.r_[values[:5], values[-5:]]),
        ("magnitude", values[np.argsort(-abs(values))][:5]),
    ):  # fmt: skip
        eigs = ls.top_eigenpairs(H, 5, which=which)
        np.testing.assert_allclose(eigs.values, wanted, rtol=0, atol=1e-13)
        np.testing.assert_allclose(A @ eigs.vectors, eigs.vectors * eigs.values, rtol=0, atol=1e-13)
        assert np.all(eigs.residuals < 1e-13)
        assert eigs.converged.all()
        seen.append(eigs)
    assert seen[0].upper_bound == (pytest.approx(values[0]), 1.0)
    assert seen[0].upper_bound[0] >= values[0]
    assert ls.trace(H, tol=1e-9).value == pytest.approx(np.trace(A), rel=1e-13)
    np.testing.assert_allclose(ls.diagonal(H).values, np.diag(A), rtol=0, atol=1e-14)
    moments = ls.spectral_moments(H)
    for p in moments.powers:
        assert moments[p].value == pytest.approx(np.trace(np.linalg.matrix_power(A, p)), rel=1e-12)
    assert ls.frobenius_norm(H).value == pytest.approx(np.linalg.norm(A), rel=1e-13)
    whole = ls.spectrum(H, k=3)
    np.testing.assert_allclose(whole.eigs.values, values[:3], atol=1e-13)
    assert source.products == 40
    assert all(r.num_matvecs == 0 for r in (*seen, ls.trace(H), ls.diagonal(H), moments, whole, ls.spectral_density(H)))


def test_all_pairs_may_be_asked_for_whatever_max_matvecs_is():
    H = ls.exact(wishart())
    assert len(ls.top_eigenpairs(H, 40, max_matvecs=2)) == 40
    with pytest.raises(UsageError, match="k may be at most 40"):
        ls.top_eigenpairs(H, 41)


def test_the_density_is_the_spectrum_itself(tmp_path):
    values = np.r_[np.linspace(-1, 1, 50), 5.0, 7.0]
    density = ls.spectral_density(ls.exact(np.diag(values)))
    x = np.array([-1.5, -0.4321, 0.99, 3.0, 6.0, 8.0])
    low, middle, high = density.cdf(x)
    truth = (values[:, None] <= x).mean(0)
    np.testing.assert_allclose(middle, truth, atol=1e-15)
    assert np.all(high - low <= 3e-12)
    assert density.is_exact
    assert density.wasserstein(values) <= 1e-15
    assert density.moment(2).value == pytest.approx((values**2).mean())
    assert density.moment(2).sem == 0
    assert density.negative_mass().value == pytest.approx((values < 0).mean())
    outliers = density.num_outliers()
    assert (outliers.resolved, outliers.value) == (2, pytest.approx(2))
    assert "all 52 eigenvalues known" in str(density)
    again = written_and_read(density, tmp_path)
    assert str(again) == str(density)
    assert again.is_exact


@pytest.mark.parametrize("kind", KINDS)
def test_the_matrix_of_a_network_is_its_dense_hessian_and_blocks_are_read_off_it(kind):
    H, dense = hessian(kind)
    E = ls.exact(H)
    scale = float(torch.linalg.matrix_norm(dense, 2))
    assert float((E.dense() - dense).abs().max()) <= 1e-12 * scale
    for groups in ("tensor", "module"):
        ours, theirs = E.blocks(groups), H.blocks(groups)
        assert list(ours) == list(theirs)
        for name, block in theirs.items():
            assert float((ours[name].dense() - block.dense()).abs().max()) <= 1e-12 * scale
    table = ls.block_table(E)
    for name, block in E.blocks("module").items():
        part = block.dense().numpy()
        assert table[name].value == pytest.approx(np.trace(part), abs=1e-12 * scale * len(part))
        k = table.names.index(name)
        assert table.lambda_max[k] == pytest.approx(np.linalg.eigvalsh(part)[-1], abs=1e-12 * scale)
    assert table.total == pytest.approx(float(dense.trace()), rel=1e-10)
    assert table.num_matvecs == table.block_matvecs == 0
    apart = ls.block_table(E.blocks("module"))
    np.testing.assert_allclose(apart.lambda_max, table.lambda_max)


def test_a_block_of_a_block_and_another_point_are_those_of_the_source():
    H, _ = hessian("mlp")
    E = ls.exact(H)
    inner = E.block("0.*").block("0.weight")
    torch.testing.assert_close(inner.dense(), H.block("0.weight").dense(), rtol=0, atol=1e-13)
    theta = H.theta * 1.5
    torch.testing.assert_close(E.at(theta).dense(), H.at(theta).dense(), rtol=0, atol=1e-13)
    there = H.block("0.weight").theta * 2
    torch.testing.assert_close(inner.at(there).dense(), H.block("0.weight").at(there).dense(), rtol=0, atol=1e-13)
    scaled = ls.PreconditionedOperator(E, np.full(E.dim, 4.0)).block("2.bias")
    torch.testing.assert_close(scaled.dense(), H.block("2.bias").dense() / 4, rtol=0, atol=1e-13)


def test_what_a_newton_step_promises_is_the_sum_over_the_spectrum():
    values, g = np.array([4.0, 2.0, 1.0, 0.25]), np.array([1.0, -2.0, 0.5, 3.0])
    H, k, shift = ls.exact(np.diag(values)), 3, 0.04
    gain = ls.second_order_gain(H, g, eigs=ls.top_eigenpairs(H, 1, which="both"), num_steps=k)
    newton = (g**2 * (values / 2 + shift) / (values + shift) ** 2).sum()
    theta = np.zeros(4)
    for _ in range(k):  # gradient descent on the model itself
        theta -= (g + values * theta) / 4.0
    descent = -(g @ theta + theta @ (values * theta) / 2)
    assert gain.value == pytest.approx(newton / descent, rel=1e-12)
    assert gain.bound <= 1e-12 * gain.value
    assert gain.num_matvecs == 0
    best = np.linalg.lstsq(np.diag(values) @ (K := krylov(values, g, k)), -g, rcond=None)[0]
    assert best.shape == (k,)
    inner = K.T @ np.diag(values) @ K
    step = K @ np.linalg.solve(inner, -K.T @ g)
    conjugate = -(g @ step + step @ (values * step) / 2)
    assert gain.over_conjugate[1] == pytest.approx(newton / conjugate, rel=1e-9)


def krylov(values, g, k):
    return np.stack([values**j * g for j in range(k)], axis=1)


def test_in_float32_the_stated_bounds_hold_the_float64_truth_and_are_not_zero():
    H, dense = hessian("mlp", torch.float32)
    E = ls.exact(H)
    exact = np.linalg.eigvalsh(dense.numpy())[::-1]
    eigs = ls.top_eigenpairs(E, 5, which="both")
    order = np.r_[0:5, len(exact) - 5 : len(exact)]
    assert np.all(np.abs(eigs.values - exact[order]) <= eigs.bounds)
    assert 1e-8 <= E.relative_rounding <= 1e-4
    trace = ls.trace(E)
    assert 0 < trace.bound <= 1e-4 * abs(trace.value)
    assert abs(trace.value - exact.sum()) <= trace.bound
    entries = ls.diagonal(E)
    assert np.all(np.abs(entries.values - dense.diagonal().numpy()) <= 4 * entries.sem)


def test_what_it_costs_is_counted_and_decides_whether_it_fits():
    H, _ = hessian("mlp")  # 68 parameters, 13 examples
    assert ls.exact_cost(H) == pytest.approx(68 + 0.4 * 68**3 / (68 * 13 + 4e5))
    assert ls.exact_fits(H, 70)
    assert not ls.exact_fits(H, 68)
    assert not ls.exact_fits(H, 10_000, memory=8 * 68**2)
    assert ls.exact_cost(ls.exact(H)) == 0
    assert ls.exact(ls.exact(H)) is not None


def test_what_does_not_fit_or_is_not_finite_is_refused():
    with pytest.raises(UsageError, match="P=100 parameters and its eigenvectors take 0.00032 GB"):
        ls.exact(np.eye(100), memory=1000)

    class Broken(Counted):
        def _matvec(self, v):
            return super()._matvec(v) * (math.nan if v[3] else 1.0)

    with pytest.raises(LandscapeError, match="unit vector 3 gave NaN or Inf"):
        ls.exact(Broken(torch.eye(5, dtype=torch.float64)))


def test_a_zero_matrix_has_zero_everywhere():
    H = ls.exact(np.zeros((3, 3)))
    assert ls.top_eigenpairs(H, 3).values.tolist() == [0, 0, 0]
    assert ls.trace(H).value == ls.trace(H).bound == 0
    assert ls.spectral_density(H).effective_rank().value == 0


def test_the_model_is_left_as_it_was():
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    x = torch.linspace(-1, 1, 30).reshape(10, 3)
    objective = ls.Objective(model, nn.functional.mse_loss, (x, x[:, :2].sin()))
    before, state = objective.theta, torch.random.get_rng_state()
    H = ls.exact(ls.HessianOperator(objective))
    ls.top_eigenpairs(H, 2)
    assert torch.equal(objective.theta, before)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())
